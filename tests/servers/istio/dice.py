"""Random worlds over the standing Pods, and calls that stand close to their boundaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from hub.model import Request
from tests.servers.istio.worlds import plain
from tests.servers.random_texts import Texts, random_http, random_match
from tests.servers.worlds import World, bytes_to, call, certified, group, ports, spiffe, split, target

_ACCOUNTS = ("api", "api", "orders", "ledger", "catalog")
_SOURCES = ("web", "partner", "orders", "api", "nobody")
_CALLERS = {"web": "web-1", "partner": "partner-1", "orders": "orders-1", "api": "api-v1-1", "nobody": "web-1"}
_PLACES = (
    *[("api", 80)] * 4, ("api-v1", 80), ("api-v2", 80), ("orders", 80), ("orders-main", 80), ("catalog", 80),
    ("catalog-main", 80), ("gone", 80), ("mix", 8080), ("mix", 9090), ("mix", 5432), ("api-admin", 9090),
    ("ledger", 5432), ("db", 5432), ("db-1", 5432), ("db-2", 5432), ("web", 80),
)  # fmt: skip
_OF_ACCOUNT = {
    "api": ("api", "api", "api-v1", "api-v2", "mix", "api-admin"),
    "orders": ("orders", "orders", "orders-main", "db-2"),
    "catalog": ("catalog", "catalog-main"),
    "ledger": ("ledger", "db", "db-1"),
}
_STANDS = {"api": "api-v2-1", "orders": "orders-1", "catalog": "catalog-1", "ledger": "ledger-1"}


def random_world(rng: Random, count: int) -> World:
    """A world, and this many calls of it."""
    values: list[dict[str, Any]] = [ports("raw", rng.choice((5432, 8080))), ports("all")]
    texts: list[Texts] = []
    for name in ("g1", "g2", "g3"):
        matches = [random_match(rng) for _ in range(rng.choice((1, 1, 2)))]
        values.append(group(name, *(match for match, _ in matches)))
        texts += [each for _, each in matches]
    targets = [_target(rng, f"t{index}") for index in range(rng.randrange(2, 6))]
    meant = [each for one in targets for each in _meant(one)]
    values += [*targets, *_splits(rng)]
    return World("random", tuple(values), tuple(_request(rng, texts, meant) for _ in range(count)))


def _meant(granted: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, int]]]:
    """Who may call what by a TrafficTarget: Pods and Service ports."""
    account = granted["spec"]["destination"]["name"]
    for source in granted["spec"]["sources"]:
        for place in _PLACES:
            if place[0] in _OF_ACCOUNT[account]:
                yield _CALLERS[source["name"]], place


def _target(rng: Random, name: str) -> dict[str, Any]:
    rules = [f"http:{one}" for one in rng.sample(("g1", "g2", "g3"), rng.choice((0, 1, 1, 2)))]
    if not rules or rng.randrange(4) == 0:
        rules.append(f"tcp:{rng.choice(('raw', 'raw', 'all'))}")
    return target(name, rng.choice(_ACCOUNTS), rng.sample(_SOURCES, rng.randrange(1, 4)), *rules)


def _splits(rng: Random) -> Iterator[dict[str, Any]]:
    """Mostly what leaves a share for somebody who is granted something."""
    if rng.randrange(2):
        yield split("s1", "api", {"api-v1": rng.randrange(3), "api-v2": rng.randrange(3)})
    if rng.randrange(2):
        backends = rng.choice((("api-v2",), ("orders-main",), ("nowhere",), ("gone",)))
        yield split("s2", "api", dict.fromkeys(backends, 1), *rng.sample(("g1", "g2", "g3"), rng.choice((1, 1, 2))))
    if rng.randrange(3) == 0:
        yield split("s3", rng.choice(("db", "orders")), {"db-1": rng.randrange(2), "db-2": 1, "orders-main": 1})


def _request(rng: Random, texts: Sequence[Texts], meant: Sequence[tuple[str, tuple[str, int]]]) -> Request:
    if rng.randrange(20) == 0:
        return plain(
            rng.choice(("api-v1-1", "orders-1")), rng.choice((8080, 5432)), "/api", rng.choice(("http", "tcp"))
        )
    pod, (callee, port) = rng.choice(list(_CALLERS.values())), rng.choice(_PLACES)
    if rng.randrange(4):
        pod, (callee, port) = rng.choice(meant)
    if port == 5432 and rng.randrange(2):
        return bytes_to(pod, callee, port)
    if rng.randrange(5) == 0:
        return _certified(rng, pod, callee, texts)
    return call(pod, callee, port, *random_http(rng, texts))


def _certified(rng: Random, pod: str, callee: str, texts: Sequence[Texts]) -> Request:
    """The same caller by its certificate alone, straight at a Pod that may stand behind the Service, on any port."""
    account = next(name for name, caller in _CALLERS.items() if caller == pod)
    receiver = next((pod for key, pod in _STANDS.items() if callee in _OF_ACCOUNT[key]), "web-1")
    port = rng.choice((8080, 8080, 9090, 5432, 7070))
    request = certified(spiffe(account), receiver, port, *random_http(rng, texts))
    return request if rng.randrange(4) else Request(request.src, request.dst, port, "tcp")

"""Random worlds over the standing Pods, and calls that stand close to their boundaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from hub.model import Destination, Request
from tests.servers.consul.cast import RAW, SHOP, pod_of
from tests.servers.random_texts import Texts, random_http, random_match
from tests.servers.worlds import NAMESPACE, World, bytes_to, call, group, ports, split, target

_GROUPS = ("g1", "g2", "g3")
_RECEIVERS = ("api", "api", "api-v1", "api-v1", "api-v2", "orders", "catalog", "ledger")
_SOURCES = (*SHOP.callers, "nobody")
_ROOTS = ("api", "api", "shop", "shop", "orders", "ledger")
_BACKENDS = ("api", "api-v1", "api-v1", "api-v2", "api-v2", "orders", "catalog", "nowhere")


def random_world(rng: Random, count: int) -> World:
    """A world, and this many calls of it."""
    values: list[dict[str, Any]] = [ports("raw", rng.choice((RAW, RAW, 8080))), ports("all")]
    texts: list[Texts] = []
    for name in _GROUPS:
        matches = [random_match(rng) for _ in range(rng.choice((1, 1, 2)))]
        values.append(group(name, *(match for match, _ in matches)))
        texts += [each for _, each in matches]
    targets = [_target(rng, f"t{index}") for index in range(rng.randrange(3, 8))]
    splits = list(_splits(rng))
    meant = [each for one in targets for each in _meant(one, splits)]
    values += [*targets, *splits]
    return World("random", tuple(values), tuple(_request(rng, texts, meant) for _ in range(count)))


def _target(rng: Random, name: str) -> dict[str, Any]:
    rules = [f"http:{one}" for one in rng.sample(_GROUPS, rng.choice((0, 1, 1, 2)))]
    if not rules or rng.randrange(6) == 0:
        rules.append(f"tcp:{rng.choice(('raw', 'all'))}")
    return target(name, rng.choice(_RECEIVERS), rng.sample(_SOURCES, rng.randrange(1, 4)), *rules)


def _splits(rng: Random) -> Iterator[dict[str, Any]]:
    """With and without conditions; also backends that are roots, that are the root itself, and that nobody knows."""
    for index, root in enumerate(dict.fromkeys(rng.sample(_ROOTS, rng.randrange(3)))):
        shares = {one: rng.choice((0, 1, 1, 2, 5, 33)) for one in rng.sample(_BACKENDS, rng.randrange(1, 4))}
        yield split(f"s{index}", root, shares)
        if rng.randrange(2):
            conditions = rng.sample(_GROUPS, rng.choice((1, 1, 2)))
            yield split(f"c{index}", root, {rng.choice(_BACKENDS): 1}, *conditions)


def _meant(granted: Mapping[str, Any], splits: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Who may call whom by a TrafficTarget, there and at the roots of splits that lead there."""
    account = granted["spec"]["destination"]["name"]
    spread = [one["spec"] for one in splits]
    roots = [one["service"] for one in spread if account in {each["service"] for each in one["backends"]}]
    for source in granted["spec"]["sources"]:
        yield from ((source["name"], callee) for callee in (account, *roots) if source["name"] in SHOP.callers)


def _request(rng: Random, texts: Sequence[Texts], meant: Sequence[tuple[str, str]]) -> Request:
    caller, callee = rng.choice(SHOP.callers), rng.choice((*SHOP.callees, *SHOP.virtual))
    if meant and rng.randrange(5):
        caller, callee = rng.choice(meant)
    caller = "web" if caller == callee else caller
    request = _asked(rng, caller, callee, texts)
    if callee in SHOP.virtual or rng.randrange(5):
        return request
    return replace(request, dst=Destination(pod=f"{NAMESPACE}/{pod_of(callee)}"), port=SHOP.port(callee))


def _asked(rng: Random, caller: str, callee: str, texts: Sequence[Texts]) -> Request:
    raw = SHOP.callees.get(callee) == "tcp"
    port = RAW if raw else 80
    if rng.randrange(2 if raw else 15) == 0:
        return bytes_to(pod_of(caller), callee, port)
    return call(pod_of(caller), callee, port, *random_http(rng, texts))

"""Random worlds over the standing Pods, and calls that stand close to their boundaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Destination, Request
from tests.servers.consul.cast import RAW, SHOP, pod_of
from tests.servers.random_texts import Texts, random_http, random_match, sendable
from tests.servers.worlds import NAMESPACE, Lines, World, bytes_to, call, group, ports, split, target

_GROUPS = ("g1", "g2", "g3")
_RECEIVERS = ("api", "api", "api-v1", "api-v1", "api-v2", "orders", "catalog", "ledger")
_SOURCES = (*SHOP.callers, "nobody")
_ROOTS = ("api", "api", "shop", "shop", "orders", "ledger")
_BACKENDS = ("api", "api-v1", "api-v1", "api-v2", "api-v2", "orders", "catalog", "nowhere")


class _Meant(Struct, frozen=True):
    """What a TrafficTarget lets somebody ask."""

    caller: str
    callee: str
    texts: tuple[Texts, ...]


def random_world(rng: Random, count: int) -> World:
    """A world, and this many calls of it."""
    values: list[dict[str, Any]] = [ports("raw", rng.choice((RAW, RAW, 8080))), ports("all")]
    texts: dict[str, list[Texts]] = {}
    for name in _GROUPS:
        matches = [random_match(rng) for _ in range(rng.choice((1, 1, 2)))]
        values.append(group(name, *(match for match, _ in matches)))
        texts[name] = [each for _, each in matches]
    targets = [_target(rng, f"t{index}") for index in range(rng.randrange(4, 9))]
    splits = list(_splits(rng))
    meant = [each for one in targets for each in _meant(one, splits, texts)]
    every = _Meant("", "", tuple(each for some in texts.values() for each in some))
    values += [*targets, *splits]
    return World("random", tuple(values), tuple(_request(rng, every, meant) for _ in range(count)))


def _target(rng: Random, name: str) -> dict[str, Any]:
    """Most about HTTP, where that is spoken; now and then about bytes, too."""
    account = rng.choice(_RECEIVERS)
    is_raw = SHOP.callees[account] == "tcp"
    rules = [f"http:{one}" for one in rng.sample(_GROUPS, rng.choice((0, 0, 1) if is_raw else (1, 1, 1, 2)))]
    if is_raw or rng.randrange(10) == 0:
        rules.append(f"tcp:{rng.choice(('raw', 'all'))}")
    return target(name, account, rng.sample(_SOURCES, rng.randrange(1, 4)), *rules)


def _splits(rng: Random) -> Iterator[dict[str, Any]]:
    """With and without conditions; also backends that are roots, that are the root itself, and that nobody knows."""
    for index, root in enumerate(dict.fromkeys(rng.sample(_ROOTS, rng.randrange(3)))):
        shares = {one: rng.choice((0, 1, 1, 2, 5, 33)) for one in rng.sample(_BACKENDS, rng.randrange(1, 4))}
        yield split(f"s{index}", root, shares)
        if rng.randrange(2):
            conditions = rng.sample(_GROUPS, rng.choice((1, 1, 2)))
            yield split(f"c{index}", root, {rng.choice(_BACKENDS): 1}, *conditions)


def _meant(
    granted: Mapping[str, Any], splits: Sequence[Mapping[str, Any]], texts: Mapping[str, Sequence[Texts]]
) -> Iterator[_Meant]:
    """Who may call whom by a TrafficTarget, there and at the roots of splits that lead there."""
    account = granted["spec"]["destination"]["name"]
    spread = [one["spec"] for one in splits]
    roots = [one["service"] for one in spread if account in {each["service"] for each in one["backends"]}]
    mine = tuple(each for rule in granted["spec"]["rules"] for each in texts.get(rule["name"], ()))
    for source in granted["spec"]["sources"]:
        if source["name"] in SHOP.callers:
            yield from (_Meant(source["name"], callee, mine) for callee in (account, account, *roots))


def _request(rng: Random, every: _Meant, meant: Sequence[_Meant]) -> Request:
    """Most ask for what is meant, or miss it by a hair."""
    one = replace(every, caller=rng.choice(SHOP.callers), callee=rng.choice((*SHOP.callees, *SHOP.virtual)))
    if meant and rng.randrange(8):
        one = rng.choice(meant)
    caller = "web" if one.caller == one.callee else one.caller
    request = _asked(rng, caller, one.callee, one.texts or every.texts)
    if one.callee in SHOP.virtual or rng.randrange(5):
        return request
    return replace(request, dst=Destination(pod=f"{NAMESPACE}/{pod_of(one.callee)}"), port=SHOP.port(one.callee))


def _asked(rng: Random, caller: str, callee: str, texts: Sequence[Texts]) -> Request:
    raw = SHOP.callees.get(callee) == "tcp"
    port = RAW if raw else 80
    if rng.randrange(2 if raw else 15) == 0:
        return bytes_to(pod_of(caller), callee, port)
    http = _exact(rng, texts) if rng.randrange(5) < 3 else random_http(rng, texts)
    return call(pod_of(caller), callee, port, *http)


def _exact(rng: Random, texts: Sequence[Texts]) -> tuple[str, str, Lines]:
    """What a match is about, to the letter."""
    paths, lines, methods = rng.choice(texts)
    return sendable(paths[0]), rng.choice(methods), tuple((name, values[0]) for name, values in lines)

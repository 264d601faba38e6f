"""Random requests that stand close to the boundaries of a world: its own patterns, ports, names, and their neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Destination, Request, Source
from hub.testing.flows import Flow, dig, flows_of, numbers, pick, samples, word_or
from hub.testing.patterns import near, near_value

_PROTOCOLS: Sequence[Literal["http", "tcp", "udp"]] = ("http", "http", "http", "http", "http", "tcp", "tcp", "udp")
_METHODS = ("GET", "GET", "GET", "POST", "HEAD", "CONNECT", "TRACE", "get", "Get", "FOO", "PUT", "OPTIONS", "")
_PATHS = ("/", "/api", "/x", "", "*", "api", "/api?x=1", "/../api", "/a b", "http://d/api", "/%", "/%zz", "/\u00e9")
_HEADERS = (
    "accept",
    "x-tier",
    "X-Tier",
    "X-TIER",
    "x-region",
    "user-agent",
    "x_y",
    "host",
    "x-forwarded-for",
    "cookie",
)
_OUTSIDERS = (
    "spiffe://cluster.local/ns/d/sa/web",
    "spiffe://cluster.local/ns/d/sa/api/",
    "spiffe://cluster.local/ns/d/sa/*",
    "spiffe://CLUSTER.local/ns/d/sa/web",
    "spiffe://partner.example/billing",
    "spiffe://partner.example/ns/d/sa/web",
    "spiffe://cluster.local/vm/7",
    "not a spiffe id",
)


class Hints(Struct, frozen=True):
    """What a world talks about: names, ports, texts near its path and header patterns, header names."""

    identities: tuple[str, ...]
    pods: tuple[str, ...]
    services: tuple[str, ...]
    ports: tuple[int, ...]
    paths: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    methods: tuple[str, ...]
    spiffe: tuple[str, ...]
    flows: tuple[Flow, ...] = ()

    @staticmethod
    def of(values: Sequence[Any]) -> Hints:
        """Collect what can be found in the objects, however damaged they are."""
        leaves = list(_leaves(values, ""))
        named = [(str(value.get("kind")), *_name(value)) for value in values if isinstance(value, dict)]
        accounts = {text for key, text in leaves if key in {"serviceAccountName", "serviceAccount", "name"}}
        namespaces = sorted({namespace for _, namespace, _ in named}) or ["default"]
        return Hints(
            identities=_pairs(namespaces, accounts & {"api", "web", "pay", "s.vc", "default", "peer", "nobody"})
            or ("d/api",),
            pods=tuple(sorted({f"{ns}/{name}" for kind, ns, name in named if kind not in _NO_PODS})) or ("d/pod-0",),
            services=tuple(sorted({f"{ns}/{name}" for kind, ns, name in named if kind == "Service"})) or ("d/api",),
            ports=tuple(sorted({n for n in numbers(values) if 1 <= n <= 65535})) or (8080,),
            paths=tuple(sorted({near_by for key, text in leaves if key == "pathRegex" for near_by in samples(text)})),
            headers=tuple(sorted(set(_header_lines(values)))),
            methods=tuple(sorted({text for key, text in leaves if key == "methods" and text != "*"})),
            spiffe=tuple(sorted({text for key, text in leaves if key == "spiffeIdentities"})),
            flows=flows_of(values),
        )


_NO_PODS = frozenset(
    {"Service", "TrafficTarget", "TrafficSplit", "HTTPRouteGroup", "TCPRoute", "UDPRoute", "IdentityBinding"}
)


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for inner, item in value.items():
            yield from _leaves(item, inner)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item, key)


def _name(value: dict[str, Any]) -> tuple[str, str]:
    return word_or(dig(value, "metadata", "namespace"), "default"), word_or(dig(value, "metadata", "name"), "none")


def _pairs(namespaces: Sequence[str], names: set[str]) -> tuple[str, ...]:
    return tuple(f"{namespace}/{name}" for namespace in namespaces for name in sorted(names))


def _header_lines(values: Any) -> Iterator[tuple[str, str]]:
    """(name, text) of every header condition, in list or in map form."""
    if isinstance(values, dict):
        for key, item in values.items():
            if key == "headers":
                yield from _conditions(item)
            else:
                yield from _header_lines(item)
    elif isinstance(values, list | tuple):
        for item in values:
            yield from _header_lines(item)


def _conditions(headers: Any) -> Iterator[tuple[str, str]]:
    maps = headers if isinstance(headers, list) else [headers]
    for one in maps:
        for name, pattern in one.items() if isinstance(one, dict) else ():
            if isinstance(name, str) and name and isinstance(pattern, str):
                yield from ((name, text) for text in samples(pattern))


# ----------------------------------------------------------------------------------------------------------- requests


def any_request(rng: Random, hints: Hints) -> Request:
    """One request: most do what the world's own objects mean, some miss it by a hair, some are wild."""
    return _on_flow(rng, hints) if hints.flows and rng.randrange(4) else _wild(rng, hints)


def _on_flow(rng: Random, hints: Hints) -> Request:
    """What a TrafficTarget or TrafficSplit of the world means, with one or two parts exchanged half of the time."""
    request = meant_by(rng, rng.choice(hints.flows))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        request = replace(request, **_exchange(rng, hints, request))
    return request if request.protocol == "http" else Request(request.src, request.dst, request.port, request.protocol)


def meant_by(rng: Random, flow: Flow) -> Request:
    """A request of the kind that an object means, to the letter."""
    place, ports = rng.choice(flow.places)
    method, path, headers = pick(rng, rng.choice(flow.lines))
    return Request(rng.choice(flow.sources), place, rng.choice(ports), rng.choice(_PROTOCOLS), method, path, headers)


def _exchange(rng: Random, hints: Hints, request: Request) -> dict[str, Any]:
    """Another value for one part of a request."""
    dice = rng.randrange(9)
    if dice < 2:
        return {"src": any_source(rng, hints)}
    if dice == 2:
        return {"dst": _destination(rng, hints)}
    if dice == 3:
        return {"port": any_port(rng, hints)}
    if dice == 4:
        return {"method": _method(rng, hints)}
    if dice < 7:
        return {"path": near(rng, request.path)}
    return {"headers": _mutated(rng, request.headers) if dice == 7 else _headers(rng, hints)}


def _mutated(rng: Random, lines: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The same header lines, one of them doubled, dropped, renamed or with another value."""
    if not lines:
        return (("x-tier", "gold"),)
    at = rng.randrange(len(lines))
    name, value = lines[at]
    one = rng.choice((((name, "guest"), (name, value)), ((name, value), (name, "")), (), ((name.upper(), value),)))
    return (*lines[:at], *(one if rng.randrange(2) else ((name, any_header_value(rng, value)),)), *lines[at + 1 :])


def _wild(rng: Random, hints: Hints) -> Request:
    """What the world talks about, thrown together."""
    protocol: Literal["http", "tcp", "udp"] = rng.choice(_PROTOCOLS)
    if protocol != "http":
        return Request(any_source(rng, hints), _destination(rng, hints), any_port(rng, hints), protocol)
    return Request(
        src=any_source(rng, hints),
        dst=_destination(rng, hints),
        port=any_port(rng, hints),
        method=_method(rng, hints),
        path=_path(rng, hints),
        headers=_headers(rng, hints),
    )


def any_source(rng: Random, hints: Hints) -> Source:
    """A caller that the world talks about, one like it, or nobody."""
    dice = rng.randrange(14)
    if dice < 7:
        return Source(identity=rng.choice(hints.identities))
    if dice < 10:
        return Source(pod=rng.choice(hints.pods) if dice < 9 else "d/nobody")
    if dice < 12:
        return Source(spiffe="spiffe://cluster.local/ns/" + rng.choice(hints.identities).replace("/", "/sa/"))
    if dice == 12:
        return Source(spiffe=rng.choice((*hints.spiffe, *_OUTSIDERS)) or "x")
    return Source(outside=True)


def _destination(rng: Random, hints: Hints) -> Destination:
    dice = rng.randrange(10)
    if dice < 4:
        return Destination(identity=rng.choice(hints.identities))
    if dice < 6:
        return Destination(pod=rng.choice(hints.pods))
    return Destination(service=rng.choice(hints.services) if dice < 9 else rng.choice(("d/gone", "x/api", "d/web")))


def any_port(rng: Random, hints: Hints) -> int:
    """A port of the world, or one beside them."""
    return rng.choice((80, 8080, 9090, 5432, *hints.ports)) if rng.randrange(12) else rng.choice((1, 8081, 65535))


def _method(rng: Random, hints: Hints) -> str:
    return rng.choice((*hints.methods, "GET")) if rng.randrange(2) else rng.choice(_METHODS)


def _path(rng: Random, hints: Hints) -> str:
    return near(rng, rng.choice((*hints.paths, "/api")) if rng.randrange(6) else rng.choice(_PATHS))


def _headers(rng: Random, hints: Hints) -> tuple[tuple[str, str], ...]:
    lines: list[tuple[str, str]] = []
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        if hints.headers and rng.randrange(4):
            name, value = rng.choice(hints.headers)
            lines.append((rng.choice((name, name.upper(), name.lower())), any_header_value(rng, value)))
        else:
            lines.append((rng.choice(_HEADERS), rng.choice(("gold", "", "silver", "any", "a,b"))))
    if lines and rng.randrange(5) == 0:
        lines.insert(rng.randrange(2), (lines[0][0], rng.choice(("guest", "gold", ""))))
    return tuple(lines)


def any_header_value(rng: Random, value: str) -> str:
    """A header value, or one that differs from it a little."""
    return rng.choice((*[value] * 6, *near_value(value), value + "x", "x" + value, value.upper(), value + "," + value))

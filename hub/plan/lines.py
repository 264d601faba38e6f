"""Routes as lines for people, and how they change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

from msgspec import Struct

from hub.memory.permits import describe
from hub.memory.states import Remembered
from hub.model import Route, RoutePort, Split

_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")')
_SHARE = re.compile(r"(\S+) ([0-9]+(?:/[0-9]+)?)(?=, |; |$)")
OWN_ENDPOINTS = "its own endpoints"


def route_lines(route: Route, routed: Sequence[RoutePort] | None = None) -> tuple[str, ...]:
    """What a route does, a line for each port with splits, sorted; `routed` are its ports as a mesh carries them (None: all)."""
    ports = route.ports if routed is None else routed
    return tuple(sorted(_route_line(route, port) for port in ports if port.splits))


def _route_line(route: Route, port: RoutePort) -> str:
    layers = "; ".join(_layer(split) for split in port.splits)
    return f"{route.namespace}/{route.service}:{port.port} -> {layers}"


def _layer(split: Split) -> str:
    total = sum(backend.weight for backend in split.backends)
    shares = ", ".join(f"{b.service} {b.weight / total}" for b in split.backends if b.weight and total)
    when = "" if split.matches is None else f"if {' or '.join(map(describe, split.matches))}: "
    return when + (shares or "unavailable")


def rerouted_lines(before: Remembered, after: Remembered) -> Iterable[tuple[str, str]]:
    """The lines before and after that differ, by port."""
    old, new = before.lines or before.routes, after.routes
    return _paired([line for line in old if line not in new], [line for line in new if line not in old])


def _paired(lost: Sequence[str], gained: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Route lines before and after, matched by the Service port that they speak of."""
    before = {line.split(" -> ")[0]: line.partition(" -> ")[2] for line in lost}
    after = {line.split(" -> ")[0]: line.partition(" -> ")[2] for line in gained}
    for head in sorted(before.keys() | after.keys()):
        yield f"{head} -> {before.get(head, OWN_ENDPOINTS)}", f"{head} -> {after.get(head, OWN_ENDPOINTS)}"


class Rerouted(Struct, frozen=True):
    """One port of a Service whose calls go elsewhere: `namespace/name:port`, and where they go in percent, before and after."""

    head: str
    before: str
    after: str

    @classmethod
    def of(cls, pair: tuple[str, str]) -> Rerouted:
        """Of lines before and after (hub.plan.plan.Plan.rerouted)."""
        head, _, before = pair[0].partition(" -> ")
        root = head.rpartition(":")[0].partition("/")[2]
        return cls(head, in_percent(before, root), in_percent(pair[1].partition(" -> ")[2], root))

    @property
    def service(self) -> str:
        """`namespace/name`."""
        return self.head.rpartition(":")[0]


def in_percent(routed: str, root: str) -> str:
    """What one port does (the part after ` -> ` of a line), with shares in percent and the root by its name.

    Patterns in quotes stay as they are. Where no layer takes all calls, the root's own endpoints take the rest.
    """
    if routed == OWN_ENDPOINTS:
        return f"100 % {root}"
    parts = _QUOTED.split(routed)
    parts[::2] = [_SHARE.sub(lambda found: f"{percent(Fraction(found[2]))} {found[1]}", part) for part in parts[::2]]
    layers = "".join(parts)
    last = "".join(part for part in _QUOTED.sub("", routed)).rpartition("; ")[2]
    return f"{layers}; else 100 % {root}" if last.startswith("if ") else layers


def percent(share: Fraction) -> str:
    """A share in percent, with two digits after the point at most; one that is not exactly that begins with `~`."""
    number = share * 100
    rounded = round(number, 2)
    text = f"{float(rounded):.2f}".rstrip("0").rstrip(".")
    if rounded == number:
        return f"{text} %"
    return f"~{text} %" if 0 < rounded < 100 else ("<0.01 %" if rounded <= 0 else ">99.99 %")

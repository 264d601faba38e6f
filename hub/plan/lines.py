"""Routes as lines for people, and how they change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hub.memory.permits import describe
from hub.memory.states import Remembered
from hub.model import Route, RoutePort, Split


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
        yield f"{head} -> {before.get(head, 'its own endpoints')}", f"{head} -> {after.get(head, 'its own endpoints')}"

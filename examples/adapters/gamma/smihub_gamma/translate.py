"""The objects of one unit; pure, and without knowledge of any other unit."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from hub.api import (
    Access,
    HttpMatch,
    Loss,
    NativeObject,
    Objection,
    Route,
    RoutePort,
    Split,
    Translation,
    Unit,
    to_integers,
)
from smihub_gamma import losses, objects
from smihub_gamma.conditions import EVERYTHING, Condition, Said, say
from smihub_gamma.config import GammaConfig
from smihub_gamma.grpc import say_grpc, speaks_grpc
from smihub_gamma.layers import in_order
from smihub_gamma.objects import Json, Weights

MAX_WEIGHT, MAX_BACKENDS = 1_000_000, 16
"""Source: BackendRef, weight; HTTPRouteRule and TCPRouteRule, backendRefs."""
_MAX_CONDITIONS = 128


def translate(unit: Unit, config: GammaConfig) -> Translation:
    """The objects of a unit, and a Loss for each part that Gateway API cannot carry out exactly."""
    if isinstance(unit, Route):
        return _route(unit, config)
    if isinstance(unit, Access):
        return Translation(losses=losses.no_authorization(unit), carried=())
    return Translation()


class _Layer(Struct, frozen=True):
    """A split of one port as it is carried out: the conditions under which it holds, and whole weights by Service."""

    split: Split
    conditions: tuple[Condition, ...]
    weights: Weights


class _Port(Struct, frozen=True):
    """What becomes of one port: its layers, its objects, and what is lost."""

    port: RoutePort
    layers: tuple[_Layer, ...] = ()
    made: tuple[NativeObject, ...] = ()
    lost: tuple[Loss, ...] = ()


def _route(unit: Route, config: GammaConfig) -> Translation:
    found = [_port(unit, port, config) for port in unit.ports]
    lost = tuple(sorted({loss for each in found for loss in each.lost}))
    routed = tuple(replace(each.port, splits=tuple(one.split for one in each.layers)) for each in found)
    return Translation(tuple(native for each in found for native in each.made), lost, routed=routed if lost else None)


def _port(unit: Route, port: RoutePort, config: GammaConfig) -> _Port:
    """A port that nothing splits needs no object: without a route a mesh does what Kubernetes does (GEP-1294, "Route presence")."""
    if port.transport == "UDP":
        return _Port(port, lost=tuple(_whole(losses.UDP, split) for split in port.splits))
    if port.declared != "http":
        return _tcp(unit, port, config)
    if speaks_grpc(port):
        return _http(unit, port, _Kind("GRPCRoute", say_grpc, objects.grpc_match))
    return _http(unit, port, _Kind("HTTPRoute", say, objects.http_match))


# ---------------------------------------------------------------------------------------------------- HTTP and gRPC


class _Kind(Struct, frozen=True):
    """A kind of route that has conditions, how they are said, and how they are written."""

    name: str
    say: Callable[[HttpMatch], Said]
    match: Callable[[Condition], Json]


def _http(unit: Route, port: RoutePort, kind: _Kind) -> _Port:
    """One rule for each split, and a last one for the root's own endpoints: what no rule matches gets a 404."""
    layers, lost = _layers(port, kind.say)
    rules = in_order([*(layer.conditions for layer in layers), (EVERYTHING,)])
    if (
        rules is None
    ):  # none of them: half of the conditions would send calls to backends that another split was to take
        lost += [
            losses.MATCHES.loss(one.split.origin, "spec.matches", access=False) for one in layers if one.split.matches
        ]
        layers = [layer for layer in layers if layer.split.matches is None]
        rules = in_order([*(layer.conditions for layer in layers), (EVERYTHING,)]) or ()
    if not layers:
        return _Port(port, lost=tuple(lost))
    weights = [*(layer.weights for layer in layers), {unit.service: 1}]
    bodies = [
        {"matches": [kind.match(one) for one in conditions], "backendRefs": objects.backends(shares, port.port)}
        for conditions, shares in zip(rules, weights, strict=True)
    ]
    needed = len(bodies) if layers[-1].split.matches else len(bodies) - 1
    made = objects.route(unit, port.port, kind.name, "v1", bodies[:needed])
    return _Port(port, tuple(layers), (made,), tuple(lost))


def _layers(port: RoutePort, saying: Callable[[HttpMatch], Said]) -> tuple[list[_Layer], list[Loss]]:
    """The splits of a port that a route carries out, and what is lost."""
    layers: list[_Layer] = []
    lost: list[Loss] = []
    for split in port.splits:
        weights = losses.HEADLESS if _is_headless(port, split) else _weights(split)
        if isinstance(weights, Objection):
            lost.append(_whole(weights, split))
            continue
        conditions, objections = _conditions(split, saying)
        lost += [one.loss(split.origin, "spec.matches", access=False) for one in objections]
        if conditions:
            layers.append(_Layer(_carried(split, saying), conditions, weights))
    return layers, lost


def _conditions(
    split: Split, saying: Callable[[HttpMatch], Said]
) -> tuple[tuple[Condition, ...], tuple[Objection, ...]]:
    if split.matches is None:
        return (EVERYTHING,), ()
    if len(split.matches) > _MAX_CONDITIONS:
        return (), (losses.MATCHES,)
    said = [saying(match) for match in split.matches]
    conditions = {condition for each in said for condition in each.conditions}
    return tuple(sorted(conditions)), tuple(sorted({one for each in said for one in each.objections}))


def _carried(split: Split, saying: Callable[[HttpMatch], Said]) -> Split:
    """The split with those of its matches that can be said; plans show these."""
    if split.matches is None:
        return split
    return replace(split, matches=tuple(match for match in split.matches if saying(match).conditions))


# --------------------------------------------------------------------------------------------------------------- TCP


def _tcp(unit: Route, port: RoutePort, config: GammaConfig) -> _Port:
    """A TCPRoute has one rule and no conditions. Of a port that declares nothing it takes all bytes, HTTP or not."""
    lost = [
        losses.UNDECLARED.loss(one.origin, "spec.matches", access=False)
        for one in port.splits
        if one.matches is not None
    ]
    plain = replace(port, splits=tuple(split for split in port.splits if split.matches is None))
    layers, more = _layers(plain, say)
    rules = [{"backendRefs": objects.backends(layer.weights, port.port)} for layer in layers[:1]]
    made = [objects.route(unit, port.port, "TCPRoute", config.tcp_route_version, rules)] if rules else []
    return _Port(port, tuple(layers[:1]), tuple(made), (*lost, *more))


# ----------------------------------------------------------------------------------------------------------- backends


def _is_headless(port: RoutePort, split: Split) -> bool:
    """Whether a Service that would get calls has no address of its own."""
    return port.headless or any(backend.headless and backend.weight for backend in split.backends)


def _weights(split: Split) -> Weights | Objection:
    """The shares in whole numbers that keep their ratios; zero stays zero."""
    exact: dict[str, Fraction] = {}
    for backend in split.backends:
        exact[backend.service] = exact.get(backend.service, Fraction(0)) + backend.weight
    positive = {service: weight for service, weight in sorted(exact.items()) if weight}
    if len(positive) > MAX_BACKENDS:
        return losses.BACKENDS
    whole = to_integers(tuple(positive.values()))
    fits = whole.exact and max(whole.weights, default=0) <= MAX_WEIGHT
    return dict(zip(positive, whole.weights, strict=True)) if fits else losses.WEIGHTS


def _whole(objection: Objection, split: Split) -> Loss:
    """That a split has no effect at all."""
    return objection.loss(split.origin, "spec.backends", access=False)

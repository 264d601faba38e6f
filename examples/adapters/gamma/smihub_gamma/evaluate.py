"""What a mesh does with a call, given Gateway API's routes, from their documentation alone; it shares no code with translate.

Source: https://github.com/kubernetes-sigs/gateway-api/tree/v1.6.0/apis/v1 (HTTPRouteRule, GRPCRouteRule, TCPRouteRule, BackendRef) and
GEP-1294 (https://gateway-api.sigs.k8s.io/geps/gep-1294/). Whether a caller may call is not Gateway API's to say: all may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from hub.api import Answer, Facts, NativeObject, Request, UnmodelledError
from smihub_gamma.matching import Call, call_of, rank
from smihub_gamma.schema import (
    AnyRoute,
    BackendRef,
    GrpcRoute,
    GrpcRule,
    HttpRoute,
    HttpRule,
    ParentRef,
    TcpRoute,
    read,
)

NOT_HTTP, NOT_GRPC = "gamma.not-http", "gamma.not-grpc"
REPEATED, ODD_PATH = "gamma.repeated-header", "gamma.odd-path"
_URI_PATH = re.compile(rb"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*")
_ORDER = (GrpcRoute, HttpRoute, TcpRoute)
"""Of several types on one port the first is applied, the others are ignored. Source: GEP-1294, "Route types"."""


class _Bound(Struct, frozen=True):
    """A route on one port of a Service."""

    label: str
    route: AnyRoute


class _Routed(Struct, frozen=True):
    """Where a call goes: the word, and exact shares by (Service, port); `refused` are codes that say why it goes nowhere."""

    word: Literal["root", "split", "unavailable"]
    shares: Mapping[tuple[str, int], Fraction] = {}
    by: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class GammaEvaluator:
    """A set of objects, read once, by which requests are judged."""

    def __init__(self, objects: Sequence[NativeObject], facts: Facts) -> None:
        self._facts = facts
        self._services = {place[:2] for place in facts.exposed}
        self._bound: dict[tuple[str, str, int | None], list[_Bound]] = {}
        for native in objects:
            route = read(native)
            for parent in route.spec.parent_refs:
                self._bind(native, route, parent)

    def _bind(self, native: NativeObject, route: AnyRoute, parent: ParentRef) -> None:
        """Routes bind to a Service of their own namespace, and of one type only one to one port: how more merge is not modelled."""
        place = (route.metadata.namespace, parent.name, parent.port)
        found = self._bound.setdefault(place, [])
        if any(type(one.route) is type(route) for one in found):
            raise UnmodelledError(
                f"{native.ref}: a second {native.ref.kind} on {parent.name}:{parent.port} is not modelled"
            )
        found.append(_Bound(str(native.ref), route))

    def judge(self, request: Request) -> Answer:
        """Where a call goes; `ungoverned` wherever anybody receives it, for no route refuses a caller."""
        if request.dst.service is None:
            return Answer("ungoverned" if self._is_known(request) else "deny")
        namespace, _, service = request.dst.service.partition("/")
        place = (namespace, service, request.port)
        transport = "UDP" if request.protocol == "udp" else "TCP"
        exposed = self._facts.exposed.get(place)
        if exposed is None or exposed.transport != transport:
            word: Literal["no-port", "no-service"] = "no-port" if place[:2] in self._services else "no-service"
            return Answer("deny", route=word, weights={}, backends={})
        return self._answer(namespace, self._routed(request, place))

    # ------------------------------------------------------------------------------------------------ who is there

    def _is_known(self, request: Request) -> bool:
        """Whether anybody has the name, or the identity, that a request is for."""
        name, identity = request.dst.pod, request.dst.identity
        return any(
            name == f"{ref.namespace}/{ref.name}" or identity == str(placed.identity)
            for ref, placed in self._facts.placements.items()
        )

    def _answer(self, namespace: str, routed: _Routed) -> Answer:
        """An answer with what stands behind each share; endpoints of a backend are taken as they are, its own routes never."""
        behind = {name: self._facts.endpoints.get((namespace, name, port), ()) for name, port in routed.shares}
        found = any(behind.values()) and not routed.refused
        return Answer(
            "ungoverned" if found else "deny",
            by=routed.by,
            route=routed.word,
            weights={name: str(share) for (name, _), share in sorted(routed.shares.items())},
            backends={name: "allow" if there else "no-endpoint" for name, there in sorted(behind.items())},
            losses=(*routed.refused, *routed.doubts),
        )

    # ----------------------------------------------------------------------------------------------------- routes

    def _routed(self, request: Request, place: tuple[str, str, int]) -> _Routed:
        """Without a route a Service works as in Kubernetes (GEP-1294, "Route presence"), for callers outside of the mesh too.

        So does a headless one, which meshes should not take as a parent ("Allowed service types").
        """
        own = _Routed("root", {(place[1], place[2]): Fraction(1)})
        bound = [*self._bound.get(place, ()), *self._bound.get((*place[:2], None), ())]
        if not bound or request.src.outside or request.protocol == "udp" or self._facts.exposed[place].headless:
            return own
        chosen = min(bound, key=lambda one: _ORDER.index(type(one.route)))
        if sum(type(one.route) is type(chosen.route) for one in bound) > 1:
            raise UnmodelledError(f"{chosen.label}: another route of its type, on all ports, is not modelled")
        call = call_of(request)
        refs, doubts, refused = _refs(chosen.route, call)
        if refused:
            return _Routed("unavailable", by=(chosen.label,), refused=refused)
        shares = _shares(refs)
        if any(exposed.headless for ref in shares if (exposed := self._facts.exposed.get((place[0], *ref)))):
            raise UnmodelledError(f"{chosen.label}: a headless Service as backend is not modelled")
        # All backends are invalid: 500, or UNAVAILABLE, or no connection. Source: backendRefs of each kind of rule.
        if not any((place[0], *ref) in self._facts.exposed for ref in shares):
            return _Routed("unavailable", by=(chosen.label,), doubts=doubts)
        return _Routed("root" if shares == own.shares else "split", shares, (chosen.label,), (), doubts)


def _refs(route: AnyRoute, call: Call) -> tuple[Sequence[BackendRef], tuple[str, ...], tuple[str, ...]]:
    """The backends to which a call goes (none: no rule matches), codes of what is not sure of that, and of why it is refused."""
    if isinstance(route, TcpRoute):
        return route.spec.rules[0].backend_refs, (), ()
    if isinstance(route, HttpRoute) and not call.http:
        return (), (), (NOT_HTTP,)
    if isinstance(route, GrpcRoute) and not call.grpc:
        return (), (), (NOT_GRPC,)
    rules: Sequence[HttpRule | GrpcRule] = route.spec.rules
    return _chosen(rules, call), tuple(_doubts(rules, call)), ()


def _doubts(rules: Sequence[HttpRule | GrpcRule], call: Call) -> Iterator[str]:
    """What is left to implementations: a header that is repeated, and a target that is no path of a URI (RFC 3986, 3.3)."""
    names = {header.name.lower() for rule in rules for match in rule.matches for header in match.headers}
    if names & call.repeated:
        yield REPEATED
    if not _URI_PATH.fullmatch(call.path):
        yield ODD_PATH


def _chosen(rules: Sequence[HttpRule | GrpcRule], call: Call) -> Sequence[BackendRef]:
    """The backends of the most specific match, of the first rule among equals; none where nothing matches (404, UNIMPLEMENTED)."""
    ranked = [
        (found, -number)
        for number, rule in enumerate(rules)
        for match in rule.matches
        if (found := rank(match, call)) is not None
    ]
    return rules[-max(ranked)[1]].backend_refs if ranked else ()


def _shares(refs: Iterable[BackendRef]) -> dict[tuple[str, int], Fraction]:
    """weight/(sum of all weights), none for a weight of zero. Source: BackendRef, weight."""
    weights: dict[tuple[str, int], int] = {}
    for ref in refs:
        weights[ref.name, ref.port] = weights.get((ref.name, ref.port), 0) + ref.weight
    total = sum(weights.values())
    return {place: Fraction(weight, total) for place, weight in weights.items() if weight}


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> GammaEvaluator:
    """Index the objects once."""
    return GammaEvaluator(objects, facts)

"""Where the proxy of a client sends a call to a Service: HTTPRoutes and TCPRoutes with a Service as their parent.

Routes of the Service's namespace count for every client, those of another namespace for clients of that namespace; all of them
are one list. An `appProtocol` that is not `http` or `kubernetes.io/h2c`, or a port that is opaque by default, makes a port opaque:
HTTPRoutes do not count there. Elsewhere TCPRoutes count only where there is no HTTPRoute, and then for HTTP as well.
Source: https://linkerd.io/2-edge/reference/httproute/, https://linkerd.io/2-edge/features/protocol-detection/,
https://gateway-api.sigs.k8s.io/geps/gep-1426/; what beats what was observed on Linkerd edge-26.8, and the words of `appProtocol`
read in its source (policy-controller/core/src/outbound.rs).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from adapters.linkerd.evaluate.ages import agreed
from adapters.linkerd.evaluate.httproutes import BoundRoute, RouteRule, ServiceParent, winner
from adapters.linkerd.evaluate.request import PATH, Reading
from hub.api import Exposed, UnmodelledError

ServicePlace = tuple[str, str, int]
"""Namespace, name and port of a Service."""
MIXED = "port.undeclared-mixed"
Speech = Literal["http1", "http2", "opaque", "detected"]
_WORDS: dict[str, Speech] = {"http": "http1", "kubernetes.io/h2c": "http2"}
OPAQUE_PORTS = frozenset((25, 587, 3306, 4444, 5432, 6379, 9300, 11211))
"""Ports that are opaque by default: of a Service for those who call it, of a Pod for whoever hands on to it."""


class Leading(Struct, frozen=True):
    """Where a call goes: parts by Service port; none: the proxy of the client answers by itself.

    `own`: the Service's own endpoints, which no route shares out. `refused`: the client's proxy does not take such bytes.
    `opaque`: it does not look what they are.
    """

    parts: dict[ServicePlace, Fraction]
    by: tuple[str, ...] = ()
    own: bool = False
    refused: bool = False
    losses: tuple[str, ...] = ()
    opaque: bool = False


class Outbound:
    """All routes with Services as parents, asked by Service port and by the namespace of the client."""

    def __init__(self, https: Iterable[BoundRoute], tcps: Iterable[BoundRoute]) -> None:
        self._https = _by_service(https)
        self._tcps = _by_service(tcps)

    def lead(self, place: ServicePlace, exposed: Exposed, namespace: str, reading: Reading | None) -> Leading:
        """Where a call from a client of this namespace goes; without a reading it is bytes that are not HTTP."""
        # A Service without an address is no parent: clients dial its Pods.
        if exposed.headless:
            return _own(place)
        speech = _speech(exposed, place[2])
        https = [] if speech == "opaque" else self._bound(self._https, place, namespace)
        if speech in {"http1", "http2"} and (reading is None or reading.http2 != (speech == "http2")):
            return replace(_own(place), refused=True, losses=_refusal(reading, routed=bool(https)))
        if https and reading is None:
            return replace(_own(place), losses=(MIXED,))
        if https and reading is not None:
            return _by_http(place, https, reading)
        tcps = [] if speech in {"http1", "http2"} else self._without_conflict(place, namespace)
        found = agreed(tcps, lambda one: _follow(place, one, one.rules[0]), _shares) if tcps else _own(place)
        return replace(found, opaque=speech == "opaque")

    def _without_conflict(self, place: ServicePlace, namespace: str) -> list[BoundRoute]:
        """The TCPRoutes of a port, without those that name a parent which an HTTPRoute names in the same way."""
        taken = {parent for route in self._https.get(place[:2], ()) for parent in route.services}
        routes = self._bound(self._tcps, place, namespace)
        return [one for one in routes if any(_covers(parent, place) and parent not in taken for parent in one.services)]

    def _bound(
        self, routes: dict[tuple[str, str], list[BoundRoute]], place: ServicePlace, namespace: str
    ) -> list[BoundRoute]:
        return [
            one
            for one in routes.get(place[:2], ())
            if one.namespace in {place[0], namespace} and any(_covers(parent, place) for parent in one.services)
        ]


def _by_service(routes: Iterable[BoundRoute]) -> dict[tuple[str, str], list[BoundRoute]]:
    found: dict[tuple[str, str], list[BoundRoute]] = {}
    for route in routes:
        for key in dict.fromkeys((namespace, name) for namespace, name, _ in route.services):
            found.setdefault(key, []).append(route)
    return found


def _covers(parent: ServiceParent, place: ServicePlace) -> bool:
    return parent[:2] == place[:2] and parent[2] in {None, place[2]}


def _speech(exposed: Exposed, port: int) -> Speech:
    """What the port is declared as; its name says nothing to Linkerd."""
    if exposed.app_protocol:
        return _WORDS.get(exposed.app_protocol.lower(), "opaque")
    return "opaque" if port in OPAQUE_PORTS else "detected"


def _refusal(reading: Reading | None, *, routed: bool) -> tuple[str, ...]:
    """Why such bytes are refused that are meant; another version of HTTP may pass, unless its form is of one version alone."""
    if reading is None:
        return (MIXED,) if routed else ()
    return (PATH,) if reading.absolute else ()


def _own(place: ServicePlace) -> Leading:
    return Leading({place: Fraction(1)}, own=True)


def _by_http(place: ServicePlace, routes: Sequence[BoundRoute], reading: Reading) -> Leading:
    """Where the rule leads that a request meets; where none matches, the client's proxy answers 404."""
    found = winner(routes, reading.http, lambda route, rule: _follow(place, route, rule), _shares)
    return Leading({}, tuple(sorted({one.label for one in routes}))) if found is None else found


def _follow(place: ServicePlace, route: BoundRoute, rule: RouteRule) -> Leading:
    """Where one rule leads; without backends, or with the Service itself alone, to its own endpoints."""
    parts: dict[ServicePlace, Fraction] = {}
    for share in rule.shares:
        key = share.namespace, share.service, share.port
        parts[key] = parts.get(key, Fraction(0)) + share.part
    if len({key[:2] for key in parts}) < len(parts):
        raise UnmodelledError(f"{route.label}: a route to two ports of one Service is not modelled")
    own = not parts or list(parts) == [place]
    return Leading(parts or {place: Fraction(1)}, (route.label,), own)


def _shares(leading: Leading) -> object:
    return leading.parts, leading.own

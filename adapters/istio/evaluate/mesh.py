"""What the native objects of an Istio mesh with sidecars mean: which requests get in, and where they go.

Written from Istio's and Envoy's documentation and from observation alone, apart from what made the objects. Workloads
that no ALLOW policy selects are judged as open; a kind, field or value whose meaning is not modelled raises
UnmodelledError, as does a shape that Envoy would reject (it would keep what it had) or die of.
Source: https://istio.io/latest/docs/reference/config/; observed on Istio 1.31 with Envoy 1.40.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from adapters.istio.evaluate.match import NO_HTTP, Http
from adapters.istio.evaluate.policy import DRY_RUN, Gates
from adapters.istio.evaluate.ports import spoken
from adapters.istio.evaluate.request import HEADER, Reading, read
from adapters.istio.evaluate.routes import Entry, Route, Routes
from adapters.istio.evaluate.workloads import NOBODY, Peer, Workloads
from hub.api import (
    Answer,
    BackendWord,
    Endpoint,
    Evaluator,
    Facts,
    NativeObject,
    Request,
    RouteWord,
    UnmodelledError,
    Verdict,
    answer_of,
    backend_word,
    differs_by_version,
    manifest_of,
    merged,
    names_one,
    raw_text,
    service_verdict,
)

ServicePortKey = tuple[str, str, int]
UDP, CALLED_UDP, MIXED = "proto.udp-not-captured", "istio.port-called-udp", "port.undeclared-mixed"
_VERSIONS: Mapping[str, tuple[str, ...]] = {
    "AuthorizationPolicy": ("security.istio.io/v1",),
    "PeerAuthentication": ("security.istio.io/v1",),
    "VirtualService": ("networking.istio.io/v1",),
    "EnvoyFilter": ("networking.istio.io/v1alpha3",),
}
# Istio's own labels and annotations may change who reads an object, and how.
_MEANINGFUL = re.compile(r"(?:(?:internal|sidecar|networking)\.)?istio\.io/")
_RANK: Mapping[str, int] = {"deny": 0, "mixed": 1, "allow": 2}


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> Evaluator:
    """Compile the objects once; the result judges requests. Raises UnmodelledError for what is not modelled."""
    manifests = [manifest_of(native, _VERSIONS, _MEANINGFUL, (DRY_RUN,)) for native in objects]
    return _Mesh(Workloads(Gates(manifests, facts.trust_domain), facts), Routes(manifests), facts)


class _Call(Struct, frozen=True):
    """A request, its caller, and what the first and the second sidecar on its way read (None: no HTTP)."""

    request: Request
    peer: Peer
    first: Reading | None
    second: Reading | None


class _Routing(Struct, frozen=True):
    """Where a call to a Service goes: the word, (share, port) by service, what decided, the call as it arrives.

    `read` says that the sidecar of the client read it as HTTP; a call that is not open was refused by it; one that is not
    `ours` was passed on as it is, without the caller's certificate.
    """

    word: RouteWord
    parts: Mapping[str, tuple[Fraction, int]] = {}
    by: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    reading: Reading | None = None
    read: bool = False
    open: bool = True
    ours: bool = True


class _Mesh:
    def __init__(self, workloads: Workloads, routes: Routes, facts: Facts) -> None:
        self._workloads = workloads
        self._routes = routes
        self._endpoints = facts.endpoints
        self._exposed = facts.exposed
        self._services = {key[:2] for key in facts.exposed}
        self._domains = frozenset(routes.domains) or frozenset(("cluster.local",))

    def judge(self, request: Request) -> Answer:
        """The mesh's verdict on one request, over the version of HTTP that lets more pass, with the losses of both.

        Raises UnmodelledError on anything it does not model.
        """
        first = self._judge(request, http2=False)
        if request.protocol != "http" or not differs_by_version(request):
            return first
        second = self._judge(request, http2=True)
        chosen = second if _RANK[second.verdict] > _RANK[first.verdict] else first
        turned = () if (first.route, first.weights) == (second.route, second.weights) else (HEADER,)
        return replace(chosen, losses=merged([first.losses, second.losses, turned]))

    def _judge(self, request: Request, *, http2: bool) -> Answer:
        if not names_one(request.dst):
            return Answer("deny")
        first = read(request, http2=http2) if request.protocol == "http" else None
        call = _Call(request, self._workloads.peer(request.src), first, first and first.again())
        if request.dst.service is not None:
            return self._service(call)
        return Answer("deny", losses=(UDP,)) if request.protocol == "udp" else self._workload(call)

    def _workload(self, call: _Call) -> Answer:
        """An identity lets in what all of its workloads let in."""
        request = call.request
        reading = call.first if request.src.outside else call.second
        receivers = self._workloads.receivers.addressed(request.dst)
        verdicts = [one.receive(call.peer, request.port, reading) for one in receivers]
        return answer_of(verdicts, _received(request, reading) if any(one.http for one in verdicts) else None)

    # ----------------------------------------------------------------------- a Service

    def _service(self, call: _Call) -> Answer:
        namespace, _, service = (call.request.dst.service or "").partition("/")
        routing = self._routing(call, (namespace, service, call.request.port))
        judged = {
            name: self._behind((namespace, name, port), routing, call) for name, (_, port) in routing.parts.items()
        }
        words = {name: word for name, (word, _) in judged.items()}
        verdicts = [one for _, found in judged.values() for one in found]
        verdict = service_verdict(words.values())
        refused = [] if verdict == "allow" else [one.losses for one in verdicts if not one.allowed]
        http = routing.read or any(one.http for one in verdicts)
        return Answer(
            verdict=verdict,
            by=merged([routing.by, *(one.by for one in verdicts)]),
            route=routing.word,
            weights={name: str(part) for name, (part, _) in routing.parts.items()},
            backends=words,
            losses=merged([routing.losses, *refused]),
            received=_received(call.request, routing.reading) if http else None,
        )

    def _behind(self, place: ServicePortKey, routing: _Routing, call: _Call) -> tuple[BackendWord, list[Verdict]]:
        """The word of one Service port, and the verdicts behind it: its own endpoints, never its own routes."""
        endpoints = self._endpoints.get(place, ())
        peer = call.peer if routing.ours else NOBODY
        verdicts = [self._called(endpoint, routing, peer) for endpoint in endpoints]
        return backend_word(one.allowed and routing.open for one in verdicts), verdicts

    def _called(self, endpoint: Endpoint, routing: _Routing, peer: Peer) -> Verdict:
        """One endpoint; whoever is behind it without being known lets nobody in."""
        receiver = self._workloads.receivers.at(endpoint.workload)
        return Verdict(False) if receiver is None else receiver.receive(peer, endpoint.port, routing.reading)

    # ----------------------------------------------------------------------- the sidecar of a client

    def _routing(self, call: _Call, place: ServicePortKey) -> _Routing:
        if call.request.protocol == "udp":
            return _Routing("no-port" if place[:2] in self._services else "no-service", losses=(UDP,))
        exposed = self._exposed.get(place)
        if exposed is None or exposed.transport == "UDP":
            return _Routing("no-port" if place[:2] in self._services else "no-service")
        if call.request.src.outside:
            return _Routing("root", {place[1]: (Fraction(1), place[2])}, reading=call.first)
        kind = spoken(exposed, place[2])
        if kind == "udp":
            own = {place[1]: (Fraction(1), place[2])}
            return _Routing("root", own, losses=(CALLED_UDP,), reading=call.first, ours=False)
        if kind == "tls":
            return replace(self._chosen(None, NO_HTTP, place), reading=call.first)
        if call.first is not None and kind != "tcp":
            return self._http_routing(call, call.first, place)
        return self._tcp_routing(call, place)

    def _http_routing(self, call: _Call, reading: Reading, place: ServicePortKey) -> _Routing:
        route = self._routes.http(place)
        routing = replace(self._chosen(route, reading.http, place), reading=call.second, read=True)
        faults = reading.faults if self._means(reading.host, place) else merged([reading.faults, (HEADER,)])
        chosen = None if route is None else route.choose(reading.http)
        steered = route is not None and any(route.choose(one) is not chosen for one in reading.line_by_line())
        losses = faults or ((HEADER,) if steered else ())
        return replace(routing, losses=losses, open=not faults)

    def _tcp_routing(self, call: _Call, place: ServicePortKey) -> _Routing:
        route = self._routes.tcp(place)
        http = self._routes.http(place)
        if route is None and http is not None and spoken(self._exposed[place], place[2]) == "http":
            return _Routing("unavailable", by=(http.label,), losses=(MIXED,))
        return replace(self._chosen(route, NO_HTTP, place), reading=call.first)

    def _chosen(self, route: Route | None, http: Http, place: ServicePortKey) -> _Routing:
        """Where a route leads; a Service without one is served by its own endpoints, a route without a match by none."""
        own = {place[1]: (Fraction(1), place[2])}
        if route is None:
            return _Routing("root", own)
        entry = route.choose(http)
        if entry is None or not any((place[0], one.service) in self._services for one in entry.shares):
            return _Routing("unavailable", by=(route.label,))
        parts = _parts(entry, place[2])
        for name, (_, port) in parts.items():
            self._check_callable(route.label, (place[0], name, port), place)
        return _Routing("root" if entry.plain and parts == own else "split", parts, (route.label,))

    def _check_callable(self, label: str, backend: ServicePortKey, root: ServicePortKey) -> None:
        """A share for a headless Service goes to the address that was dialled, one for a port called "udp" nowhere."""
        exposed = self._exposed.get(backend)
        if exposed is None or backend[:2] == root[:2]:
            return
        if exposed.headless or spoken(exposed, backend[2]) == "udp":
            raise UnmodelledError(
                f'{label}: a share for the headless Service, or the port called "udp", "{backend[1]}:{backend[2]}" is not modelled'
            )

    def _means(self, host: bytes | None, place: ServicePortKey) -> bool:
        """Whether a Host header names this Service: any other one leads elsewhere, or past the routes."""
        if host is None:
            return True
        name = host.decode("latin-1").lower().removesuffix(f":{place[2]}")
        short = f"{place[1]}.{place[0]}"
        return name in {place[1], short, f"{short}.svc", *(f"{short}.svc.{domain}" for domain in self._domains)}


def _parts(entry: Entry, port: int) -> dict[str, tuple[Fraction, int]]:
    """Exact shares by service, sorted; one that is listed twice has the sum."""
    parts: dict[str, tuple[Fraction, int]] = {}
    for share in sorted(entry.shares, key=lambda one: one.service):
        before, _ = parts.get(share.service, (Fraction(0), 0))
        parts[share.service] = (before + share.part, share.port or port)
    return parts


def _received(request: Request, reading: Reading | None) -> str | None:
    """The path that an application sees, if it is another than was sent."""
    if reading is None or reading.faults:
        return None
    path = raw_text(reading.http.path)
    return None if path == request.path else path

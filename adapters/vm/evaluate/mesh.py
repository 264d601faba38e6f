"""What the native objects of the VM mesh mean: which requests real Envoys would let in, and where they would go.

Written from Envoy's documentation and its observed behaviour alone, apart from what made the objects. Shapes that open
a port are judged as open; a kind, field or value whose meaning is not modelled raises UnmodelledError, as does a shape
that Envoy would reject (it would keep what it had, and history is not known here).
Source: Envoy API v3, https://www.envoyproxy.io/docs/envoy/latest/api-v3/api
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from adapters.vm import names
from adapters.vm.evaluate.chain import Chain, TcpProxy, Upstream, chain_of, check_client_listener, upstream_of
from adapters.vm.evaluate.http import Outcome, serve
from adapters.vm.evaluate.match import Connection
from adapters.vm.evaluate.resources import Resources
from adapters.vm.evaluate.tls import NOBODY, Peer, Refused
from hub.api import (
    Answer,
    BackendWord,
    Endpoint,
    Evaluator,
    Facts,
    NativeObject,
    Placement,
    Receivers,
    Request,
    RouteWord,
    Source,
    UnmodelledError,
    Verdict,
    answer_of,
    backend_word,
    merged,
    raw_text,
    service_verdict,
)

_LOCALHOST = "127.0.0.1"
UNEXPOSED, UDP, MIXED = "port.unexposed", "proto.udp-not-captured", "port.undeclared-mixed"


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> Evaluator:
    """Index the objects once; the result judges requests. Raises UnmodelledError for a kind that is not ours."""
    return _Mesh(Resources(objects), facts)


class _Verdict(Verdict, frozen=True):
    """A judgement at one workload; `path` is what was judged as HTTP there, "" if nothing was."""

    path: str = ""


class _Routing(Struct, frozen=True):
    """Where a client's Envoy sends a call: the word, exact parts by service, what decided, the call as it leaves.

    `path` is what was judged as HTTP there, "" if nothing was.
    """

    word: RouteWord
    parts: Mapping[str, Fraction]
    by: tuple[str, ...]
    request: Request
    losses: tuple[str, ...] = ()
    open: bool = True
    path: str = ""


class _Mesh:
    def __init__(self, resources: Resources, facts: Facts) -> None:
        self._resources = resources
        self._facts = facts
        self._services = resources.service_names() | {key[:2] for key in facts.endpoints}
        self._chains: dict[str, Chain | None] = {}
        self._upstreams: dict[str, Upstream | None] = {}
        self._client_listeners_checked = False
        self._receivers = Receivers(facts, lambda placement: placement, lambda *_: ())

    def judge(self, request: Request) -> Answer:
        """The mesh's verdict on one request; raises UnmodelledError on anything it does not model."""
        peer = self._peer(request.src)
        if request.dst.service is not None:
            return self._service(request, peer)
        if request.protocol == "udp":
            return Answer("deny", losses=(UDP,))
        verdicts = [self._inbound(one, request, peer) for one in self._receivers.addressed(request.dst)]
        if not verdicts:
            return Answer("deny", losses=(UNEXPOSED,))
        return answer_of(verdicts, _received(request, verdicts))

    # ----------------------------------------------------------------------- who and whom

    def _peer(self, source: Source) -> Peer:
        """The certificate of a caller: the one URI SAN is its SPIFFE id, signed by our CA iff the domain is ours."""
        if source.outside:
            self._check_client_listeners()
        if source.spiffe is not None:
            return self._certificate(source.spiffe)
        if source.identity is not None:
            namespace, _, account = source.identity.partition("/")
            return self._certificate(f"spiffe://{self._facts.trust_domain}/ns/{namespace}/sa/{account}")
        placement = self._receivers.placement(source.pod) if source.pod is not None else None
        return NOBODY if placement is None else self._certificate(placement.identity.spiffe)

    def _check_client_listeners(self) -> None:
        """Nobody outside may reach the listeners at which workloads call out; looked at once, when it first matters."""
        for name, message in () if self._client_listeners_checked else self._resources.client_listeners():
            check_client_listener(message, f"Listener/{name}")
        self._client_listeners_checked = True

    def _certificate(self, spiffe: str) -> Peer:
        ours = spiffe.startswith(f"spiffe://{self._facts.trust_domain}/")
        return Peer(spiffe.encode("utf-8", "surrogatepass"), ours)

    # ----------------------------------------------------------------------- a workload's own Envoy

    def _inbound(self, placement: Placement, request: Request, peer: Peer) -> _Verdict:
        chain = self._exposed(placement, request.port)
        if chain is None:
            return _Verdict(False, losses=(UNEXPOSED,))
        connection = chain.gate.admit(peer, chain.port)
        if isinstance(connection, Refused):
            return _Verdict(False, (chain.origin,), connection.losses)
        if isinstance(chain.end, TcpProxy):
            return self._proxied(chain, chain.end, connection, (placement, request))
        if request.protocol == "tcp":
            return _Verdict(False, (chain.origin,), _raw_bytes(placement, request.port))
        decision = chain.decide(connection)
        if not decision.passes:
            return _Verdict(False, (decision.by,))
        outcome = serve(chain.end, connection, request)
        return replace(self._answered(outcome, placement, request.port), path=raw_text(outcome.call.path))

    def _exposed(self, placement: Placement, port: int) -> Chain | None:
        """The listener of a workload's port, if its Envoy has it and binds it."""
        variant = _variant(placement, port)
        if variant is None:
            return None
        identity = placement.identity
        name = names.inbound_listener(identity.namespace, identity.service_account, port, variant, placement.bind)
        chain = self._chain(name)
        if chain is None or not chain.bound or not self._resources.receives(placement.ref, name):
            return None
        # A listener that binds more than its name says would open a port at which nobody here would look.
        if (placement.bind, port) not in chain.places or any(one[1] != port for one in chain.places):
            raise UnmodelledError(f'listener "{name}" binds {chain.places}, not what its name says')
        return chain

    def _proxied(
        self, chain: Chain, proxy: TcpProxy, connection: Connection, asked: tuple[Placement, Request]
    ) -> _Verdict:
        """A TCP proxy: whoever may connect is served; a server that speaks first is heard before any RBAC verdict."""
        placement, request = asked
        decision = chain.decide(connection)
        if not any(self._reaches(cluster, placement, request.port) for cluster, _ in proxy.shares):
            return _Verdict(False, (proxy.origin,))
        if decision.passes:
            return _Verdict(True, (decision.by,))
        # The proxy has connected upstream before the client's first byte, at which RBAC decides: a server that
        # greets first (SMTP, MySQL) has spoken to the stranger by then. For a request the verdict comes in time.
        leaks = request.protocol == "tcp" and not proxy.waits and not chain.closed
        return _Verdict(leaks, (proxy.origin if leaks else decision.by,))

    def _answered(self, outcome: Outcome, placement: Placement, port: int) -> _Verdict:
        if not outcome.passes or outcome.choice is None:
            return _Verdict(False, outcome.by, outcome.losses)
        if not any(self._reaches(share.cluster, placement, port) for share in outcome.choice.shares):
            return _Verdict(False, (outcome.choice.label,))
        return _Verdict(True, outcome.by, outcome.losses)

    def _reaches(self, cluster: str, placement: Placement, port: int) -> bool:
        """Whether the application of a workload's port stands behind a cluster of its own Envoy."""
        upstream = self._upstream(cluster)
        if upstream is None:
            return False
        # A variant without a digest is that of an application on the port's own number; of others facts do not tell the place.
        plain = "+" not in (_variant(placement, port) or "")
        elsewhere = plain and any(place != (_LOCALHOST, port) for place in upstream.fixed or ())
        if upstream.fixed is None or upstream.client.secure or elsewhere:
            raise UnmodelledError(f'cluster "{cluster}": an inbound port leads away from its own application')
        return bool(upstream.fixed)

    # ----------------------------------------------------------------------- a client's Envoy

    def _service(self, request: Request, peer: Peer) -> Answer:
        namespace, _, service = (request.dst.service or "").partition("/")
        routing = self._routing(namespace, service, request)
        if request.src.outside and routing.word not in {"no-service", "no-port"}:
            routing = _Routing("root", {service: Fraction(1)}, (), request)  # nobody's Envoy stands in between
        judged = {name: self._backend(namespace, name, routing, peer) for name in sorted(routing.parts)}
        words = {name: word for name, (word, _) in judged.items()}
        return Answer(
            verdict=service_verdict(words.values()),
            by=merged([routing.by, *(one.by for _, found in judged.values() for one in found)]),
            route=routing.word,
            weights={name: str(routing.parts[name]) for name in sorted(routing.parts)},
            backends=words,
            losses=_losses(routing, [found for _, found in judged.values()]),
            received=_received(request, [one for _, found in judged.values() for one in found], routing.path),
        )

    def _routing(self, namespace: str, service: str, request: Request) -> _Routing:
        name = names.outbound_listener(namespace, service, request.port)
        chain = None if request.protocol == "udp" else self._chain(name)
        if chain is None:
            known: RouteWord = "no-port" if (namespace, service) in self._services else "no-service"
            return _Routing(known, {}, (), request, (UDP,) if request.protocol == "udp" else ())
        connection = chain.gate.admit(NOBODY, chain.port)
        if isinstance(connection, Refused) or chain.gate.secure:
            raise UnmodelledError(f"{chain.origin}: TLS between an application and its own Envoy is not modelled")
        own = names.outbound(namespace, service, request.port)
        if isinstance(chain.end, TcpProxy):
            return self._tcp_routing(chain, chain.end, own, request)
        if request.protocol == "tcp":
            return _Routing("unavailable", {}, (chain.origin,), request, (MIXED,))
        if not chain.decide(connection).passes:
            return _Routing("unavailable", {}, (chain.origin,), request)
        outcome = serve(chain.end, connection, request)
        return replace(self._http_routing(outcome, own, request), path=raw_text(outcome.call.path))

    def _tcp_routing(self, chain: Chain, proxy: TcpProxy, own: str, request: Request) -> _Routing:
        decision = chain.decide(Connection(False, None, False, chain.port))
        leaks = request.protocol == "tcp" and not proxy.waits and not chain.closed
        if not decision.passes and not leaks:
            return _Routing("unavailable", {}, (decision.by,), request)
        return self._split(proxy.shares, proxy.plain, own, _Routing("split", {}, (proxy.origin,), request))

    def _http_routing(self, outcome: Outcome, own: str, request: Request) -> _Routing:
        choice = outcome.choice
        if choice is None or not choice.shares:
            return _Routing("unavailable", {}, outcome.by, request, outcome.losses)
        if choice.rewrites:
            raise UnmodelledError(f"{choice.label}: a client's Envoy that rewrites paths is not modelled")
        leaving = _forwarded(request, outcome) if outcome.passes else request
        opened = outcome.passes or bool(outcome.losses)
        base = _Routing("split", {}, (choice.label,), leaving, outcome.losses, outcome.passes)
        shares = tuple((share.cluster, share.part) for share in choice.shares)
        return self._split(shares, choice.plain, own, base) if opened else replace(base, word="unavailable")

    def _split(self, shares: Sequence[tuple[str, Fraction]], plain: bool, own: str, base: _Routing) -> _Routing:  # noqa: FBT001
        if plain and shares[0][0] == own:
            return replace(base, word="root", parts={_service_of(own, own): Fraction(1)})
        # Envoy rejects weights that add up to 0, so "nobody serves" is written as static clusters without endpoints.
        if all(self._is_dead(cluster) for cluster, _ in shares):
            return replace(base, word="unavailable")
        parts: dict[str, Fraction] = {}
        for cluster, part in shares:
            service = _service_of(cluster, own)
            parts[service] = parts.get(service, Fraction(0)) + part
        return replace(base, parts=parts)

    def _is_dead(self, cluster: str) -> bool:
        """Whether a cluster is one of nobody's: static and empty."""
        upstream = self._upstream(cluster)
        return upstream is not None and upstream.fixed == ()

    def _backend(
        self, namespace: str, service: str, routing: _Routing, peer: Peer
    ) -> tuple[BackendWord, tuple[_Verdict, ...]]:
        """The word of one service of a split, and the verdicts behind it."""
        upstream = self._upstream(names.outbound(namespace, service, routing.request.port))
        endpoints = self._facts.endpoints.get((namespace, service, routing.request.port), ())
        # Envoy has nowhere to send the call, so nobody behind the Service has been asked.
        if upstream is None or not endpoints:
            return "no-endpoint", ()
        if upstream.fixed is not None:
            raise UnmodelledError(f'service "{namespace}/{service}": its cluster has endpoints of its own')
        verdicts = tuple(self._called(upstream, endpoint, routing, peer) for endpoint in endpoints)
        return backend_word(one.allowed and routing.open for one in verdicts), verdicts

    def _called(self, upstream: Upstream, endpoint: Endpoint, routing: _Routing, peer: Peer) -> _Verdict:
        """One endpoint: spoken to only if its certificate is pinned, then judged by its own Envoy."""
        if not upstream.client.trusts(self._certificate(endpoint.spiffe)):
            return _Verdict(False)
        placement = self._facts.placements.get(endpoint.workload)
        if placement is None:
            return _Verdict(False, losses=(UNEXPOSED,))
        shown = peer if upstream.client.shows else NOBODY
        return self._inbound(placement, replace(routing.request, port=endpoint.port), shown)

    # ----------------------------------------------------------------------- compiled once

    def _chain(self, name: str) -> Chain | None:
        if name not in self._chains:
            message = self._resources.find("Listener", name)
            self._chains[name] = None if message is None else chain_of(message, self._resources)
        return self._chains[name]

    def _upstream(self, name: str) -> Upstream | None:
        if name not in self._upstreams:
            message = self._resources.find("Cluster", name)
            self._upstreams[name] = None if message is None else upstream_of(message, self._resources)
        return self._upstreams[name]


def _variant(placement: Placement, port: int) -> str | None:
    """The variant of a workload's TCP port; None if it has no such port."""
    return next((one[2] for one in placement.inbound if one[:2] == (port, "TCP")), None)


def _raw_bytes(placement: Placement, port: int) -> tuple[str, ...]:
    """Why raw bytes are refused by an HTTP listener: a loss where nobody declared that the port speaks HTTP."""
    undeclared = any(one[:2] == (port, "TCP") and one[2].startswith("none") for one in placement.inbound)
    return (MIXED,) if undeclared else ()


def _service_of(cluster: str, own: str) -> str:
    """The service that a cluster's name means; it must be of the same namespace and port as the route's own."""
    parts, mine = cluster.split("/"), own.split("/")
    if len(parts) != len(mine) or (parts[0], parts[1], parts[3]) != (mine[0], mine[1], mine[3]):
        raise UnmodelledError(
            f'a route of "{own}" leads to "{cluster}", which is not a service with that namespace and port'
        )
    return parts[2]


def _forwarded(request: Request, outcome: Outcome) -> Request:
    """The request as a client's Envoy sends it on: path normalised, headers of the connection and of the route removed."""
    kept = outcome.call.headers.keys() - outcome.host.removed
    headers = tuple((name, value) for name, value in request.headers if name.lower() in kept)
    return replace(request, path=raw_text(outcome.call.path), headers=headers)


def _received(request: Request, verdicts: Iterable[_Verdict], sent: str = "") -> str | None:
    """The path that an application gets, if it is another than the caller's: what its Envoy judged, else what was `sent`."""
    seen = next((one.path for one in verdicts if one.path), sent)
    return seen if request.protocol == "http" and seen not in {"", request.path} else None


def _losses(routing: _Routing, verdicts: Sequence[Sequence[_Verdict]]) -> tuple[str, ...]:
    inner = [one.losses for found in verdicts for one in found]
    return merged([routing.losses, *inner])

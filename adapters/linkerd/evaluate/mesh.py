"""What the native objects of a Linkerd mesh mean: which requests get in, and where they go.

Written from Linkerd's documentation and from observation alone, apart from what made the objects. A kind, field or value whose
meaning is not modelled raises UnmodelledError, as does a shape that the policy controller would not read (it would keep what it
had), or an answer that takes an age, or an address of a caller, that is not known.
Source: https://linkerd.io/2-edge/reference/; observed on Linkerd edge-26.8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from adapters.linkerd.config import GATEWAY, POLICY
from adapters.linkerd.evaluate.callers import Caller
from adapters.linkerd.evaluate.httproutes import http_route_of, tcp_route_of
from adapters.linkerd.evaluate.outbound import OPAQUE_PORTS, Leading, Outbound, ServicePlace
from adapters.linkerd.evaluate.policies import Policies
from adapters.linkerd.evaluate.request import HEADER, Reading, readings
from adapters.linkerd.evaluate.servers import Servers
from adapters.linkerd.evaluate.workloads import Workloads
from hub.api import (
    Answer,
    BackendWord,
    Endpoint,
    Evaluator,
    Facts,
    NativeObject,
    Request,
    RouteWord,
    Verdict,
    answer_of,
    backend_word,
    manifest_of,
    merged,
    names_one,
    service_verdict,
)

UDP = "proto.udp-not-captured"
_VERSIONS: Mapping[str, tuple[str, ...]] = {
    "Server": (f"{POLICY}/v1beta3",),
    "AuthorizationPolicy": (f"{POLICY}/v1alpha1",),
    "MeshTLSAuthentication": (f"{POLICY}/v1alpha1",),
    "NetworkAuthentication": (f"{POLICY}/v1alpha1",),
    "HTTPRoute": (f"{POLICY}/v1beta3", f"{GATEWAY}/v1"),
    "TCPRoute": (f"{GATEWAY}/v1alpha2",),
}
# Linkerd's own labels and annotations may change what an object does.
_MEANINGFUL = re.compile(r"(?:[^/]*\.)?linkerd\.io/")
_RANK: Mapping[str, int] = {"deny": 0, "mixed": 1, "allow": 2}


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> Evaluator:
    """Compile the objects once; the result judges requests. Raises UnmodelledError for what is not modelled."""
    found = (manifest_of(native, _VERSIONS, _MEANINGFUL) for native in objects)
    manifests = sorted(found, key=lambda one: (one.label, one.group))
    https = [http_route_of(one) for one in manifests if one.kind == "HTTPRoute"]
    tcps = [tcp_route_of(one) for one in manifests if one.kind == "TCPRoute"]
    servers = Servers(manifests, https, Policies(manifests, facts.trust_domain))
    return _LinkerdMesh(Workloads(servers, facts), Outbound(https, tcps), facts)


class _Call(Struct, frozen=True):
    """A request, its caller, and what the proxies read over one version of HTTP (None: it is not HTTP)."""

    request: Request
    caller: Caller
    reading: Reading | None


class _LinkerdMesh:
    def __init__(self, workloads: Workloads, outbound: Outbound, facts: Facts) -> None:
        self._workloads = workloads
        self._outbound = outbound
        self._endpoints = facts.endpoints
        self._exposed = facts.exposed
        self._services = {key[:2] for key in facts.exposed}

    def judge(self, request: Request) -> Answer:
        """The mesh's verdict on one request, over the version of HTTP that lets more pass, with the losses of both.

        Raises UnmodelledError on anything it does not model.
        """
        if not names_one(request.dst):
            return Answer("deny")
        caller = self._workloads.caller(request.src)
        read: Sequence[Reading | None] = readings(request) if request.protocol == "http" else (None,)
        judged = [self._judge(_Call(request, caller, one)) for one in read]
        chosen, _ = max(judged, key=lambda one: (_RANK[one[0].verdict], one[1]))
        answers = [answer for answer, _ in judged]
        moved = len({(one.route, tuple((one.weights or {}).items())) for one in answers if one.verdict != "deny"}) > 1
        return replace(chosen, losses=merged([*(one.losses for one in answers), (HEADER,) if moved else ()]))

    def _judge(self, call: _Call) -> tuple[Answer, bool]:
        """The answer, and whether the proxy of the client takes such a call at all."""
        if call.request.dst.service is not None:
            return self._service(call)
        return Answer("deny", losses=(UDP,)) if call.request.protocol == "udp" else self._workload(call), True

    def _workload(self, call: _Call) -> Answer:
        """An identity lets in what all of its workloads let in."""
        receivers = self._workloads.receivers.addressed(call.request.dst)
        reading = None if call.request.port in OPAQUE_PORTS else call.reading
        verdicts = [one.receive(call.caller, call.request.port, reading) for one in receivers]
        return answer_of(verdicts, _received(call, verdicts))

    # ----------------------------------------------------------------------- a Service

    def _service(self, call: _Call) -> tuple[Answer, bool]:
        namespace, _, service = (call.request.dst.service or "").partition("/")
        place = namespace, service, call.request.port
        exposed = self._exposed.get(place)
        if exposed is None or exposed.transport == "UDP" or call.request.protocol == "udp":
            losses = (UDP,) if call.request.protocol == "udp" else ()
            word: RouteWord = "no-port" if place[:2] in self._services else "no-service"
            return Answer("deny", route=word, weights={}, backends={}, losses=losses), True
        leading = Leading({place: Fraction(1)}, own=True)
        if not call.request.src.outside:
            leading = self._outbound.lead(place, exposed, call.caller.namespace, call.reading)
        # The share of a Service that does not exist is answered by the proxy of the client, with 500.
        if not any(key[:2] in self._services for key in leading.parts):
            leading = replace(leading, parts={}, own=False)
        return self._answer(call, place, leading), not leading.refused

    def _answer(self, call: _Call, place: ServicePlace, leading: Leading) -> Answer:
        judged = {key: self._behind(key, call, leading) for key in sorted(leading.parts)}
        verdicts = [one for _, found in judged.values() for one in found]
        words = {_name(key, place): word for key, (word, _) in judged.items()}
        verdict = service_verdict(words.values())
        # The client's proxy refuses what is no request, whoever stands behind the Service.
        faults = () if call.reading is None or leading.opaque else call.reading.faults
        refused = [one.losses for one in verdicts if one.allowed or verdict != "allow"]
        return Answer(
            verdict=verdict,
            by=merged([leading.by, *(one.by for one in verdicts)]),
            route="root" if leading.own else "split" if leading.parts else "unavailable",
            weights={_name(key, place): str(leading.parts[key]) for key in judged},
            backends=words,
            losses=merged([*((faults, leading.losses) if verdict != "allow" else ()), *refused]),
            received=_received(call, verdicts),
        )

    def _behind(self, place: ServicePlace, call: _Call, leading: Leading) -> tuple[BackendWord, list[Verdict]]:
        """The word of one Service port, and the verdicts behind it: its own endpoints, never its own routes."""
        verdicts = [self._called(endpoint, call, leading) for endpoint in self._endpoints.get(place, ())]
        return backend_word(one.allowed for one in verdicts), verdicts

    def _called(self, endpoint: Endpoint, call: _Call, leading: Leading) -> Verdict:
        """One endpoint; a client whose proxy refuses the call reaches nobody, and who is not known lets nobody in."""
        proxy = self._workloads.receivers.at(endpoint.workload)
        if proxy is None or leading.refused:
            return Verdict(False)
        # A client that does not look hands on bytes as bytes where the Pod's port is opaque as well; else the Pod's proxy looks.
        unread = leading.opaque and endpoint.port in OPAQUE_PORTS
        return proxy.receive(call.caller, endpoint.port, None if unread else call.reading)


def _name(key: ServicePlace, root: ServicePlace) -> str:
    """How an answer calls a backend: by its name, and with its namespace where that is another one."""
    return key[1] if key[0] == root[0] else f"{key[0]}/{key[1]}"


def _received(call: _Call, verdicts: Sequence[Verdict]) -> str | None:
    """The target that an application sees, if it is another than was sent and a proxy read it."""
    return call.reading.received if call.reading is not None and any(one.http for one in verdicts) else None

"""Workloads of an Istio mesh: who calls, who receives, and what a receiver's sidecar makes of a call.

Source: https://istio.io/latest/docs/concepts/security/,
https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/; observed on Istio 1.31 with Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from adapters.istio.evaluate.match import Call
from adapters.istio.evaluate.policy import DISABLE, STRICT, Gate, Gates
from adapters.istio.evaluate.ports import Kind, received
from adapters.istio.evaluate.request import HEADER, Reading
from hub.api import (
    SERVICE_ACCOUNT_LABEL,
    Facts,
    Placement,
    Receivers,
    Source,
    UnmodelledError,
    Verdict,
    service_account_label,
)

FOREIGN, UNEXPOSED = "source.foreign-trust-domain", "port.unexposed"
_KINDS: Mapping[str, Kind] = {"http": "http", "tcp": "tcp", "none": "none", "unknown": "none"}


class Peer(Struct, frozen=True):
    """A caller: the URI SAN of its certificate (None: it has none), and whether its trust domain is ours."""

    uri: bytes | None = None
    ours: bool = False


NOBODY = Peer()


class Receiver(Struct, frozen=True):
    """A workload with its sidecar: the gate before it, and the protocols of its TCP ports; a `closed` one has no others."""

    gate: Gate
    kinds: Mapping[int, Kind]
    closed: bool = False

    def kind(self, port: int) -> Kind:
        """How the sidecar reads a port; what nobody declares is found out by looking at the first bytes."""
        return self.kinds.get(port, "none")

    def receive(self, peer: Peer, port: int, reading: Reading | None) -> Verdict:
        """Judge one call; without a reading it is bytes that are not HTTP."""
        gate = self.gate
        if self.closed and port not in self.kinds:
            return Verdict(False, (), (UNEXPOSED,))
        # A server without TLS asks for no certificate, so policies see an anonymous caller, whoever it is.
        uri = None if gate.mode == DISABLE else peer.uri
        # The handshake fails at the CA, before any policy; a loss, since SMI may name foreign SPIFFE ids.
        if uri is not None and not peer.ours:
            return Verdict(False, (), (FOREIGN,))
        if uri is None and gate.mode == STRICT:
            return Verdict(False, gate.peer)
        kind = self.kind(port)
        if reading is not None and kind != "tcp":
            return _over_http(gate, Call(uri, port, reading.http), reading)
        if kind == "http":
            return Verdict(False)  # the HTTP codec refuses other bytes before any policy is asked
        decision = gate.tcp.decide(Call(uri, port))
        return Verdict(decision.passes, decision.by)


def _over_http(gate: Gate, call: Call, reading: Reading) -> Verdict:
    """What Envoy itself refuses says why; a denial by policy only where header lines as they were sent would pass."""
    decision = gate.http.decide(call)
    if reading.faults:
        return Verdict(False, decision.by, reading.faults, http=True)
    if decision.passes or not reading.wild:
        return Verdict(decision.passes, decision.by, http=True)
    meant = gate.http.decide(Call(call.uri, call.port, reading.meant or reading.http, reading.wild))
    return Verdict(False, decision.by, (HEADER,) if meant.passes else (), http=True)


class Workloads:
    """Everyone who calls (by name) and receives."""

    def __init__(self, gates: Gates, facts: Facts) -> None:
        self._gates = gates
        self._domain = facts.trust_domain
        self._declared = received(facts)
        self.receivers = Receivers(facts, self._receiver, self._without_workload)

    def peer(self, source: Source) -> Peer:
        """The certificate of a caller; outsiders and unknown pods have none, nor has who is named in several ways."""
        named = [name for name in (source.identity, source.pod, source.spiffe) if name is not None]
        if source.outside or len(named) != 1:
            return NOBODY
        if source.spiffe is not None:
            return self._certificate(source.spiffe)
        if source.identity is not None:
            namespace, _, account = source.identity.partition("/")
            return self._certificate(f"spiffe://{self._domain}/ns/{namespace}/sa/{account}")
        placement = self.receivers.placement(named[0])
        return NOBODY if placement is None else self._certificate(placement.identity.spiffe)

    def _certificate(self, spiffe: str) -> Peer:
        return Peer(spiffe.encode("utf-8", "surrogatepass"), spiffe.startswith(f"spiffe://{self._domain}/"))

    def _without_workload(self, namespace: str, account: str) -> Sequence[Receiver]:
        """Whoever would run under an identity that nobody has: no labels but that of the account, nothing declared.

        Where no policy speaks of it either, there is nobody who could be open.
        """
        labels = frozenset({(SERVICE_ACCOUNT_LABEL, service_account_label(account))})
        gate = self._gates.before(namespace, labels)
        return (Receiver(gate, {}),) if gate.http.allow or gate.http.deny else ()

    def _receiver(self, placement: Placement) -> Receiver:
        identity = placement.identity
        labels = {SERVICE_ACCOUNT_LABEL: service_account_label(identity.service_account), **dict(placement.labels)}
        kinds = {
            port: self._declared.get((placement.ref, port), _kind(variant))
            for port, transport, variant in placement.inbound
            if transport == "TCP"
        }
        gate = self._gates.before(identity.namespace, frozenset(labels.items()))
        return Receiver(gate, kinds, closed=placement.ref.kind == "Workload")


def _kind(variant: str) -> Kind:
    kind = _KINDS.get(variant.partition("+")[0])
    if kind is None:
        raise UnmodelledError(f'ports of the variant "{variant}" are not modelled')
    return kind

"""Workloads of a Consul mesh: who calls, who receives, and what the sidecar of a receiver makes of a call.

A Consul service is its own identity: whoever runs as an account is an instance of the service of that name, and its
certificate says `spiffe://<trust domain>/ns/default/dc/<datacenter>/svc/<service>`. A service has one port; which of those that
its workloads declare it is, nothing tells, so each of them is taken to be. Whoever has no certificate of the mesh is not let in.
Source: https://developer.hashicorp.com/consul/docs/secure-mesh/certificate, agent/connect/uri_service.go of Consul 1.22;
https://developer.hashicorp.com/consul/docs/secure-mesh/k8s (a service is called like its account where ACLs are on). Calls without a
certificate were observed on Consul 1.22 with Envoy 1.40: the connection is closed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from adapters.consul.evaluate.intentions import Decision, Default, Gate, Gates
from adapters.consul.evaluate.matching import Leniency
from adapters.consul.evaluate.request import GUARDED, HEADER, NO_HTTP, Http, Reading
from adapters.consul.names import Names
from hub.api import Facts, Placement, Receivers, Source, Verdict, identity_of

FOREIGN, UNEXPOSED, MIXED = "source.foreign-trust-domain", "port.unexposed", "port.undeclared-mixed"
_SERVICE = re.compile(r"/ns/default/dc/[^/]+/svc/([^/]+)")


class Caller(Struct, frozen=True):
    """A caller: the service of its certificate ("": it has none that names one), and whether another mesh issued it."""

    service: str = ""
    foreign: bool = False


NOBODY = Caller()


class Guard(Struct, frozen=True):
    """The gate before a service, and the defaults that agents may have: no entry tells, so what one of them lets pass gets in."""

    gate: Gate
    defaults: tuple[Default, ...]

    def decide(self, caller: str, http: Http) -> Decision:
        """The decision of the agents that let more pass."""
        decisions = [self.gate.decide(caller, http, default) for default in self.defaults]
        return next((one for one in decisions if one.allowed), decisions[0])

    def judge(self, caller: str, reading: Reading | None) -> Verdict:
        """Judge a call of this service; without a reading it is bytes that are not HTTP."""
        if reading is None and self.gate.http:
            # The HTTP codec refuses other bytes before any intention is asked.
            return Verdict(False, losses=(MIXED,) if self.decide(caller, NO_HTTP).allowed else ())
        if reading is None or not self.gate.http:
            decision = self.decide(caller, NO_HTTP)
            return Verdict(decision.allowed, decision.by)
        decision = self.decide(caller, reading.seen)
        if reading.faults:
            return Verdict(False, decision.by, reading.faults, http=True)
        losses = () if decision.allowed else self._excuses(caller, reading)
        return Verdict(decision.allowed, decision.by, losses, http=True)

    def _excuses(self, caller: str, reading: Reading) -> tuple[str, ...]:
        """The codes of what alone stands in the way: a path, or values, that can be read in two ways."""
        path, values = not reading.is_plain, not reading.is_single
        for codes in ((GUARDED,), (HEADER,), (GUARDED, HEADER)):
            slack = Leniency(GUARDED in codes, HEADER in codes)
            if (path or not slack.paths) and (values or not slack.values):
                http = reading.meant_as(reading.seen) if slack.values else reading.seen
                # Where the default is to allow, whoever is not denied is let in: only what an intention allows is meant.
                if self.gate.decide(caller, http, "deny", slack).allowed:
                    return codes
        return ()


class Receiver(Struct, frozen=True):
    """A workload with its sidecar: its service ("": its account has none), and the TCP ports that it declares (none: any)."""

    service: str
    guard: Guard
    ports: frozenset[int]

    def receive(self, caller: Caller, port: int, reading: Reading | None) -> Verdict:
        """Judge one call."""
        if self.ports and port not in self.ports:
            return Verdict(False, (), (UNEXPOSED,))
        # The handshake fails at the CA, before any intention; a loss, since SMI may name foreign SPIFFE ids.
        if caller.foreign:
            return Verdict(False, (), (FOREIGN,))
        return self.guard.judge(caller.service, reading) if caller.service and self.service else Verdict(False)


class Workloads:
    """Everyone who calls (by name) and receives."""

    def __init__(self, gates: Gates, facts: Facts, names: Names, defaults: tuple[Default, ...]) -> None:
        self._gates = gates
        self._domain = facts.trust_domain
        self._names = names
        self._defaults = defaults
        self.receivers = Receivers(facts, self._receiver, self._without_workload)

    def caller(self, source: Source) -> Caller:
        """The certificate of a caller; outsiders and unknown pods have none, nor has who is named in several ways."""
        named = [name for name in (source.identity, source.pod, source.spiffe) if name is not None]
        if source.outside or len(named) != 1:
            return NOBODY
        if source.spiffe is not None:
            return self._certificate(source.spiffe)
        if source.identity is not None:
            return self._account(*source.identity.partition("/")[::2])
        placement = self.receivers.placement(named[0])
        return NOBODY if placement is None else self._certificate(placement.identity.spiffe)

    def _without_workload(self, namespace: str, account: str) -> Sequence[Receiver]:
        """Whoever would run as a service of which nobody is an instance; where no entry is about it, nobody is there."""
        service = self._names.service(namespace, account)
        return (self._of(service, frozenset()),) if service is not None and self._gates.knows(service) else ()

    def _receiver(self, placement: Placement) -> Receiver:
        identity = placement.identity
        ports = frozenset(port for port, transport, _ in placement.inbound if transport == "TCP")
        return self._of(self._names.service(identity.namespace, identity.service_account) or "", ports)

    def _of(self, service: str, ports: frozenset[int]) -> Receiver:
        return Receiver(service, Guard(self._gates.before(service), self._defaults), ports)

    def _account(self, namespace: str, account: str) -> Caller:
        return Caller(self._names.service(namespace, account) or "")

    def _certificate(self, spiffe: str) -> Caller:
        """`/ns/N/sa/S` in our trust domain is that account; a certificate of Consul itself names its service."""
        if not spiffe.startswith(f"spiffe://{self._domain}/"):
            return Caller(foreign=True)
        own = _SERVICE.fullmatch(spiffe.removeprefix(f"spiffe://{self._domain}"))
        identity = identity_of(spiffe)
        if own is not None or identity is None:
            return Caller("" if own is None else own[1])
        return self._account(identity.namespace, identity.service_account)

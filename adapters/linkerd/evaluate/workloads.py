"""Workloads of a Linkerd mesh: who calls, who receives, and what the proxy of a Pod makes of a call.

A Pod that no Server selects is open on every port. One that a Server selects is taken to have the default policy `deny`, which
closes its other ports. Linkerd's proxies stand in Pods: a Workload outside of Kubernetes receives nothing here.
Source: https://linkerd.io/2-edge/reference/authorization-policy/ (default policies); observed on Linkerd edge-26.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from adapters.linkerd.evaluate.ages import agreed
from adapters.linkerd.evaluate.callers import NOBODY, Caller, caller_of_account, caller_of_spiffe
from adapters.linkerd.evaluate.request import Reading
from adapters.linkerd.evaluate.servers import InboundServer, Servers
from hub.api import (
    SERVICE_ACCOUNT_LABEL,
    Facts,
    Placement,
    Receivers,
    Source,
    Verdict,
    service_account_label,
)

FOREIGN, UNEXPOSED = "source.foreign-trust-domain", "port.unexposed"


class PodProxy(Struct, frozen=True):
    """A workload: the Servers that select it by port, the TCP ports that it declares, and whether a proxy is there at all."""

    servers: Mapping[int, Sequence[InboundServer]]
    declared: frozenset[int]
    exists: bool = True

    def receive(self, caller: Caller, port: int, reading: Reading | None) -> Verdict:
        """Judge one call; without a reading it is bytes that are not HTTP."""
        if not self.exists:
            return Verdict(False, (), (UNEXPOSED,))
        # The handshake fails at the CA, before any policy; a loss, since SMI may name foreign SPIFFE ids.
        if caller.foreign:
            return Verdict(False, (), (FOREIGN,))
        if port in self.servers:
            return self._behind_server(self.servers[port], caller, reading)
        if self.servers:
            return Verdict(False, (), () if port in self.declared else (UNEXPOSED,))
        faults = () if reading is None else reading.faults
        return Verdict(not faults, (), faults, http=reading is not None)

    def _behind_server(self, servers: Sequence[InboundServer], caller: Caller, reading: Reading | None) -> Verdict:
        def judge(server: InboundServer) -> Verdict:
            return server.judge(caller, reading)

        return agreed(servers, judge, lambda verdict: verdict.allowed)


class Workloads:
    """Everyone who calls (by name) and receives."""

    def __init__(self, servers: Servers, facts: Facts) -> None:
        self._servers = servers
        self._domain = facts.trust_domain
        self.receivers = Receivers(facts, self._proxy, self._without_workload)

    def caller(self, source: Source) -> Caller:
        """The certificate of a caller; outsiders and unknown pods have none, nor has who is named in several ways."""
        named = [name for name in (source.identity, source.pod, source.spiffe) if name is not None]
        if source.outside or len(named) != 1:
            return NOBODY
        if source.spiffe is not None:
            return caller_of_spiffe(source.spiffe, self._domain)
        if source.identity is not None:
            namespace, _, account = source.identity.partition("/")
            return caller_of_account(namespace, account, self._domain)
        placement = self.receivers.placement(named[0])
        if placement is None:
            return NOBODY
        return replace(caller_of_spiffe(placement.identity.spiffe, self._domain), addresses=placement.addresses)

    def _without_workload(self, namespace: str, account: str) -> Sequence[PodProxy]:
        """Pods that would run under an account that nobody has; where no Server would select them, nobody is there."""
        labels = frozenset({(SERVICE_ACCOUNT_LABEL, service_account_label(account))})
        servers = self._servers.before(namespace, labels)
        return (PodProxy(servers, frozenset(), exists=bool(servers)),)

    def _proxy(self, placement: Placement) -> PodProxy:
        identity = placement.identity
        # The label of the account is bound at admission, unless the Pod brings one.
        labels = {SERVICE_ACCOUNT_LABEL: service_account_label(identity.service_account), **dict(placement.labels)}
        declared = frozenset(port for port, transport, _ in placement.inbound if transport == "TCP")
        servers = self._servers.before(identity.namespace, frozenset(labels.items()))
        return PodProxy(servers, declared, exists=placement.ref.kind != "Workload")

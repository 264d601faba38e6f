"""Who receives: what runs under an identity, what stands behind a Service, and what its ports are declared to speak."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from msgspec import Struct

from hub.semantics.decoded import DecodedDocuments
from hub.semantics.doubts import UnreadableObjects
from hub.semantics.identities import Bindings, SubjectKey
from hub.semantics.kubernetes import TEMPLATE_KINDS
from hub.semantics.labels import LabelIndex, Labels, SelectorIndex
from hub.semantics.protocols import agree, word_of, word_of_service_port
from hub.semantics.types import Account, ExposedPort, ExposedService, Instance, Slice, Word

_REMEMBERED = 65_536


class Situation(Struct, frozen=True):
    """A receiver as far as a verdict can tell receivers apart: identity, subjects it satisfies, port and protocol.

    `account` None: nobody knows who answers there.
    """

    account: Account | None
    keys: frozenset[SubjectKey]
    port: int
    declared: Word


_NOBODY_KNOWN = Situation(None, frozenset(), 0, "none")


class ReceiverIndex:
    """Looks up receivers. Answers are remembered, since many requests meet the same ones."""

    def __init__(self, decoded: DecodedDocuments, bindings: Bindings) -> None:
        self._bindings = bindings
        self._doubts = UnreadableObjects(decoded.doubts)
        self._services = decoded.services
        self._selectors = SelectorIndex((one.namespace, one.selector, one) for one in decoded.services.values())
        planned = [one for one in decoded.workloads if one.kind in TEMPLATE_KINDS]
        running = [one for one in decoded.workloads if one.kind not in TEMPLATE_KINDS]
        self._planned = LabelIndex((one.namespace, one.labels, one) for one in planned)
        self._running = LabelIndex((one.namespace, one.labels, one) for one in running)
        self._pods = {(one.namespace, one.name): one for one in running if one.kind == "Pod"}
        self._by_name: dict[tuple[str, str], Instance] = {}
        self._by_account: dict[Account, list[Instance]] = {}
        for workload in decoded.workloads:  # Workloads stand first, then Pods, then templates by kind
            self._by_name.setdefault((workload.namespace, workload.name), workload)
            self._by_account.setdefault(workload.account, []).append(workload)
        self._slices: dict[tuple[str, str], list[Slice]] = {}
        for one in decoded.slices:
            self._slices.setdefault((one.namespace, one.service), []).append(one)
        # Per instance, not on the class: a cache of methods would keep every old set of documents alive.
        self.under_account = lru_cache(_REMEMBERED)(self._under_account)
        self.behind = lru_cache(_REMEMBERED)(self._behind)
        self._keys = lru_cache(_REMEMBERED)(self._find_keys)

    def workload(self, namespace: str, name: str) -> Instance | None:
        """Find a workload by name: a smihub.io Workload before a Pod before a pod template (by kind name)."""
        return self._by_name.get((namespace, name))

    def service_port(self, namespace: str, service: str, port: int, transport: str) -> ExposedPort | None:
        """Find a port of a Service, None if the Service or the port does not exist."""
        found = self._services.get((namespace, service))
        ports = found.ports if found else ()
        return next((one for one in ports if (one.port, one.transport) == (port, transport)), None)

    def has_service(self, namespace: str, service: str) -> bool:
        """Tell whether there is such a Service."""
        return (namespace, service) in self._services

    @property
    def shows_workloads(self) -> bool:
        """Whether the documents say of anything that it runs: they may be about SMI alone."""
        return bool(self._by_account)

    def accounts(self) -> Collection[Account]:
        """Return every account that something runs under."""
        return self._by_account.keys()

    def services(self, namespace: str) -> list[str]:
        """Return the names of the Services of a namespace."""
        return [name for there, name in self._services if there == namespace]

    def ports_of(self, namespace: str, service: str) -> tuple[ExposedPort, ...]:
        """Return the ports of a Service; none if it does not exist."""
        found = self._services.get((namespace, service))
        return found.ports if found else ()

    def selector_of(self, namespace: str, service: str) -> Labels:
        """Return the selector of a Service; none if it does not exist."""
        found = self._services.get((namespace, service))
        return found.selector if found else frozenset()

    def leading_to(self, account: Account | None, port: int) -> list[tuple[str, int]]:
        """Return the Service ports, named as people name them, that lead to a port of workloads of an account."""
        found = {
            (f"port {entry.port} of Service/{service.namespace}/{service.name}", entry.port)
            for workload in (() if account is None else self._by_account.get(account, ()))
            for service in self._selectors.satisfied_by(workload.namespace, workload.labels)
            for entry in service.ports
            if port in _target_ports(workload, entry)
        }
        return sorted(found)

    def keys_of(self, workload: Instance) -> frozenset[SubjectKey]:
        """Return every subject that a workload satisfies, by its identity or its labels."""
        return self._keys(workload)

    def _find_keys(self, workload: Instance) -> frozenset[SubjectKey]:
        by_labels = self._bindings.of_labels(workload.namespace, workload.labels)
        return self._bindings.of_account(workload.account) | by_labels

    # ----------------------------------------------------------------------- receivers

    def at_workload(self, workload: Instance, port: int, transport: str) -> Situation:
        """Describe one workload as the receiver on one of its own ports."""
        declared = self._declared(workload, port) if transport == "TCP" else "none"
        return Situation(workload.account, self.keys_of(workload), port, declared)

    def _under_account(self, account: Account, port: int, transport: str) -> frozenset[Situation]:
        """Describe every workload that runs, or would run, under an identity; without any, the identity by itself.

        A broken workload that may be one of them is one of which nothing else is known.
        """
        known = frozenset(self.at_workload(one, port, transport) for one in self._by_account.get(account, ()))
        doubted = self._doubts.may_run_under(account)
        if known and not doubted:
            return known
        declared: Word = "unknown" if doubted and transport == "TCP" else "none"
        return known | {Situation(account, self._bindings.of_account(account), port, declared)}

    def _behind(self, namespace: str, service: str, port: int, transport: str) -> frozenset[Situation]:
        """Describe every workload behind a port of a Service, each at its own port; empty where nobody serves."""
        found = self._services.get((namespace, service))
        entry = self.service_port(namespace, service, port, transport)
        if found is None or entry is None:
            return frozenset()
        reached = self._selected(found, entry) if found.selector else self._listed(found, entry)
        return frozenset(
            _NOBODY_KNOWN if workload is None else self.at_workload(workload, number, transport)
            for workload, number in reached
        )

    def _selected(self, service: ExposedService, entry: ExposedPort) -> Iterator[tuple[Instance, int]]:
        """Yield what a selector reaches: what runs, or else what would run; with the port that it is reached at."""
        running = self._running.selected_by(service.namespace, service.selector)
        # Templates stand in for Pods only where there are none: beside
        # running Pods they would count the same workload twice.
        for workload in running or self._planned.selected_by(service.namespace, service.selector):
            for number in _target_ports(workload, entry):
                yield workload, number

    def _listed(self, service: ExposedService, entry: ExposedPort) -> Iterator[tuple[Instance | None, int]]:
        """Yield the Pods that EndpointSlices list for a Service without selector; None for who is no known Pod."""
        for one in self._slices.get((service.namespace, service.name), ()):
            for port in one.ports:
                if (port.name, port.transport) != (entry.name, entry.transport) or port.port is None:
                    continue
                for name in one.pods:
                    pod = self._pods.get((one.namespace, name)) if name else None
                    yield pod, port.port

    # ----------------------------------------------------------------------- declared protocols

    def _declared(self, workload: Instance, port: int) -> Word:
        """Return the protocol that a TCP port of a workload is declared to speak, over all that declare it.

        What a broken Service may add changes nothing where HTTP is declared; a broken workload of the same identity
        cannot be told from this one.
        """
        if self._doubts.may_run_under(workload.account):
            return "unknown"
        agreed = agree([*_own_words(workload, port), *self._words_of_services(workload, port)])
        # One more declaration can change anything but HTTP, which wins over all others.
        if agreed != "http" and self._doubts.may_select(workload.namespace, workload.labels):
            return "unknown"
        return agreed

    def _words_of_services(self, workload: Instance, port: int) -> Iterator[Word]:
        for service in self._selectors.satisfied_by(workload.namespace, workload.labels):
            for entry in service.ports:
                if entry.transport == "TCP" and port in _target_ports(workload, entry):
                    yield word_of_service_port(entry)


def _own_words(workload: Instance, port: int) -> Iterable[Word]:
    listed = (one for one in workload.ports if (one.port, one.transport) == (port, "TCP"))
    return [word_of(one.app_protocol) for one in listed if one.app_protocol is not None]


def _target_ports(workload: Instance, entry: ExposedPort) -> tuple[int, ...]:
    """Resolve a Service port on a workload: its number, or the first port of that name and transport, or nothing."""
    if isinstance(entry.target, int):
        return (entry.target,)
    named = (one.port for one in workload.ports if (one.name, one.transport) == (entry.target, entry.transport))
    return tuple(named)[:1]

"""Who answers behind each Service port, and where every workload stands: beside the flow, in no unit, plan or guard.

An endpoint cannot widen anything: clusters pin the identities of their callees, which come from the Route, and every
workload judges its callers by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hub.intent.accesses import Inbound
from hub.intent.ports import target_port
from hub.intent.view import WorkloadProfile
from hub.model import Endpoint, Exposed, Facts, Identity, ObjectRef, Placement
from hub.smi.types import EndpointSlice, Service, ServicePort, SliceEndpoint, Workload
from hub.store import EndpointChanges, Store
from hub.store.slices import pod_ref, slice_profile

ServicePortKey = tuple[str, str, int]
"""A Service port: namespace, service, port number."""
_Share = tuple[tuple[int, Endpoint], ...]
"""What one workload or slice adds to a Service: endpoints, each with the Service port that leads to it."""
_UNKNOWN = ObjectRef("", "", "", "")


class EndpointView:
    """Follows one store; the only reader of its endpoint changes. An update costs what changed (and, per Service, its endpoints)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shares: dict[ObjectRef, dict[ObjectRef, _Share]] = {}  # Service -> workload or slice -> its share
        self._serves: dict[ObjectRef, set[ObjectRef]] = {}  # workload or slice -> Services
        self._places: dict[ObjectRef, tuple[ServicePortKey, ...]] = {}
        self._everyone: dict[ServicePortKey, tuple[Endpoint, ...]] = {}
        self._serving: dict[ServicePortKey, tuple[Endpoint, ...]] = {}
        self._exposed: dict[ServicePortKey, Exposed] = {}
        self._placements: dict[ObjectRef, Placement] = {}
        self._inbound: dict[tuple[str, str], Mapping[WorkloadProfile, Inbound]] = {}

    def update(self) -> frozenset[ServicePortKey]:
        """Follow the store; the Service ports whose endpoints are others now (also those that came or went)."""
        changes = self._store.pop_endpoint_changes()
        touched = set(changes.services)
        for ref in changes.services:
            self._rebuild(ref)
        for ref in (*changes.workloads, *changes.slices):
            touched |= self._follow(ref)
        self._place(changes)
        return frozenset(place for ref in touched for place in self._publish(ref))

    def facts(self) -> Facts:
        """Everyone who stands behind a Service, for judging.

        Also those without an address (it is "" then, and not ready), pod templates where nothing runs yet, and
        endpoints whose identity nobody knows (spiffe "").
        """
        return Facts(self._store.trust_domain, dict(self._placements), dict(self._everyone), dict(self._exposed))

    def serving(self) -> Facts:
        """The same with only those endpoints that a data plane may be given: known identity and address."""
        return Facts(self._store.trust_domain, dict(self._placements), dict(self._serving))

    # ----------------------------------------------------------------------- shares

    def _rebuild(self, service: ObjectRef) -> None:
        """Collect all shares of a Service anew: it came, went, or selects others."""
        for ref in self._shares.pop(service, {}):
            self._serves[ref].discard(service)
        found = self._store.service(service)
        if found is None:
            return
        for ref in self._store.selected_workloads(service) if found.selector else self._store.slices_of(service):
            self._add(ref, found)

    def _follow(self, ref: ObjectRef) -> set[ObjectRef]:
        """Take a workload's or slice's shares back and give them anew; the Services that notice."""
        touched = self._serves.pop(ref, set())
        for service in touched:
            del self._shares[service][ref]
        for found in tuple(self._services(ref)):
            self._add(ref, found)
        return touched | self._serves.get(ref, set())

    def _services(self, ref: ObjectRef) -> Iterator[Service]:
        if self._store.workload(ref) is not None:
            yield from self._store.services_of(ref)
            return
        found = self._store.slice_(ref)
        service = None if found is None else self._store.service(ObjectRef("", "Service", ref.namespace, found.service))
        if service is not None and not service.selector:
            yield service

    def _add(self, ref: ObjectRef, service: Service) -> None:
        self._serves.setdefault(ref, set()).add(service.ref)
        self._shares.setdefault(service.ref, {})[ref] = self._share(ref, service)

    def _share(self, ref: ObjectRef, service: Service) -> _Share:
        workload, slice_ = self._store.workload(ref), self._store.slice_(ref)
        if workload is not None:
            return tuple(self._of_workload(workload, service))
        return tuple(self._of_slice(slice_, service)) if slice_ is not None else ()

    def _of_workload(self, workload: Workload, service: Service) -> Iterator[tuple[int, Endpoint]]:
        """One endpoint per Service port: at the first address, the one that a sidecar binds by default."""
        profile = self._store.profile(workload.ref)
        address = next(iter(workload.addresses), "")
        spiffe = self._spiffe(workload)
        for port in _ports(service):
            number = target_port(profile, port)
            if number is not None:
                ready = workload.ready and bool(address)
                yield port.port, Endpoint(workload.ref, spiffe, address, number, ready)

    def _of_slice(self, slice_: EndpointSlice, service: Service) -> Iterator[tuple[int, Endpoint]]:
        for endpoint in slice_.endpoints:
            profile = slice_profile(slice_, endpoint, "")
            for port in _ports(service):
                number = target_port(profile, port)
                if number is not None:
                    yield port.port, self._of_endpoint(slice_, endpoint, number)

    def _of_endpoint(self, slice_: EndpointSlice, endpoint: SliceEndpoint, number: int) -> Endpoint:
        pod = self._store.workload(pod_ref(slice_.ref.namespace, endpoint.pod))
        ref = _UNKNOWN if pod is None else pod.ref
        address = next(iter(endpoint.addresses), "")
        spiffe = "" if pod is None else self._spiffe(pod)
        return Endpoint(ref, spiffe, address, number, endpoint.ready and bool(address))

    def _spiffe(self, workload: Workload) -> str:
        return Identity(self._store.trust_domain, workload.ref.namespace, workload.service_account).spiffe

    # ----------------------------------------------------------------------- results

    def _publish(self, service: ObjectRef) -> Iterator[ServicePortKey]:
        """Bring the endpoints of all ports of a Service up to date; those that changed."""
        found = self._store.service(service)
        ports = () if found is None else tuple(_ports(found))
        places = {(service.namespace, service.name, port.port): port.port for port in ports}
        shares = self._running(service)
        for place in set(self._places.pop(service, ())) - places.keys():
            del self._everyone[place], self._serving[place], self._exposed[place]
            yield place
        for port in ports:
            place = (service.namespace, service.name, port.port)
            self._exposed[place] = Exposed(
                port.transport, port.name, port.app_protocol, found is not None and found.headless
            )
        for place, number in places.items():
            everyone = tuple(sorted({each for share in shares for at, each in share if at == number}))
            if self._everyone.get(place) != everyone:
                self._everyone[place] = everyone
                self._serving[place] = tuple(each for each in everyone if each.address and each.spiffe)
                yield place
        if places:
            self._places[service] = tuple(places)

    def _running(self, service: ObjectRef) -> tuple[_Share, ...]:
        """The shares of what runs; where nothing runs, of what would (pod templates)."""
        shares = self._shares.get(service, {})
        running = tuple(share for ref, share in shares.items() if not self._is_template(ref))
        return running or tuple(shares.values())

    def _is_template(self, ref: ObjectRef) -> bool:
        return self._store.workload(ref) is not None and self._store.profile(ref).standing == "template"

    def _place(self, changes: EndpointChanges) -> None:
        """Bring placements up to date: of what changed, and of identities whose ports are others now."""
        refs = set(changes.workloads)
        for identity in changes.identities:
            inbound = self._store.inbound(*identity)
            # Equal Pods have equal ports, so they move only with those of their identity; a Workload may also have lost a
            # port or an upstream to another one.
            if self._inbound.get(identity) != inbound:
                refs.update(self._store.workloads_of(*identity))
            else:
                refs.update(self._store.named_workloads(*identity))
            if inbound:
                self._inbound[identity] = inbound
            else:
                self._inbound.pop(identity, None)
        for ref in refs:
            placement = self._store.placement(ref)
            if placement is None:
                self._placements.pop(ref, None)
            else:
                self._placements[ref] = placement


def _ports(service: Service) -> Iterable[ServicePort]:
    """One port per number, TCP before UDP: endpoints are looked up by number alone."""
    by_number: dict[int, ServicePort] = {}
    for port in sorted(service.ports, key=lambda port: port.transport):
        by_number.setdefault(port.port, port)
    return by_number.values()

"""What one object puts into the index: the answers that it is part of, as (key, member) pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hub.intent.names import bound_accounts, destination, is_workload
from hub.intent.ports import bound_addresses, machine_addresses
from hub.intent.splits import root_of
from hub.smi.names import is_label, is_subdomain
from hub.smi.types import (
    IdentityBinding,
    Service,
    ServiceAccount,
    SmiObject,
    TrafficSplit,
    TrafficTarget,
    Workload,
)
from hub.store.index import Key

Entry = tuple[Key, Any]


def entries(found: SmiObject, trust_domain: str) -> Iterator[Entry]:
    """The index entries of an object; profiles of workloads, selectors and slices are kept apart."""
    say = _ENTRIES.get(type(found))
    return say(found, trust_domain) if say is not None else iter(())


def _governed(namespace: str, account: str) -> Entry:
    """Whoever names a service account makes it one whose access we write, be it nothing; who it is does not matter."""
    return ("governed", namespace, account), True


def _target(found: TrafficTarget, trust_domain: str) -> Iterator[Entry]:
    written = found.destination
    namespace = written.namespace or found.ref.namespace
    if written.kind == "ServiceAccount" and is_subdomain(written.name) and is_label(namespace):
        yield _governed(namespace, written.name)
    subject = destination(found)
    if subject is not None:
        yield ("targets", subject.kind, subject.namespace, subject.name), found.ref.name


def _split(found: TrafficSplit, trust_domain: str) -> Iterator[Entry]:
    root = root_of(found, trust_domain)
    if root is not None:
        yield ("splits", found.ref.namespace, root), found.ref.name


def _binding(found: IdentityBinding, trust_domain: str) -> Iterator[Entry]:
    for account in bound_accounts(found, trust_domain):
        yield ("bound", found.ref.namespace, account), found.ref.name
        yield _governed(found.ref.namespace, account)


def _service(found: Service, trust_domain: str) -> Iterator[Entry]:
    key = ("exposes", found.ref.namespace, found.ref.name)
    yield key, None  # it exists, with or without ports
    for port in found.ports:
        yield key, (port.port, port.transport)
        yield ("described", *key[1:]), (port.port, port.transport, port.app_protocol or port.name, found.headless)


def _account(found: ServiceAccount, trust_domain: str) -> Iterator[Entry]:
    yield _governed(found.ref.namespace, found.ref.name)


def _workload(found: Workload, trust_domain: str) -> Iterator[Entry]:
    yield _governed(found.ref.namespace, found.service_account)
    if not is_workload(found.ref):
        return
    for upstream in found.upstreams:
        yield ("upstreams", upstream.namespace, upstream.service), upstream
        for machine in machine_addresses(found):
            yield ("callers", machine, upstream.client.address, upstream.client.port), found.ref
    numbers = {port.port for port in found.ports if port.transport == "TCP"}
    for number in numbers:
        for address in bound_addresses(found):
            yield ("claims", address, number), found.ref


_ENTRIES: Mapping[type, Callable[[Any, str], Iterator[Entry]]] = {
    TrafficTarget: _target,
    TrafficSplit: _split,
    IdentityBinding: _binding,
    Service: _service,
    ServiceAccount: _account,
    Workload: _workload,
}

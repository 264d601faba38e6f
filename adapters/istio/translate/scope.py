"""On which ports a grant counts, and what is lost where Istio takes a port for what SMI does not take it for.

Istio listens to Services alone: to those that select a Pod, and to those without a selector whose EndpointSlices name it
(observed on Istio 1.31, tests/adapters/istio/test_ports_on_istio.py; of two that disagree, one wins).
Source: https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/ (also on server first protocols).
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from adapters.istio.translate.protocols import SERVER_FIRST, istio_protocol
from hub.api import Access, Declared, Grant, Objection


class Scope(Struct, frozen=True, gc=False):
    """Where a grant counts: on these ports (None: all but `not_ports`), and what it loses by that."""

    ports: tuple[int, ...] | None
    not_ports: tuple[int, ...]
    losses: tuple[Objection, ...]


class _PortDeclaration(Struct, frozen=True, gc=False):
    """One declaration about a workload port: what it is for SMI, and what a Service makes of it for Istio."""

    port: int
    smi: tuple[Declared, ...]
    istio: Declared
    is_number: bool = False
    """Whether it is the Service port's number alone that makes it TCP."""
    word: str = ""
    """What the Service says, where Istio reads that in another way than SMI."""


def scope_of(grant: Grant, access: Access) -> Scope:
    """A port counts unless any of the selected workloads, or a Service, makes it what the grant is not about, or may do so."""
    wrong: Declared = "http" if grant.http is None else "tcp"
    declarations = tuple(_declarations(grant, access))
    barred = {one.port for one in declarations if {wrong, "unknown"} & {*one.smi, one.istio}}
    meant = barred if grant.ports is None else barred & set(grant.ports)
    granted = {one.port for one in declarations if set(one.smi) - {wrong, "unknown"}}
    unknown = {one.port for one in declarations if "unknown" in one.smi}
    declared = {one.port for one in declarations if wrong in one.smi or (one.istio == wrong and not one.is_number)}
    called = {one.port: one for one in declarations if one.word and one.istio == wrong}
    # A port where the grant would not have counted anyway loses nothing.
    losses = tuple(
        _unknown(f"port {port}")
        if port in unknown
        else _read_otherwise(called[port])
        if port in called
        else _mixed(wrong, port)
        if port in declared
        else _server_first(port)
        for port in sorted(meant & granted)
    )
    barred |= {*grant.not_ports}  # what waits there is no loss
    if "unknown" in access.beyond:
        return _known_ports(grant, declarations, barred, access, losses)
    if grant.ports is None:
        return Scope(None, tuple(sorted(barred)), losses)
    return Scope(tuple(sorted(set(grant.ports) - barred)), (), losses)


def _known_ports(
    grant: Grant,
    declarations: tuple[_PortDeclaration, ...],
    barred: set[int],
    access: Access,
    losses: tuple[Objection, ...],
) -> Scope:
    """Where ports that no fact names may speak anything: a grant counts on ports that are named, and on no other."""
    named = {one.port for one in declarations if one.smi}
    ports = named - barred if grant.ports is None else (named & set(grant.ports)) - barred
    beyond = grant.ports is None or bool(set(grant.ports) - named)
    if beyond and set(access.beyond) != {"unknown"}:
        losses = (*losses, _unknown("a port that no Service and no workload declares"))
    return Scope(tuple(sorted(ports)), (), losses)


def _declarations(grant: Grant, access: Access) -> Iterator[_PortDeclaration]:
    """Everything about TCP ports of the workloads that a grant selects."""
    listed: set[int] = set()
    for port in access.ports:
        if port.transport == "TCP" and (not grant.labels or grant.labels in (*port.labels, *port.maybe_labels)):
            listed.add(port.port)
            smi: tuple[Declared, ...] = (port.declared,) if port.everywhere else (port.declared, *access.beyond)
            yield _PortDeclaration(port.port, smi, "none")
            for number, word in port.services:
                yield _by_service(port.port, smi, number, word)
    for at, number, word in access.sliced:
        yield _by_service(at, () if at in listed else access.beyond, number, word)
    for at, number, written in access.words:
        yield _PortDeclaration(at, (), istio_protocol(written, number), word=written)


def _by_service(port: int, smi: tuple[Declared, ...], number: int, word: Declared) -> _PortDeclaration:
    by_number = word == "none" and number in SERVER_FIRST
    return _PortDeclaration(port, smi, "tcp" if by_number else word, by_number)


def _unknown(where: str) -> Objection:
    message = f"an object that cannot be read may declare the protocol of {where} for some of these workloads, so nothing is granted there"
    return Objection(
        "port.unknown-protocol", message, f"a connection to {where} of another one of them", "fix that object"
    )


def _mixed(wrong: Declared, port: int) -> Objection:
    what = "raw TCP" if wrong == "http" else "HTTP"
    message = f"port {port} is declared {wrong} by some of these workloads or Services and not by others, so {what} cannot be granted there"
    example = f"{what} on port {port} of a workload that does not declare it {wrong}"
    return Objection(
        "port.mixed-protocols", message, example, 'declare the port the same way everywhere ("appProtocol")'
    )


def _read_otherwise(at: _PortDeclaration) -> Objection:
    taken, lost = ("HTTP", "raw TCP") if at.istio == "http" else ("TCP", "HTTP")
    message = f'a Service port that maps to port {at.port} declares "{at.word}", which Istio treats as {taken}, so {lost} cannot be granted there'
    remedy = 'use "appProtocol: http" or "tcp", which both understand'
    return Objection("istio.other-protocol", message, f"{lost} on port {at.port}", remedy)


def _server_first(port: int) -> Objection:
    message = f"a Service port that maps to port {port} declares no protocol, and Istio treats Service ports with its number as TCP, so an HTTP grant has no effect there"
    example, remedy = f"an HTTP request to port {port}", 'declare the Service port ("appProtocol")'
    return Objection("port.server-first", message, example, remedy)

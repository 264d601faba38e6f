"""The ports of an account that get a Server, what is declared of each, and on which of them a grant counts.

A Server selects all Pods of an account at once, and what it asks of one of them it asks of all: a port that some of them
declare otherwise than others grants only what every declaration allows. On ports that are opaque by default, the proxies of
callers hand on bytes, whatever they are, and those are judged by the Server alone, so no HTTP is granted there (linkerd2,
controller/api/destination/endpoint_translator.go; linkerd2-proxy, linkerd/app/inbound/src/direct.rs).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from adapters.linkerd.vocabulary import OPAQUE_PORTS
from hub.api import Access, Declared, Grant, Objection

UNUSED = 1
"""The port (tcpmux) of the Server of an account of which no port is known, so that its Pods have one, as all others do."""
MAX_UNLISTED = 256
"""Most ports of one account that get a Server although only grants name them."""


class ServedPort(Struct, frozen=True, order=True, gc=False):
    """One port that gets a Server, and all that is declared of it."""

    number: int
    declared: frozenset[Declared]

    @property
    def protocol(self) -> str:
        """The `proxyProtocol`: opaque bytes only where nobody declares anything else, as detection would delay them."""
        return "opaque" if self.declared == {"tcp"} else "unknown"


def served_ports(access: Access, probed: Iterable[int] = ()) -> tuple[ServedPort, ...]:
    """Every TCP port that a fact declares, those that a grant names, and those that are probed; never none."""
    found: dict[int, set[Declared]] = {}
    for port in access.ports:
        if port.transport == "TCP":
            found.setdefault(port.port, set()).update(
                (port.declared,) if port.everywhere else (port.declared, *access.beyond)
            )
    unlisted = sorted(_named(access.grants) - set(found))
    also = set(probed) - set(found)
    found |= {number: set(access.beyond) for number in (*unlisted[:MAX_UNLISTED], *also)}
    found = found or {UNUSED: set(access.beyond)}
    return tuple(ServedPort(number, frozenset(found[number])) for number in sorted(found))


def _named(grants: Iterable[Grant]) -> set[int]:
    return {number for grant in grants if grant.transport == "TCP" and not grant.labels for number in grant.ports or ()}


def is_meant(grant: Grant, port: ServedPort) -> bool:
    """Whether a grant speaks of a port."""
    return grant.names(port.number)


def counts(grant: Grant, port: ServedPort) -> bool:
    """Whether what a grant says of a port holds under everything that is declared of it."""
    return not {_wrong(grant), "unknown"} & port.declared and not _is_opaque(grant, port)


def _is_opaque(grant: Grant, port: ServedPort) -> bool:
    return grant.http is not None and port.number in OPAQUE_PORTS


def ports_lost(grant: Grant, ports: Iterable[ServedPort]) -> Iterable[Objection]:
    """Where a grant holds under some declarations only, or gets no Server."""
    served = set()
    for port in ports:
        served.add(port.number)
        granted = port.declared - {_wrong(grant), "unknown"}
        if not (is_meant(grant, port) and not counts(grant, port) and granted):
            continue
        if _is_opaque(grant, port):
            yield _opaque(port.number)
        else:
            yield _unknown(port.number) if "unknown" in port.declared else _mixed(grant, port.number)
    if set(grant.ports or ()) - served:
        yield _TOO_MANY


def _wrong(grant: Grant) -> Declared:
    return "http" if grant.http is None else "tcp"


def _unknown(port: int) -> Objection:
    message = f"an object that cannot be read may declare the protocol of port {port} for some of these workloads, so nothing is granted there"
    example = f"a connection to port {port} of another one of them"
    return Objection("port.unknown-protocol", message, example, "fix that object")


def _mixed(grant: Grant, port: int) -> Objection:
    what, wrong = ("raw TCP" if grant.http is None else "HTTP"), _wrong(grant)
    message = f"port {port} is declared {wrong} by some of these workloads or Services and not by others, so {what} cannot be granted there"
    example = f"{what} on port {port} of a workload that does not declare it {wrong}"
    return Objection(
        "port.mixed-protocols", message, example, 'declare the port the same way everywhere ("appProtocol")'
    )


def _opaque(port: int) -> Objection:
    message = f"port {port} is opaque bytes to Linkerd by default, so HTTP cannot be granted there"
    remedy = "receive HTTP on another port, or grant raw TCP"
    return Objection("linkerd.opaque-port", message, f"a request to port {port}", remedy)


_TOO_MANY = Objection(
    "limit.exceeded",
    f"grants to this account name more than {MAX_UNLISTED} ports that nothing declares; the highest ones stay closed",
    "a connection to the highest of these ports",
    "declare the ports in a Service, or name fewer",
)

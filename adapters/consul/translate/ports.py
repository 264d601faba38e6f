"""The port of a Consul service, and whether a grant counts there.

A service is registered with one port, and an intention has none (https://developer.hashicorp.com/consul/docs/connect/config-entries/
service-intentions). Conditions on HTTP need the protocol `http`, or Consul refuses the entry (observed on Consul 1.22).
"""

from __future__ import annotations

from msgspec import Struct

from hub.api import Access, Declared, Grant, Objection, ObjectRef


class ServicePorts(Struct, frozen=True, gc=False):
    """The ports on which the workloads of an account receive, each with all that is declared of it; None: any, with what is of others.

    Which of several is the service's nothing tells, so a grant must be about each, and about any where a workload may declare none at
    all. `named` says whether a Service of the account's own name selects them: its unit declares the protocol to Consul.
    """

    declared: dict[int | None, frozenset[Declared]]
    account: str
    named: bool

    @property
    def numbers(self) -> tuple[int, ...]:
        """The ports that are known."""
        return tuple(sorted(number for number in self.declared if number is not None))

    @property
    def limits(self) -> tuple[int, ...] | None:
        """The ports on which the service is at most; None: any."""
        return None if None in self.declared else self.numbers


def service_ports(access: Access) -> ServicePorts:
    """The ports of an account, one of which its Consul service has."""
    declared: dict[int | None, set[Declared]] = {}
    ports = [port for port in access.ports if port.transport == "TCP"]
    for port in ports:
        words = {port.declared} if port.everywhere else {port.declared, *access.beyond}
        # The Service of the account's name says what Consul takes the port for; what others say must not differ.
        declared.setdefault(port.port, set()).update(words, (word for _, word in port.services))
    own = ObjectRef("", "Service", access.identity.namespace, access.identity.service_account)
    if not any(port.everywhere for port in ports):  # the sidecar of a workload that declares none may receive on any
        declared[None] = {*access.beyond}
    found = {number: frozenset(words) for number, words in declared.items()}
    return ServicePorts(found, access.identity.service_account, own in access.origins)


def counts(grant: Grant, ports: ServicePorts) -> bool:
    """Whether a grant is about the service, whichever of its ports that has, under everything that is declared of them."""
    return all(_is_meant(grant, number) and _fits(grant, words) for number, words in ports.declared.items())


def _is_meant(grant: Grant, number: int | None) -> bool:
    return grant.ports is None and not grant.not_ports if number is None else grant.names(number)


def _fits(grant: Grant, declared: frozenset[Declared]) -> bool:
    return declared == {"http"} if grant.http is not None else not {"http", "unknown"} & declared


def objection_to(grant: Grant, ports: ServicePorts, *, written: bool) -> Objection | None:
    """What a grant loses by what the ports are; None where it counts, and where SMI grants nothing there either.

    `written`: we declare protocols to Consul, and not others.
    """
    meant = [words for number, words in ports.declared.items() if number is None or grant.names(number)]
    wrong: Declared = "tcp" if grant.http is not None else "http"
    if all(words <= {wrong, "unknown"} for words in meant):
        return None
    # In an order that does not depend on which of the ports the grant is about.
    if grant.http is not None and written and not ports.named:
        return _NO_SERVICE
    if counts(grant, ports):
        return None
    if len(ports.numbers) > 1:
        return _several(ports.account, ports.numbers)
    if "unknown" in meant[0]:
        return _UNKNOWN
    if not _fits(grant, meant[0]):
        return _NOT_HTTP if meant[0] == {"none"} else _MIXED
    return _SOME_PORTS if ports.numbers else _NO_PORT


def _several(account: str, numbers: tuple[int, ...]) -> Objection:
    shown = ", ".join(map(str, numbers[:8]))
    message = f'"{account}" receives on ports {shown}, of which a Consul service has one, and this TrafficTarget is not about all of them'
    example = "a connection to one of the ports that it is about"
    return Objection(
        "consul.several-ports", message, example, "give each port a service account and a Service of its own"
    )


_NO_PORT = Objection(
    "consul.unknown-port",
    "no Service and no workload says on which port this account receives, and an intention is for all of a service",
    "a connection to a port that this TrafficTarget names",
    "declare the port in a Service, a Pod or a Workload, or leave the port out of the TrafficTarget",
)
_SOME_PORTS = Objection(
    "consul.unknown-port",
    "some workloads of this account do not say on which port they receive, and an intention is for all of a service",
    "a connection to a port that this TrafficTarget names",
    "declare the port in every Pod and Workload of the account, or leave the port out of the TrafficTarget",
)
_NO_SERVICE = Objection(
    "consul.no-service",
    "there is no Service of the account's name, so nothing declares to Consul that it speaks HTTP, and conditions on HTTP are refused",
    "an HTTP request that this TrafficTarget allows",
    'add a Service of that name that declares "appProtocol: http", or set "serviceDefaults: theirs" and declare it in Consul',
)
_NOT_HTTP = Objection(
    "consul.not-http",
    "the port declares no protocol, so Consul takes it for TCP, and conditions on HTTP are refused",
    "an HTTP request that this TrafficTarget allows",
    'declare the port ("appProtocol: http")',
)
_UNKNOWN = Objection(
    "port.unknown-protocol",
    "an object that cannot be read may declare the protocol of the port for some of these workloads, so nothing is granted there",
    "a connection to another one of them",
    "fix that object",
)
_MIXED = Objection(
    "port.mixed-protocols",
    "the port is not declared the same way by all of these workloads and Services, and a Consul service has one protocol",
    "a connection to a workload that declares it as this TrafficTarget needs it",
    'declare the port the same way everywhere ("appProtocol")',
)

"""Ports: which ones workloads receive on, which protocol is declared for them, and where a Service port leads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Literal

import msgspec
from msgspec.structs import replace

from hub.errors import UnsafeResourceError
from hub.intent.view import BackendProfile, Labels, View, WorkloadProfile
from hub.model import Declared, InboundPort, Transport
from hub.smi.types import Service, ServicePort, Workload, WorkloadPort

_HTTP = frozenset({"http", "http2", "grpc", "grpc-web", "h2c", "kubernetes.io/h2c", "kubernetes.io/ws"})
_TCP = frozenset(
    {"https", "tcp", "tls", "mysql", "mongo", "redis", "postgres", "postgresql", "mqtt", "amqp", "kafka", "cassandra"}
    | {"ldap", "smtp", "ssh", "dns", "wss", "kubernetes.io/wss"}
)
_COMMON = frozenset({"http", "http2", "grpc", "grpc-web", "https", "tcp", "tls", "mysql", "mongo", "redis"})
"""Words that every mesh reads as SMI's reading does."""
_Key = tuple[int, Transport]
Certainty = Literal["all", "http", "none"]
"""What the declarations of a profile's TCP ports are worth: all that they say; only that a port is HTTP, since another Service
may say more; nothing, since a workload of the identity is not known."""
_LOCALHOST = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a Pod's sidecar is told its port; the address is the Pod's own


def protocol_of(text: str) -> Declared:
    """What a protocol word declares; unknown words declare nothing.

    Source: Kubernetes documentation, Service, "Application protocol" (appProtocol), and Istio's port naming.
    """
    lower = text.lower()
    if lower in _HTTP:
        return "http"
    return "tcp" if lower in _TCP else "none"


def declared_protocol(port: ServicePort) -> Declared:
    """What one Service port declares: its appProtocol, else the word before the first dash of its name."""
    return protocol_of(port.app_protocol or port.name.partition("-")[0])


def target_port(profile: BackendProfile | WorkloadProfile, port: ServicePort) -> int | None:
    """The workload port to which a Service port leads at such a workload; None if it leads nowhere.

    Source: Kubernetes documentation, Service, "Field spec.ports.targetPort"; EndpointSlice API, `ports[].name`.
    """
    # A Service without a selector leads where its slices say,
    # under the name of its own port; targetPort is not looked at.
    if isinstance(profile, BackendProfile) and profile.standing == "sliced":
        return _named(profile.ports, port.name, port.transport)
    if isinstance(port.target, int):
        return port.target or port.port
    known = (
        profile.ports
        if isinstance(profile, BackendProfile)
        else tuple((p.port, p.transport, p.name) for p in profile.ports)
    )
    return _named(known, port.target, port.transport)


def _named(ports: Iterable[tuple[int, Transport, str]], name: str, transport: Transport) -> int | None:
    return next((number for number, way, known in ports if known == name and way == transport), None)


def profile_ports(
    profile: WorkloadProfile, services: Iterable[Service], selectors: Iterable[Labels], certain: Certainty = "all"
) -> tuple[InboundPort, ...]:
    """The ports on which workloads of this profile receive, without addresses, sorted.

    `services` are those that select the profile, `selectors` the label selectors of grants. A Workload receives on the
    ports that it lists, a Pod also on those that Services name by number (SMI ports are workload ports).
    """
    leading = tuple(_leading_ports(profile, services))
    apps = {(port.port, port.transport): _application(port) for port in profile.ports}
    # A Pod's sidecar captures every port, also those that no
    # container lists; the sidecar of a Workload binds what is listed.
    if profile.standing != "workload":
        apps.update({(number, port.transport): _localhost(number) for port, number in leading})
    labels = tuple(sorted({selector for selector in selectors if profile.carries(selector)}))
    declarations = {key: _declarations(leading, key) for key in apps}
    declared = {key: _declared(profile, declarations[key], key, certain) for key in apps}
    return tuple(sorted(_inbound(key, app, declared[key], declarations[key], labels) for key, app in apps.items()))


def _leading_ports(profile: WorkloadProfile, services: Iterable[Service]) -> Iterator[tuple[ServicePort, int]]:
    """Every Service port that leads to the profile, and to which number."""
    for service in services:
        for port in service.ports:
            number = target_port(profile, port)
            if number is not None:
                yield port, number


def _localhost(port: int) -> tuple[str, int]:
    return _LOCALHOST, port


def _application(port: WorkloadPort) -> tuple[str, int]:
    """Where the application behind a workload port listens."""
    return port.app_address, port.app_port or port.port


def _declarations(leading: Iterable[tuple[ServicePort, int]], key: _Key) -> tuple[tuple[int, Declared], ...]:
    """The Service ports that lead to a workload port, each with what it declares of it; only TCP ports have a protocol."""
    to, transport = key
    found = {
        (port.port, declared_protocol(port)) for port, number in leading if number == to and port.transport == "TCP"
    }
    return tuple(sorted(found)) if transport == "TCP" else ()


def _declared(
    profile: WorkloadProfile, services: Iterable[tuple[int, Declared]], key: _Key, certain: Certainty
) -> Declared:
    """All declarations agree: that; they disagree: HTTP, the stricter reading; none: undeclared; more may come: unknown."""
    if key[1] == "UDP":
        return "none"
    if certain == "none":
        return "unknown"
    words = {declared for _, declared in services}
    if profile.standing == "workload":
        words |= {protocol_of(port.app_protocol) for port in profile.ports if (port.port, port.transport) == key}
    words -= {"none"}
    # Where Services disagree, HTTP: an HTTP listener refuses raw
    # bytes, while a TCP one would let any request through unread.
    if len(words) > 1 or "http" in words:
        return "http"
    if certain == "http":
        return "unknown"
    return words.pop() if words else "none"


def _inbound(
    key: _Key,
    app: tuple[str, int],
    declared: Declared,
    services: tuple[tuple[int, Declared], ...],
    labels: tuple[Labels, ...],
) -> InboundPort:
    (port, transport), (address, number) = key, app
    plain = not labels and app == _localhost(port)
    variant = declared if plain else f"{declared}+{_digest(labels, address, number)}"
    return InboundPort(port, transport, declared, variant, number, address, labels, services=services)


def _digest(labels: tuple[Labels, ...], address: str, number: int) -> str:
    """128 bits of what tells variants apart: whoever writes Workloads may search for two that share a name."""
    return hashlib.sha256(msgspec.json.encode((labels, address, number))).hexdigest()[:32]


def grouped_by_variant(ports: Iterable[InboundPort]) -> Iterator[tuple[InboundPort, tuple[InboundPort, ...]]]:
    """The ports by name (port, transport, variant), each name with all that carry it; sorted.

    Raises UnsafeResourceError where two that mean different things share a name: no policy may serve both.
    """
    named: dict[tuple[int, Transport, str], list[InboundPort]] = {}
    for port in ports:
        named.setdefault((port.port, port.transport, port.variant), []).append(port)
    for name, found in sorted(named.items()):
        if len({(each.declared, each.labels, each.app_address, each.app_port) for each in found}) > 1:
            raise UnsafeResourceError(f"two different ports of one identity are both called {name}; please report this")
        yield found[0], tuple(found)


def sliced_ports(view: View, namespace: str, account: str) -> Iterator[tuple[int, int, Declared]]:
    """The ports of Pods of an account to which Services without a selector lead, by EndpointSlices that name them."""
    for service in view.slicing(namespace, account):
        for profile in view.backend_profiles(service):
            for port in service.ports if profile.account == account else ():
                number = target_port(profile, port)
                if number is not None and port.transport == "TCP":
                    yield number, port.port, declared_protocol(port)


def uncommon_words(
    view: View, namespace: str, account: str, selecting: Mapping[WorkloadProfile, Iterable[object]]
) -> Iterator[tuple[int, int, str]]:
    """(workload port, Service port, word) of Services before the account's Pods that say something which meshes read in their own ways."""
    for profile, found in selecting.items():
        for port, number in _leading_ports(profile, (one for one in found if isinstance(one, Service))):
            yield from _uncommon(port, number)
    for service in view.slicing(namespace, account):
        for behind in view.backend_profiles(service):
            for port in service.ports if behind.account == account else ():
                led = target_port(behind, port)
                yield from () if led is None else _uncommon(port, led)


def _uncommon(port: ServicePort, number: int) -> Iterator[tuple[int, int, str]]:
    word = port.app_protocol or port.name.partition("-")[0]
    says = bool(port.app_protocol) or protocol_of(word) != "none"  # a name is a word only where it is one
    if port.transport == "TCP" and says and word.lower() not in _COMMON:
        yield number, port.port, word


def bound_ports(view: View, workload: Workload, ports: Iterable[InboundPort]) -> tuple[InboundPort, ...]:
    """The ports that one Workload's sidecar really gets: without those that another Workload binds as well."""
    return tuple(
        replace(port, binds=(workload.bind,))
        for port in ports
        if not is_contended(view, workload, port.port, port.transport)
    )


def is_contended(view: View, workload: Workload, port: int, transport: Transport) -> bool:
    """Whether another Workload binds one of this Workload's addresses on the same TCP port."""
    # UDP ports are declared, but no sidecar binds them.
    if transport != "TCP":
        return False
    # Neither of them gets it: which Envoy wins a bind depends on who starts first, and grants must not depend on that.
    return any(len(view.claimants(address, port)) > 1 for address in bound_addresses(workload))


def bound_addresses(workload: Workload) -> tuple[str, ...]:
    """The addresses that a Workload's sidecar takes: the one it binds, or all of its own if it binds every address."""
    taken = workload.addresses if is_wildcard(workload.bind) else (workload.bind,)
    return tuple(dict.fromkeys(_canonical(address) for address in taken))


def machine_addresses(workload: Workload) -> tuple[str, ...]:
    """What tells a Workload's machine: each of its addresses, for two machines share none. Loopback is one machine."""
    found = map(_canonical, workload.addresses)
    return tuple(dict.fromkeys("loopback" if ip_address(address).is_loopback else address for address in found))


def _canonical(address: str) -> str:
    """One text for each address (IPv6 has many)."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def is_wildcard(address: str) -> bool:
    """Whether an address means every address of the machine."""
    try:
        return ip_address(address).is_unspecified
    except ValueError:
        return False

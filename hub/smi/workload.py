"""smihub.io/v1alpha1 Workload: a process on a machine that is no Pod, described by hand."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from hub.model import Client, Transport
from hub.smi.fields import FieldReader, level, show
from hub.smi.kinds import Body, Kind, inner, nested, read_body
from hub.smi.names import is_label, is_subdomain
from hub.smi.types import Upstream, Workload, WorkloadPort

GROUP = "smihub.io"
LOOPBACK = "127.0.0.1"
_SHAPE = nested(level("serviceAccount", "addresses", "bind", "ports", "upstreams"))
_PORT = level("name", "port", "protocol", "appProtocol", "appAddress", "appPort")
_UPSTREAM = level("service", "port", "path", "address", "localPort", "shared")
PATH_BYTES = 107
"""Linux, unix(7): sun_path holds 108 bytes with its terminator."""
_SOCKET = re.compile(r"(?:/(?!\.{1,2}/)[A-Za-z0-9._-]+(?<!\.sock))*/[A-Za-z0-9._-]+\.sock")
_TRANSPORTS: Mapping[str, Transport] = {"TCP": "TCP", "UDP": "UDP"}


def decode_workload(reader: FieldReader, value: Body, version: str) -> Workload:
    """Read a Workload: who it is, where its sidecar binds, where its application listens, whom it calls."""
    body, path = read_body(reader, value, _SHAPE)
    addresses = _addresses(reader, body, path)
    bind = _address(reader, body, "bind", path, addresses[0] if addresses else LOOPBACK)
    ports = tuple(_ports(reader, body, path, bind))
    labels = inner(value, "metadata", "labels")
    return Workload(
        ref=reader.ref,
        origin=reader.origin,
        service_account=_account(reader, body, path),
        labels=reader.pairs({} if labels is None else labels, "metadata.labels"),
        ports=ports,
        addresses=addresses,
        bind=bind,
        upstreams=tuple(_upstreams(reader, body, path, _bound_sockets(bind, ports))),
    )


def _account(reader: FieldReader, body: Body, path: str) -> str:
    account = reader.text(body, "serviceAccount", path)
    if account and not is_subdomain(account):
        message = f"{show(account)} is not a valid service account name"
        reader.refuse("name.invalid", f"{path}.serviceAccount", message, "use lowercase letters, digits, - and .")
    return account


# --------------------------------------------------------------------------- addresses


def _addresses(reader: FieldReader, body: Body, path: str) -> tuple[str, ...]:
    where = f"{path}.addresses"
    if "addresses" not in body and not reader.lacks(body, "addresses"):
        return ()
    if body.get("addresses", []) == []:
        reader.missing(path, "addresses", "the IP addresses at which others reach this workload")
        return ()
    texts = reader.texts(body["addresses"], where)
    return tuple(dict.fromkeys(_ip(reader, text, f"{where}[{index}]") for index, text in enumerate(texts)))


def _address(reader: FieldReader, body: Body, key: str, path: str, default: str) -> str:
    text = reader.text(body, key, path) if key in body else ""
    return _ip(reader, text, f"{path}.{key}") if text else default


def _ip(reader: FieldReader, text: str, path: str) -> str:
    """The canonical text of an IP address; a bad one refuses the object."""
    try:
        address = ipaddress.ip_address(text)
        if not isinstance(address, ipaddress.IPv6Address) or address.scope_id is None:
            return str(address)
    except ValueError:
        pass
    reader.refuse("field.value", path, f"{show(text)} is not an IP address", 'use an address such as "10.0.0.7"')
    return LOOPBACK


# --------------------------------------------------------------------------- ports


def _ports(reader: FieldReader, body: Body, path: str, bind: str) -> Iterator[WorkloadPort]:
    seen: set[tuple[int, Transport]] = set()
    for where, fields in reader.entries(body, "ports", path, _PORT):
        port = _port(reader, fields, where)
        if (port.port, port.transport) in seen:
            message = f"port {port.port} is declared twice for {port.transport}"
            reader.refuse("workload.port-twice", f"{where}.port", message, "remove one of the two entries")
        seen.add((port.port, port.transport))
        if port.app_port == port.port and bind in (port.app_address, "0.0.0.0", "::"):  # noqa: S104 - compared only
            message = f"the sidecar and the application would both listen on {bind}:{port.port}"
            remedy = 'have the application listen elsewhere, and set "appAddress" or "appPort"'
            reader.warn("workload.loop", where, message, remedy)
        yield port


def _port(reader: FieldReader, body: Body, path: str) -> WorkloadPort:
    number = _number(reader, body, "port", path)
    protocol = reader.text(body, "protocol", path) if "protocol" in body else "TCP"
    if protocol and protocol not in _TRANSPORTS:
        message = f"{show(protocol)} is not a valid protocol"
        reader.refuse("field.value", f"{path}.protocol", message, 'use "TCP" or "UDP"')
    return WorkloadPort(
        port=number,
        transport=_TRANSPORTS.get(protocol, "TCP"),
        name=reader.optional_text(body, "name", path),
        app_protocol=reader.optional_text(body, "appProtocol", path),
        app_address=_address(reader, body, "appAddress", path, LOOPBACK),
        app_port=reader.port(body["appPort"], f"{path}.appPort") if "appPort" in body else number,
    )


def _number(reader: FieldReader, body: Body, key: str, path: str) -> int:
    if key not in body:
        reader.missing(path, key, "a port number")
        return 0
    return reader.port(body[key], f"{path}.{key}")


# --------------------------------------------------------------------------- upstreams

Socket = tuple[str, int]
"""Where a sidecar listens: an address and a TCP port, or the path of a Unix socket and 0."""


def _bound_sockets(bind: str, ports: tuple[WorkloadPort, ...]) -> set[Socket]:
    """The TCP sockets that the sidecar needs for the workload's own ports."""
    return {(bind, port.port) for port in ports if port.transport == "TCP"}


def _upstreams(reader: FieldReader, body: Body, path: str, taken: set[Socket]) -> Iterator[Upstream]:
    """The upstreams, each on a socket of its own; one that would lend the identity, or whose socket is taken, is left out."""
    for index, (where, fields) in enumerate(reader.entries(body, "upstreams", path, _UPSTREAM)):
        upstream = _upstream(reader, fields, where, index)
        socket = (upstream.client.address, upstream.client.port)
        if reader.invalid:
            continue  # what is wrong has been said, and nothing of the Workload counts
        if "path" not in fields and _exposes_identity(reader, fields, upstream, where):
            continue
        if any(_collide(socket, other) for other in taken):
            message = f"the sidecar already listens on {_described(socket)}, so this upstream is ignored"
            reader.report("workload.socket-taken", where, message, 'change "path", "address" or "localPort"')
            continue
        taken.add(socket)
        yield upstream


def _described(socket: Socket) -> str:
    return f"{socket[0]}, port {socket[1]}" if socket[1] else socket[0]


def _collide(one: Socket, other: Socket) -> bool:
    """Whether two listeners cannot stand side by side."""
    if not one[1] or not other[1]:
        return one == other
    # A socket on every address takes the port from each single one.
    wild = any(ipaddress.ip_address(address).is_unspecified for address, _ in (one, other))
    return one[1] == other[1] and (wild or one[0] == other[0])


def _upstream(reader: FieldReader, body: Body, path: str, index: int) -> Upstream:
    namespace, service = _service(reader, body, path)
    port = _number(reader, body, "port", path)
    return Upstream(namespace, service, port, Client(reader.ref, *_listen_address(reader, body, path, port)), index)


def _listen_address(reader: FieldReader, body: Body, path: str, port: int) -> Socket:
    """Where the sidecar listens for an upstream: a Unix socket, or an address with a port and perhaps `shared`."""
    if "path" in body:
        for key in ("address", "localPort", "shared"):
            if key in body:
                message, remedy = f'"{key}" has no meaning for a Unix socket', f'remove "{key}" or "path"'
                reader.refuse("field.misplaced", f"{path}.{key}", message, remedy)
        return _socket_path(reader, body, path), 0
    if "shared" in body and body["shared"] != "host":
        reader.refuse(
            "field.value",
            f"{path}.shared",
            f"{show(body['shared'])} is not a valid value",
            'use "host", or remove the field',
        )
    address = _address(reader, body, "address", path, LOOPBACK)
    return address, reader.port(body["localPort"], f"{path}.localPort") if "localPort" in body else port


def _socket_path(reader: FieldReader, body: Body, path: str) -> str:
    """A clean absolute path that ends in .sock, no part before it does: whatever stands there is removed by Envoy."""
    text = reader.text(body, "path", path)
    if text and not (_SOCKET.fullmatch(text) and len(text) <= PATH_BYTES):
        message = f"{show(text)} is not a valid Unix socket path"
        remedy = f'use a path such as "/run/upstreams/web-1/api.sock": letters, digits, ".", "_" and "-", at most {PATH_BYTES} bytes'
        reader.refuse("field.value", f"{path}.path", message, remedy)
    return text


def _exposes_identity(reader: FieldReader, body: Body, upstream: Upstream, where: str) -> bool:
    """Whether others than the workload could call as the workload, without its owner saying so; that is reported."""
    name, address = reader.ref.name, upstream.client.address
    path = f'"path: /run/upstreams/{name}/{upstream.service}-{upstream.port}.sock" instead of address and port'
    if not _is_loopback(address):
        message = f'anyone who can reach {address} could call as "{name}", so this upstream is ignored'
        reader.report("workload.upstream-address", f"{where}.address", message, f"set {path}")
        return True
    if "shared" in body:
        return False
    message = f'every program on this machine could call as "{name}", so this upstream is ignored'
    remedy = f'set {path}, or set "shared: host" if this is intended'
    reader.report("workload.upstream-shared", where, message, remedy)
    return True


def _is_loopback(address: str) -> bool:
    """Whether an address is of the machine alone; IPv4 in IPv6 is not taken for one, sockets bind it in several ways."""
    found = ipaddress.ip_address(address)
    mapped = isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None
    return found.is_loopback and not mapped


def _service(reader: FieldReader, body: Body, path: str) -> tuple[str, str]:
    """Namespace and name of a Service written as `name` (own namespace) or `ns/name`."""
    text = reader.text(body, "service", path)
    namespace, slash, name = text.rpartition("/")
    if text and not (is_label(name) and (is_label(namespace) or not slash)):
        message = f"{show(text)} is not a valid Service name"
        reader.refuse("name.invalid", f"{path}.service", message, 'use "name" or "namespace/name"')
    return namespace or reader.ref.namespace, name


KINDS: Mapping[tuple[str, str], Kind] = {(GROUP, "Workload"): Kind(("v1alpha1",), decode_workload)}

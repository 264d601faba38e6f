"""smihub.io/v1alpha1 Workload: a VM or a process that runs under a service account (docs/smi.md, "Workload")."""

from __future__ import annotations

import re
from ipaddress import ip_address

from hub.semantics import reader
from hub.semantics.kubernetes import labels_of
from hub.semantics.names import is_label, is_subdomain
from hub.semantics.reader import Invalid
from hub.semantics.types import ContainerPort, Instance, Manifest

_ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_SPEC = frozenset({"serviceAccount", "addresses", "bind", "ports", "upstreams"})
_PORT = frozenset({"name", "port", "protocol", "appProtocol", "appAddress", "appPort"})
_UPSTREAM = frozenset({"service", "port", "path", "address", "localPort", "shared"})
_LONGEST_PATH = 107
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def decode_workload(found: Manifest) -> Instance:
    """Decode a Workload, every field of it: a bad address voids it although no verdict needs it. Raises `Invalid`."""
    body = reader.fields(found.body, "object", _ENVELOPE)
    spec = reader.fields(body.get("spec"), "spec", _SPEC)
    account = reader.required_text(spec, "serviceAccount")
    if not is_subdomain(account):
        raise Invalid("serviceAccount is not a valid name")
    addresses = reader.items(spec.get("addresses"), "addresses")
    if not addresses:
        raise Invalid("addresses is empty")
    for address in [*addresses, spec.get("bind", "0.0.0.0")]:  # noqa: S104 - checked as text, nothing is bound
        _check_address(address)
    for upstream in reader.items(spec.get("upstreams", []), "upstreams"):
        _check_upstream(upstream)
    ports = tuple(_port(port) for port in reader.items(spec.get("ports", []), "ports"))
    if len({(port.port, port.transport) for port in ports}) < len(ports):
        raise Invalid("a port is listed twice")
    return Instance(
        kind=found.kind,
        namespace=found.namespace,
        name=found.name,
        account=(found.namespace, account),
        labels=labels_of(reader.mapping(body.get("metadata"), "metadata")),
        ports=ports,
    )


def _port(value: object) -> ContainerPort:
    written = reader.fields(value, "port", _PORT)
    transport = reader.text(written.get("protocol", "TCP"), "protocol")
    if transport not in {"TCP", "UDP"}:
        raise Invalid("protocol is neither TCP nor UDP")
    number = reader.port_number(written.get("port"), "port")
    reader.port_number(written.get("appPort", number), "appPort")
    _check_address(written.get("appAddress", "127.0.0.1"))
    name, app_protocol = reader.optional_text(written, "name"), reader.optional_text(written, "appProtocol")
    return ContainerPort(number, transport, name or "", app_protocol)


def _check_upstream(value: object) -> None:
    written = reader.fields(value, "upstream", _UPSTREAM)
    namespace, slash, name = reader.required_text(written, "service").rpartition("/")
    if not is_label(name) or (slash and not is_label(namespace)):
        raise Invalid("service is not a valid name")
    reader.port_number(written.get("localPort", reader.port_number(written.get("port"), "port")), "localPort")
    _check_address(written.get("address", "127.0.0.1"))
    if written.get("shared", "host") != "host":
        raise Invalid("shared is not host")
    if "path" in written:
        _check_path(reader.required_text(written, "path"))
        if not {"address", "localPort", "shared"}.isdisjoint(written):
            raise Invalid("an upstream is a Unix socket or a port, not both")


def _check_path(written: str) -> None:
    """A Unix socket: /names/of/folders/name.sock, nothing relative in it, no folder that looks like a socket."""
    if not written.startswith("/") or len(written) > _LONGEST_PATH:
        raise Invalid(f"{written!r} is not absolute, or too long for the kernel")
    *folders, name = written[1:].split("/")
    if not all(_NAME.fullmatch(part) for part in (*folders, name)):
        raise Invalid(f"{written!r} is not a Unix socket path")
    if any(part in {".", ".."} or part.endswith(".sock") for part in folders):
        raise Invalid(f"{written!r} contains an invalid folder")
    if len(name) <= len(".sock") or not name.endswith(".sock"):
        raise Invalid(f"{written!r} does not end in .sock")


def _check_address(value: object) -> None:
    written = reader.text(value, "address")
    try:
        ip_address(written)
    except ValueError:
        raise Invalid(f"{value!r} is not an IP address") from None
    if "%" in written:
        raise Invalid(f"{value!r} is only valid on one machine")

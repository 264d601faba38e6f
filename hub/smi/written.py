"""The shape of a Workload as people write it, of which `smihub schema workload` makes a JSON Schema for editors.

Decoding does not use it (hub.smi.workload tells more than a type can); tests hold that both know the same fields.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Number = Annotated[int, Meta(ge=1, le=65535)]


class WrittenPort(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A port on which the workload receives."""

    port: Annotated[Number, Meta(description="Where the sidecar listens, and others call.")]
    name: Annotated[str, Meta(description="A prefix such as http- declares the protocol, as in a Service.")] = ""
    protocol: Literal["TCP", "UDP"] = "TCP"
    app_protocol: Annotated[str, Meta(description="The protocol: http, http2, grpc, tcp, ...")] = ""
    app_address: Annotated[str, Meta(description="Where the application listens; 127.0.0.1 by default.")] = "127.0.0.1"
    app_port: Annotated[Number | UnsetType, Meta(description="The application's port, if it differs.")] = UNSET


class WrittenUpstream(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A Service that the workload calls, through a Unix socket (`path`) or an address of its sidecar."""

    service: Annotated[str, Meta(description="The Service: NAME, or NAMESPACE/NAME.")]
    port: Annotated[Number, Meta(description="The Service's port.")]
    path: Annotated[str | UnsetType, Meta(description="The Unix socket on which the sidecar listens for it.")] = UNSET
    address: Annotated[str | UnsetType, Meta(description="The address on which the sidecar listens for it.")] = UNSET
    local_port: Annotated[Number | UnsetType, Meta(description="The port there; that of the Service by default.")] = (
        UNSET
    )
    shared: Annotated[
        Literal["host"] | UnsetType,
        Meta(
            description="With an address: every program on the machine may call as this workload; set this if it is intended."
        ),
    ] = UNSET


class WrittenSpec(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Who a workload is, where it receives, and whom it calls."""

    service_account: Annotated[str, Meta(min_length=1, description="Its identity, with its namespace.")]
    addresses: Annotated[tuple[str, ...], Meta(min_length=1, description="The IP addresses where others reach it.")]
    bind: Annotated[str | UnsetType, Meta(description="Where the sidecar listens; the first address by default.")] = (
        UNSET
    )
    ports: tuple[WrittenPort, ...] = ()
    upstreams: tuple[WrittenUpstream, ...] = ()


class WrittenMetadata(Struct, frozen=True, kw_only=True):
    """As in Kubernetes; other fields than these mean nothing here."""

    name: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class WrittenWorkload(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A process on a machine that is no Pod."""

    api_version: Literal["smihub.io/v1alpha1"]
    kind: Literal["Workload"]
    metadata: WrittenMetadata
    spec: WrittenSpec
    status: Any = None

"""Discovery messages on the wire: bytes to `DiscoveryRequest`, `Response` to bytes, for both variants.

Resources go out as the bytes that they are: an embedded message is its field's key, its length and its bytes, so a
response is joined and never built anew per stream (Protocol Buffers, "Encoding", section "Length-Delimited Records").
"""

from __future__ import annotations

from typing import Any

from adapters.vm import wire
from adapters.vm.serve.client import DiscoveryRequest, Response, StreamError

_RESOURCES = b"\x12"
"""Field 2, length-delimited: `resources` of both responses, and `resource` of discovery.v3.Resource."""
REFUSAL_LENGTH = 2000
"""Characters kept of a client's reason for a refusal: it is stored, logged and shown once per refused resource."""


def read_sotw(raw: bytes) -> DiscoveryRequest:
    """Decode a `DiscoveryRequest`. Raises StreamError if these bytes are none."""
    message = _parsed(wire.DiscoveryRequest, raw)
    return DiscoveryRequest(
        type_url=message.type_url,
        node=message.node.id,
        nonce=message.response_nonce,
        error=_refusal(message),
        names=tuple(message.resource_names),
        version=message.version_info,
    )


def read_delta(raw: bytes) -> DiscoveryRequest:
    """Decode a `DeltaDiscoveryRequest`. Raises StreamError if these bytes are none."""
    message = _parsed(wire.DeltaDiscoveryRequest, raw)
    return DiscoveryRequest(
        type_url=message.type_url,
        node=message.node.id,
        nonce=message.response_nonce,
        error=_refusal(message),
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial=dict(message.initial_resource_versions),
    )


def _parsed(kind: Any, raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except wire.DecodeError as error:
        raise StreamError("INVALID_ARGUMENT", f"not a {kind.DESCRIPTOR.name}") from error


def _refusal(message: Any) -> str | None:
    if not message.HasField("error_detail"):
        return None
    detail = str(message.error_detail.message)
    return detail if len(detail) <= REFUSAL_LENGTH else detail[:REFUSAL_LENGTH] + "..."


def write_sotw(response: Response) -> bytes:
    """Encode a `DiscoveryResponse`."""
    head = wire.DiscoveryResponse(version_info=response.version, type_url=response.type_url, nonce=response.nonce)
    return b"".join([wire.pack(head), *(_embedded(item.body) for item in response.resources)])


def write_delta(response: Response) -> bytes:
    """Encode a `DeltaDiscoveryResponse`."""
    head = wire.DeltaDiscoveryResponse(
        system_version_info=response.version,
        type_url=response.type_url,
        nonce=response.nonce,
        removed_resources=response.removed,
    )
    parts = [wire.pack(head)]
    for item in response.resources:
        named = wire.pack(wire.Resource(name=item.name, version=item.version))
        parts.append(_embedded(named + _embedded(item.body)))
    return b"".join(parts)


def _embedded(body: bytes) -> bytes:
    return b"".join((_RESOURCES, _varint(len(body)), body))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)

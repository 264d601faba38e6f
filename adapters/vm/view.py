"""A resource for people: its body as JSON-like data and back, and its name."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.vm import wire
from hub.api import UnmodelledError


def view(body: bytes, kind: str) -> Any:
    """The body of a resource as dicts, lists, texts, numbers and bools, extensions opened.

    Raises UnmodelledError for an unknown kind or for bytes that are no such resource.
    """
    if kind == "Workload":
        return _decoded(body)
    return wire.to_json(wire.parse(kind, body))


def body(value: Any, kind: str) -> bytes:
    """The bytes of a resource of which `view` is given. Raises UnmodelledError for what is none."""
    if kind == "Workload":
        return _encoded(value)
    return wire.pack(wire.from_json(kind, value))


def name(kind: str, body: bytes) -> str:
    """The name under which a resource is subscribed to; the same errors as `view`."""
    if kind == "Workload":
        return str(_decoded(body)["workload"])
    return wire.name_of(wire.parse(kind, body))


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(msgspec.convert(value, dict[str, Any]))
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise UnmodelledError(f"not a Workload: {error}") from error


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UnmodelledError("these bytes are not a Workload") from error

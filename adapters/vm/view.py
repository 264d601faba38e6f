"""A resource for people: its body as JSON-like data, and its name."""

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


def name(kind: str, body: bytes) -> str:
    """The name under which a resource is subscribed to; the same errors as `view`."""
    if kind == "Workload":
        return str(_decoded(body)["workload"])
    return wire.name_of(wire.parse(kind, body))


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UnmodelledError("these bytes are not a Workload") from error

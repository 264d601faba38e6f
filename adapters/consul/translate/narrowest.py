"""An intention that grants nothing any more, and denies by being there.

A service without an intention is under Consul's default, which may be to allow (observed on Consul 1.22). So its intention must not go
before something else denies.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.consul.names import EVERY, KINDS

INTENTION = "service-intentions"
_DENY: dict[str, Any] = {"Name": EVERY, "Action": "deny"}
_DENY_RESOURCE: dict[str, Any] = {"name": EVERY, "action": "deny"}


def narrowest(body: bytes, kind: str) -> bytes | None:
    """The intention in `body` with its denying sources alone, and the one that denies everybody; None for another kind."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
        if kind == INTENTION:
            found = {**found, "Sources": _denied(found["Sources"], "Name", "Action", _DENY)}
        elif kind == KINDS[INTENTION]:
            spec = found["spec"]
            found = {**found, "spec": {**spec, "sources": _denied(spec["sources"], "name", "action", _DENY_RESOURCE)}}
        else:
            return None
        return msgspec.json.encode(found, order="sorted")
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        return None


def _denied(sources: list[dict[str, Any]], name: str, action: str, everybody: dict[str, Any]) -> list[dict[str, Any]]:
    """Who is denied stays so; who was allowed is denied by name, as somebody may allow him to every destination."""
    return [*({name: one[name], action: "deny"} for one in sources if one[name] != EVERY), everybody]

"""An object for people: its body as JSON-like data."""

from __future__ import annotations

from typing import Any

import msgspec

from hub.api import UnmodelledError

KINDS = frozenset({"AuthorizationPolicy", "PeerAuthentication", "VirtualService"})


def view(body: bytes, kind: str) -> Any:
    """The manifest as dicts, lists, texts and numbers. Raises UnmodelledError for bytes that are no such object."""
    try:
        manifest = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnmodelledError(f'these bytes are not a "{kind}"') from error
    if kind not in KINDS or manifest.get("kind") != kind:
        raise UnmodelledError(f'these bytes are not a "{kind}"')
    return manifest

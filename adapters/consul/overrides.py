"""What entries and custom resources of others do to those of smihub, as far as one of them tells by itself.

Source: https://developer.hashicorp.com/consul/docs/connect/config-entries. Observed on Consul 1.22: where it denies by default, an intention
that allows a source to every destination lets it in, unless the destination's own intention names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.consul.names import EVERY, GROUP

_SPLITTER = 'takes a part of the calls to Service "{}", and Consul follows it from the splits of others'
_ROUTER = 'takes the place of the router for "{}", if it is written later'
_RESOLVER = 'sends calls to "{}" elsewhere, those of a share as well, if it redirects'
_PROXIES = "may let callers in without a certificate, or change the protocol of every service"
_WILDCARD = 'lets {} call every service that does not name it: list it in "wildcardSources"'


def overrides(manifest: Mapping[str, Any]) -> str:
    """What an object that smihub did not write does to what it writes; "" if nothing, or if it cannot be told."""
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    if not isinstance(version, str) or version.partition("/")[0] != GROUP:
        return ""
    spec = manifest.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    name = _text(manifest.get("metadata"), "name")
    if kind == "ServiceIntentions":
        return _intention(spec)
    words = {"ServiceSplitter": _SPLITTER, "ServiceRouter": _ROUTER, "ServiceResolver": _RESOLVER}
    return _PROXIES if kind in {"ProxyDefaults", "Mesh"} else words.get(str(kind), "").format(name)


def _intention(spec: Mapping[str, Any]) -> str:
    destination, sources = _text(spec.get("destination"), "name"), spec.get("sources")
    if destination != EVERY or not isinstance(sources, list):
        return ""
    allowed = sorted(_text(one, "name") for one in sources if _text(one, "action") == "allow")
    return _WILDCARD.format(", ".join(f'"{name}"' for name in allowed)) if allowed else ""


def _text(value: object, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""

"""What entries and custom resources of others do to those of smihub, as far as one of them tells by itself.

Source: https://developer.hashicorp.com/consul/docs/connect/config-entries. Observed on Consul 1.22: where it denies by default, an intention
that allows a source to every destination lets it in, unless the destination's own intention names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from adapters.consul.config import ConsulConfig
from adapters.consul.names import EVERY, GROUP, entry
from hub.api import Observed, Unseen

_SPLITTER = 'takes a part of the calls to Service "{}", and Consul follows it from the splits of others'
_ROUTER = 'takes the place of the router for "{}", if it is written later'
_RESOLVER = 'sends calls to "{}" elsewhere, those of a share as well, if it redirects'
_PROXIES = "may let callers in without a certificate, or change the protocol of every service"
_WILDCARD = 'lets {} call every service that does not name it: list it in "wildcardSources"'
_WORDS = {
    "ServiceSplitter": _SPLITTER,
    "ServiceRouter": _ROUTER,
    "ServiceResolver": _RESOLVER,
    "ProxyDefaults": _PROXIES,
    "Mesh": _PROXIES,
}
_UNSEEN = Unseen(
    "consul.wildcards-unseen",
    'smihub cannot see whom an intention of somebody else for "*" allows; where Consul denies by default, these services are let in by every '
    "service that does not deny them by name",
    "list them; [] if there are none (consul config read -kind service-intentions -name '*')",
    "wildcardSources",
)


def unseen(settings: ConsulConfig, others: Sequence[Observed]) -> Iterator[Unseen]:
    """That the intention of others for every service is not seen, unless it was read, or somebody has said whom it allows."""
    if settings.wildcard_sources is None and not any(map(_is_for_every_service, others)):
        yield _UNSEEN


def _is_for_every_service(one: Observed) -> bool:
    if one.ref == entry("service-intentions", EVERY):
        return True
    body: dict[str, Any] = {}
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        body = msgspec.json.decode(one.owned, type=dict[str, Any])
    return (one.ref.group, one.ref.kind) == (GROUP, "ServiceIntentions") and (
        _text(_part(body, "destination"), "name") == EVERY
    )


def overrides(manifest: Mapping[str, Any]) -> str:
    """What an object that smihub did not write does to what it writes; "" if nothing, or if it cannot be told."""
    if isinstance(manifest.get("Kind"), str):
        return _of_entry(manifest)
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    if not isinstance(version, str) or version.partition("/")[0] != GROUP:
        return ""
    name = _text(manifest.get("metadata"), "name")
    if kind == "ServiceIntentions":
        sources = _part(manifest, "sources")
        return _intention(_text(_part(manifest, "destination"), "name"), sources, "name", "action")
    return _WORDS.get(str(kind), "").format(name)


def _of_entry(entry: Mapping[str, Any]) -> str:
    """The same of a config entry."""
    kind, name = str(entry["Kind"]), _text(entry, "Name")
    if kind == "service-intentions":
        return _intention(name, entry.get("Sources"), "Name", "Action")
    return _WORDS.get("".join(map(str.capitalize, kind.split("-"))), "").format(name)


def _intention(destination: str, sources: object, name: str, action: str) -> str:
    if destination != EVERY or not isinstance(sources, list):
        return ""
    allowed = sorted(_text(one, name) for one in sources if _text(one, action) == "allow")
    return _WILDCARD.format(", ".join(f'"{name}"' for name in allowed)) if allowed else ""


def _part(manifest: Mapping[str, Any], key: str) -> object:
    spec = manifest.get("spec")
    return spec.get(key) if isinstance(spec, dict) else None


def _text(value: object, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""

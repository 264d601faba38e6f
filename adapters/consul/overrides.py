"""What entries and custom resources of others do to those of smihub, as far as one of them tells by itself.

Source: https://developer.hashicorp.com/consul/docs/connect/config-entries. Observed on Consul 1.22: where it denies by default, an intention
that allows a source to every destination lets it in, unless the destination's own intention names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from adapters.consul.config import SERVICE, ConsulConfig
from adapters.consul.names import EVERY, GROUP, entry
from adapters.consul.vocabulary import UNTIL_KNOWN
from hub.api import Observed, Unseen

ConfigT = TypeVar("ConfigT", bound=ConsulConfig)
_SPLITTER = 'takes a part of the calls to Service "{}", and Consul follows it from the splits of others'
_ROUTER = 'takes the place of the router for "{}", if it is written later'
_RESOLVER = 'sends calls to "{}" elsewhere, those of a share as well, if it redirects'
_PROXIES = "may let callers in without a certificate, or change the protocol of every service"
_WILDCARD = 'lets {} call every service that does not deny it by name, as those of smihub do if it stands beside them, or "wildcardSources" lists it'
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


def learned(settings: ConfigT, others: Iterable[Mapping[str, Any]], ours: Iterable[Mapping[str, Any]]) -> ConfigT:
    """The settings with whom entries of others allow to every service among the `wildcardSources`.

    What smihub denies by name (and not for a while, see UNTIL_KNOWN) it goes on to deny, until `wildcardSources` is declared: that
    the entry has gone from the folder does not say that it has gone from Consul.
    """
    found = {name for one in others for name in _everywhere(one, "allow")}
    if settings.wildcard_sources is None:
        found |= {name for one in ours for name in _sources(one, "deny", but=UNTIL_KNOWN)}
    found = {name for name in found if SERVICE.fullmatch(name)}.union(settings.wildcard_sources or ())
    return replace(settings, wildcard_sources=tuple(sorted(found))) if found else settings


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
    kind, name = _kind_and_name(manifest)
    if kind == "ServiceIntentions":
        allowed = ", ".join(f'"{source}"' for source in _everywhere(manifest, "allow"))
        return _WILDCARD.format(allowed) if allowed else ""
    return _WORDS.get(kind, "").format(name)


def _kind_and_name(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """The kind, as of the custom resource, and the name of an entry in either form; ("", "") for anything else."""
    if isinstance(manifest.get("Kind"), str):
        return "".join(map(str.capitalize, manifest["Kind"].split("-"))), _text(manifest, "Name")
    version = manifest.get("apiVersion")
    if not isinstance(version, str) or version.partition("/")[0] != GROUP:
        return "", ""
    return str(manifest.get("kind")), _text(manifest.get("metadata"), "name")


def _everywhere(manifest: Mapping[str, Any], action: str) -> list[str]:
    """The services that an intention for every service allows, or denies, sorted."""
    entry = isinstance(manifest.get("Kind"), str)
    destination = _text(manifest, "Name") if entry else _text(_part(manifest, "destination"), "name")
    return _sources(manifest, action) if destination == EVERY else []


def _sources(manifest: Mapping[str, Any], action: str, but: str | None = None) -> list[str]:
    """The sources that an intention allows, or denies, sorted, but those with this description; none of anything else.

    Consul takes an entry with its fields in any case, and one source without a list around it (command/helpers, lib/decode).
    """
    if _kind_and_name(manifest)[0] != "ServiceIntentions":
        return []
    held = _fields(manifest if isinstance(manifest.get("Kind"), str) else manifest.get("spec"), "sources")
    listed = [one for sources in held for one in (sources if isinstance(sources, list) else [sources])]
    found = (one for one in listed if action in _fields(one, "action") and but not in _fields(one, "description"))
    return sorted(name for one in found for name in _fields(one, "name") if isinstance(name, str))


def _part(manifest: Mapping[str, Any], key: str) -> object:
    spec = manifest.get("spec")
    return spec.get(key) if isinstance(spec, dict) else None


def _fields(value: object, key: str) -> list[object]:
    """The fields of this name in lower case, in whichever case they are."""
    fields = value.items() if isinstance(value, dict) else ()
    return [inner for name, inner in fields if str(name).lower() == key]


def _text(value: object, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""

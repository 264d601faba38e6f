"""Reading config entries strictly, whether as Consul's HTTP API has them or as manifests of consul-k8s.

A manifest has its fields in lower camel case under `spec`; they are read under the names of the HTTP API. Names of entries have
no upper and lower case: `WEB` is the entry of `web`. What Consul Community Edition refuses (namespaces, partitions) is not read.
Source: https://developer.hashicorp.com/consul/docs/reference/config-entry/service-intentions and its neighbours,
https://developer.hashicorp.com/consul/docs/fundamentals/config-entry; case of names was observed on Consul 1.22.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from hub.api import Fields, NativeObject, UnmodelledError, manifest_of

INTENTIONS, DEFAULTS = "service-intentions", "service-defaults"
ROUTER, SPLITTER, RESOLVER = "service-router", "service-splitter", "service-resolver"
_KINDS: Mapping[str, str] = {
    "ServiceIntentions": INTENTIONS,
    "ServiceDefaults": DEFAULTS,
    "ServiceRouter": ROUTER,
    "ServiceSplitter": SPLITTER,
    "ServiceResolver": RESOLVER,
}
_VERSIONS = dict.fromkeys(_KINDS, ("consul.hashicorp.com/v1alpha1",))
# Labels and annotations of consul-k8s itself may change what it does with an object.
_MEANINGFUL = re.compile(r"(?:[^/]*\.)?consul\.hashicorp\.com/")
_WHOLE = {"http": "HTTP", "jwt": "JWT"}
_NAMED = frozenset(("subsets", "failover"))
_CAMEL = re.compile(r"[a-z][A-Za-z0-9]*")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,254}[a-z0-9])?")


class ConfigEntry(Struct, frozen=True):
    """One entry: its kind and name, what answers call it, and its other fields under the names of the HTTP API."""

    kind: str
    name: str
    label: str
    body: Mapping[str, Any]

    def fields(self) -> Fields:
        """The fields of its kind."""
        return Fields(dict(self.body), self.label)


def entries_of(objects: Iterable[NativeObject]) -> dict[tuple[str, str], ConfigEntry]:
    """All entries by kind and name. Raises UnmodelledError for what is no entry of these kinds, or stands for one twice."""
    found: dict[tuple[str, str], ConfigEntry] = {}
    for native in objects:
        entry = _entry(native)
        before = found.setdefault((entry.kind, entry.name), entry)
        if before is not entry:
            raise UnmodelledError(f"{entry.label} and {before.label} are one entry, and the last write counts")
    return found


def service_name(text: str, where: str) -> str:
    """A name of a service that can have an identity (https://developer.hashicorp.com/consul/docs/services/discovery/dns-overview)."""
    if _NAME.fullmatch(text) is None:
        raise UnmodelledError(f'{where}: the service "{text[:80]}" is not modelled, no identity has such a name')
    return text


def _entry(native: NativeObject) -> ConfigEntry:
    try:
        value = msgspec.json.decode(native.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnmodelledError(f"{native.ref}: this is not JSON: {error}") from error
    if isinstance(value, dict) and "apiVersion" in value:
        return _of_manifest(native)
    return _of_api(value, native)


def _of_api(value: object, native: NativeObject) -> ConfigEntry:
    fields = Fields(value, str(native.ref))
    kind, name = fields.text("Kind"), fields.text("Name")
    if kind not in _KINDS.values() or native.ref.kind != kind:
        raise fields.unmodelled(f'an entry of the kind "{kind}"')
    rest = {key: inner for key, inner in dict(value).items() if key not in {"Kind", "Name"}}  # type: ignore[call-overload]
    return ConfigEntry(kind, _entry_name(name, str(native.ref)), f"{kind}/{name}", rest)


def _of_manifest(native: NativeObject) -> ConfigEntry:
    manifest = manifest_of(native, _VERSIONS, _MEANINGFUL)
    body = _api_form(manifest.spec, manifest.label)
    name = manifest.name
    if manifest.kind == "ServiceIntentions":
        with Fields(body.pop("Destination", None) or {}, manifest.label) as left:
            name = left.text("Name")
    return ConfigEntry(_KINDS[manifest.kind], _entry_name(name, manifest.label), manifest.label, body)


def _entry_name(name: str, where: str) -> str:
    return "*" if name == "*" else service_name(name.lower(), where)


def _api_form(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same fields under the names of the HTTP API: its own first letters are capitals."""
    found = {}
    for key, inner in value.items():
        if _CAMEL.fullmatch(key) is None:
            raise UnmodelledError(f'{where}: the meaning of "{key[:40]}" is not modelled')
        by_name = key in _NAMED and isinstance(inner, dict)
        found[_WHOLE.get(key, key[0].upper() + key[1:])] = (
            {name: _converted(one, where) for name, one in inner.items()} if by_name else _converted(inner, where)
        )
    return found


def _converted(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return _api_form(value, where)
    return [_converted(one, where) for one in value] if isinstance(value, list) else value

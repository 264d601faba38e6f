"""What service-defaults of others must say where smihub writes none: HTTP wherever Consul would else have refused an entry.

Consul refuses permissions, routers and splitters where a service does not speak HTTP, so a service of which such an entry stands does.
Source: https://developer.hashicorp.com/consul/docs/reference/config-entry/service-intentions (Permissions), .../service-router,
.../service-splitter; observed on Consul 1.22.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.consul.evaluate.entries import DEFAULTS, INTENTIONS, ROUTER, SPLITTER, ConfigEntry

Entries = Mapping[tuple[str, str], ConfigEntry]


def with_theirs(entries: Entries) -> dict[tuple[str, str], ConfigEntry]:
    """The entries, and what those of others say of protocols beside them."""
    found = dict(entries)
    for name in sorted({name for entry in entries.values() for name in _of_http(entry)}):
        implied = ConfigEntry(DEFAULTS, name, f"{DEFAULTS}/{name}", {"Protocol": "http"})
        found.setdefault((DEFAULTS, name), implied)
    return found


def _of_http(entry: ConfigEntry) -> Iterator[str]:
    """The services that cannot be TCP, given an entry."""
    if entry.kind == INTENTIONS and any("Permissions" in one for one in _items(entry, "Sources")):
        yield entry.name
    if entry.kind == ROUTER:
        yield entry.name
    if entry.kind == SPLITTER:
        yield from (one["Service"].lower() for one in _items(entry, "Splits") if isinstance(one.get("Service"), str))


def _items(entry: ConfigEntry, name: str) -> list[dict[str, Any]]:
    items = entry.body.get(name)
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []

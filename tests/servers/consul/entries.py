"""Config entries in a real Consul: written, read back, compared, deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tests.servers.consul.agent import Api, Policy

Entry = Mapping[str, Any]
Key = tuple[str, str]
ORDER = ("service-defaults", "service-resolver", "service-splitter", "service-router", "service-intentions")
"""The order in which Consul takes entries that need each other; it lets them go in the reverse one."""
CHAIN = ("service-resolver", "service-splitter", "service-router")
"""The kinds that say where calls go."""
_COUNTED = ("CreateIndex", "ModifyIndex", "Hash")
_DERIVED = ("Precedence", "Type")
"""What Consul adds to an entry and to a source; it sorts sources by precedence, too."""


class Entries:
    """The entries of one writer, who knows what he has written; those of `base` stand the whole time, or others in their place."""

    def __init__(self, api: Api, base: Iterable[Entry] = ()) -> None:
        self.api = api
        self._base = {key_of(one): one for one in base}
        self._standing: dict[Key, Entry] = {}
        self.replace(())

    def replace(self, entries: Iterable[Entry]) -> None:
        """Delete what stands, and write these. Raises RefusedError in Consul's own words."""
        self.delete(ORDER)
        self._standing = {**self._base, **{key_of(one): one for one in entries}}
        for key in sorted(self._standing, key=_place):
            assert self.api.put("/config", dict(self._standing[key])) is True

    def delete(self, kinds: Collection[str]) -> bool:
        """Delete what stands of these kinds; whether there was anything."""
        gone = [key for key in self._standing.keys() - self._base.keys() if key[0] in kinds]
        for kind, name in sorted(gone, key=_place, reverse=True):
            self.api.delete(f"/config/{kind}/{name}")
            del self._standing[kind, name]
        return bool(gone)

    def read(self, key: Key) -> dict[str, Any]:
        """An entry as it comes back. Raises RefusedError."""
        found: dict[str, Any] = self.api.get(f"/config/{key[0]}/{key[1]}")
        return found

    def chain(self, name: str) -> dict[str, Any]:
        """Where calls of a service go, as Consul compiles it from the entries. Raises RefusedError."""
        found: dict[str, Any] = self.api.get(f"/discovery-chain/{name}")["Chain"]
        return found

    def mark(self, name: str, mark: str, policy: Policy) -> None:
        """Leave a mark on both ways to a sidecar: in the calls of a service, and in who may call any service."""
        match = {"HTTP": {"PathExact": f"/{mark}"}}
        route = {"Match": match, "Destination": {"Service": name}}
        self.api.put("/config", {"Kind": "service-router", "Name": name, "Routes": [route]})
        empty = {"Kind": "service-intentions", "Name": "*"}
        self.api.put("/config", marked(self._standing.get(("service-intentions", "*"), empty), mark, policy))


def marked(entry: Entry, mark: str, policy: Policy) -> Entry:
    """The same intentions, and one about a service that is not there, which sidecars show; it is not the default."""
    source = {"Name": mark, "Action": "deny" if policy == "allow" else "allow"}
    return {**entry, "Sources": [*entry.get("Sources", ()), source]}


def key_of(entry: Entry) -> Key:
    """Kind and name."""
    return str(entry["Kind"]), str(entry["Name"])


def _place(key: Key) -> tuple[int, str]:
    return ORDER.index(key[0]), key[1]


def comparable(entry: Entry) -> Entry:
    """An entry without what Consul adds: numbers, digests, defaults, and the order of sources, which has no meaning."""
    found: dict[str, Any] = {key: value for key, value in _without_defaults(entry).items() if key not in _COUNTED}
    sources = [{key: value for key, value in one.items() if key not in _DERIVED} for one in found.get("Sources", ())]
    return found | ({"Sources": sorted(sources, key=lambda one: str(one["Name"]))} if sources else {})


def _without_defaults(value: Any) -> Any:
    """The same without what is empty: Consul leaves it out, or writes it where nobody wrote anything."""
    if isinstance(value, Mapping):
        kept = {key: _without_defaults(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", [], {}, False)}
    return list(map(_without_defaults, value)) if isinstance(value, list | tuple) else value

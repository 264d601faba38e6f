"""Config entries in a real Consul: written, read back, compared, deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.servers.consul.agent import Api, Policy

Entry = Mapping[str, Any]
Key = tuple[str, str]
ORDER = ("service-defaults", "service-resolver", "service-splitter", "service-router", "service-intentions")
"""The order in which Consul takes entries that need each other; it lets them go in the reverse one."""
_COUNTED = ("CreateIndex", "ModifyIndex", "Hash")
_DERIVED = ("Precedence", "Type")
"""What Consul adds to an entry and to a source; it sorts sources by precedence, too."""


class Entries:
    """The entries of one writer, who knows what he has written."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._standing: dict[Key, Entry] = {}

    def replace(self, entries: Iterable[Entry]) -> None:
        """Delete what stands, and write these. Raises RefusedError in Consul's own words."""
        for kind, name in sorted(self._standing, key=_place, reverse=True):
            self.api.delete(f"/config/{kind}/{name}")
        self._standing = {}
        for one in sorted(entries, key=lambda one: _place(key_of(one))):
            self.write(one)

    def write(self, entry: Entry) -> None:
        """Write one entry. Raises RefusedError."""
        assert self.api.put("/config", dict(entry)) is True
        self._standing[key_of(entry)] = entry

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
        action = "deny" if policy == "allow" else "allow"
        kept = self._standing.get(("service-intentions", "*"), {"Kind": "service-intentions", "Name": "*"})
        self.api.put("/config", {**kept, "Sources": [*kept.get("Sources", ()), {"Name": mark, "Action": action}]})


def key_of(entry: Entry) -> Key:
    """Kind and name."""
    return str(entry["Kind"]), str(entry["Name"])


def _place(key: Key) -> tuple[int, str]:
    return ORDER.index(key[0]), key[1]

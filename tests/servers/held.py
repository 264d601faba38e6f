"""A model of Envoys that may be away: which connections each of them keeps, and by which identity.

An Envoy holds what it accepted last. When it hears from the hub again it ends the connections of listeners that are gone
or differ, drains the connection pools of clusters that are gone or differ, and leaves everything else as it is: a
connection has the certificate of its handshake for as long as it lasts, and raw bytes are judged once, at its beginning.
Sources: Envoy, "Draining"; "Listener discovery service (LDS)"; "Secret discovery service (SDS)"; "Cluster discovery
service (CDS)".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from adapters.vm.resource import CDS, LDS, Resource, Snapshot
from hub.model import Destination, Request, Source
from hub.testing.small_worlds import NAMESPACE, SERVED

CALLERS = (f"{NAMESPACE}/web-1", f"{NAMESPACE}/peer-1")
RECEIVERS = (f"{NAMESPACE}/api-1", f"{NAMESPACE}/api-2")
_GOLD = (("x-t", "gold"),)
Kind = Literal["raw", "pooled"]
_KINDS: tuple[Kind, Kind] = ("raw", "pooled")

Allows = Callable[[Request], bool]


class Link(Struct, frozen=True):
    """One open connection between two sidecars: raw bytes of one client, or one of a pool for HTTP.

    `port` is the Service's. `spiffe` is whom it was opened by; `near` and `far` are versions: of what it hangs on at the caller, of the receiver's listener.
    """

    caller: str
    receiver: str
    port: int
    kind: Kind
    spiffe: str
    near: str
    far: str

    @property
    def requests(self) -> tuple[Request, ...]:
        """What it may carry, by the certificate that it was opened with."""
        raw = Request(Source(spiffe=self.spiffe), Destination(pod=self.receiver), SERVED[self.port], "tcp")
        http = (replace(raw, protocol="http", method=method, path="/a", headers=_GOLD) for method in ("GET", "POST"))
        return (raw,) if self.kind == "raw" else tuple(http)


class Envoys:
    """The sidecars of a town; those in `away` hear nothing from the hub."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.links: set[Link] = set()
        self._held: dict[str, Snapshot] = {}

    def hear(self, now: Mapping[str, Snapshot]) -> None:
        """All that are not away accept what they must get now."""
        self._held |= {name: snapshot for name, snapshot in now.items() if name not in self.away}
        self.links = {link for link in self.links if self._lasts(link)}

    def open(self, spiffe: Mapping[str, str], admits: Allows) -> None:
        """Every caller that is there opens what the meshes admit, and keeps it."""
        for caller in CALLERS:
            for receiver in RECEIVERS:
                here = {caller, receiver} <= self._held.keys() and not {caller, receiver} & self.away
                if here and caller in spiffe:
                    opened = self._opened(caller, receiver, spiffe[caller])
                    self.links |= {one for one in opened if any(map(admits, one.requests))}

    def wrong(self, spiffe: Mapping[str, str], allows: Allows) -> str:
        """Which connection must not be open any more, where both ends have heard everything; "" if none."""
        for link in sorted(self.links, key=str):
            if {link.caller, link.receiver} & self.away:
                continue
            if spiffe.get(link.caller) != link.spiffe:
                return f"{link} is open, and its caller is {spiffe.get(link.caller)} now"
            if link.kind == "raw" and not any(map(allows, link.requests)):
                return f"{link} is open, and must not be"
        return ""

    def _opened(self, caller: str, receiver: str, spiffe: str) -> Iterator[Link]:
        for port in SERVED:
            far = self._inbound(receiver, port)
            for kind in _KINDS if far else ():
                if near := self._near(kind, caller, port):
                    yield Link(caller, receiver, port, kind, spiffe, near, far)

    def _lasts(self, link: Link) -> bool:
        near, far = self._near(link.kind, link.caller, link.port), self._inbound(link.receiver, link.port)
        return (near, far) == (link.near, link.far)

    def _near(self, kind: Kind, workload: str, port: int) -> str:
        return self._outbound(workload, port) if kind == "raw" else self._pool(workload, port)

    def _inbound(self, workload: str, port: int) -> str:
        """The listener behind a port of the Service, with its version."""
        for name, resource in self._held.get(workload, {}).get(LDS, {}).items():
            parts = name.split("/")
            if parts[0] == "in" and parts[3] == str(SERVED[port]):
                return f"{name} {_content(resource)}"
        return ""

    def _outbound(self, workload: str, port: int) -> str:
        """The version of the listener at which the workload's own program calls."""
        found = self._held.get(workload, {}).get(LDS, {})
        return next(
            (f"{name} {_content(one)}" for name, one in found.items() if name.startswith(f"{_cluster(port)}@")), ""
        )

    def _pool(self, workload: str, port: int) -> str:
        found = self._held.get(workload, {}).get(CDS, {}).get(_cluster(port))
        return "" if found is None else _content(found)


def _content(resource: Resource) -> str:
    """What an Envoy sees of a resource; it does not look at versions."""
    return sha256(resource.body).hexdigest()[:16]


def _cluster(port: int) -> str:
    return f"out/{NAMESPACE}/api/{port}"

"""Servers: which one stands before a port of a Pod, and whom it lets in.

A Server selects Pods of its namespace by labels, and one port. Of several the oldest counts, then the first by name. Without
routes it lets in whom a policy on it (or its `accessPolicy`) admits; a route lets in those, and whom a policy on the route admits.
What no route matches is a 404 for everybody. Routes count for HTTP alone: other bytes, and ports declared `opaque` or `TLS`, are
for those whom the Server itself admits.
Source: https://linkerd.io/2-edge/reference/authorization-policy/; ages, unknown access policies and the kinds of protocols were
observed on Linkerd edge-26.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from adapters.linkerd.evaluate.callers import ANY_MESHED, NOBODY, Caller
from adapters.linkerd.evaluate.httproutes import BoundRoute, winner
from adapters.linkerd.evaluate.policies import Admission, Admitted, Networks, Policies, admitted
from adapters.linkerd.evaluate.request import GUARDED, HEADER, OPENED, Http, Reading
from hub.api import Fields, NativeManifest, UnmodelledError, Verdict

PodLabels = frozenset[tuple[str, str]]
_PROTOCOLS = frozenset(("unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"))
_BYTES = frozenset(("opaque", "TLS"))


class InboundServer(Struct, frozen=True):
    """A Server with whom it admits, and its routes, each with whom that one admits besides."""

    namespace: str
    name: str
    label: str
    age: str | None
    selector: PodLabels
    port: int
    protocol: str
    admissions: tuple[Admission, ...]
    routes: tuple[tuple[BoundRoute, tuple[Admission, ...]], ...]

    def judge(self, caller: Caller, reading: Reading | None) -> Verdict:
        """Judge one call; without a reading it is bytes that are not HTTP."""
        if self.protocol in _BYTES or (self.protocol == "unknown" and reading is None):
            return self._admit(admitted(self.admissions, caller))
        if reading is None or not self._speaks(reading, caller):
            return Verdict(False, (self.label,))
        if reading.faults:
            return Verdict(False, (self.label,), reading.faults, http=True)
        if self.protocol == "gRPC":
            return self._grpc(caller, reading)
        return self._http(caller, reading)

    def _speaks(self, reading: Reading, caller: Caller) -> bool:
        """Between proxies every version is understood; a caller without one must speak the version that is declared."""
        declared = {"HTTP/1": (False,), "HTTP/2": (True,), "gRPC": (True,)}.get(self.protocol, (False, True))
        return caller != NOBODY or reading.http2 in declared

    def _http(self, caller: Caller, reading: Reading) -> Verdict:
        """The one route that the request meets decides; without any route, the Server does."""
        if not self.routes:
            return self._admit(admitted(self.admissions, caller), http=True)
        extra = {id(route): own for route, own in self.routes}
        met = winner(
            [route for route, _ in self.routes],
            reading.http,
            lambda route, _: (route.label, admitted((*self.admissions, *extra[id(route)]), caller)),
            lambda outcome: (bool(outcome[1].by), outcome[1].opened),
        )
        if met is not None and met[1].by:
            return self._admit(met[1], http=True)
        return Verdict(False, (self.label if met is None else met[0],), self._excuses(caller, reading.http), http=True)

    def _excuses(self, caller: Caller, http: Http) -> tuple[str, ...]:
        """Why a call may be refused that is meant: nothing is normalised, and values beyond ASCII match no regex."""
        path, headers = not http.is_plain, not http.is_visible
        codes = ((GUARDED,) if path else ()) + ((HEADER,) if headers else ())
        fitting = (
            any(one.near(http, path=path, headers=headers) for rule in route.rules for one in rule.matches)
            and any(one.suits(caller) for one in (*self.admissions, *own))
            for route, own in self.routes
        )
        return codes if codes and any(fitting) else ()

    def _grpc(self, caller: Caller, reading: Reading) -> Verdict:
        """HTTPRoutes do not count; the default route is for gRPC, which is a POST, and for those whom the Server admits."""
        if reading.http.method == "POST" and admitted(self.admissions, caller).by:
            raise UnmodelledError(f"{self.label}: gRPC calls are not modelled")
        return Verdict(False, (self.label,), http=True)

    def _admit(self, found: Admitted, *, http: bool = False) -> Verdict:
        return Verdict(bool(found.by), found.by or (self.label,), (OPENED,) if found.opened else (), http=http)


class Servers:
    """All Servers, asked by namespace and labels of a Pod; what was found is kept."""

    def __init__(self, manifests: Iterable[NativeManifest], routes: Sequence[BoundRoute], policies: Policies) -> None:
        self._by_place: dict[tuple[str, tuple[str, str] | None], list[InboundServer]] = {}
        self._found: dict[tuple[str, PodLabels], Mapping[int, tuple[InboundServer, ...]]] = {}
        by_server = _by_server(routes, policies)
        for manifest in manifests:
            if manifest.kind == "Server":
                server = _server_of(manifest, by_server.get((manifest.namespace, manifest.name), []), policies)
                key = (server.namespace, min(server.selector, default=None))
                self._by_place.setdefault(key, []).append(server)

    def before(self, namespace: str, labels: PodLabels) -> Mapping[int, tuple[InboundServer, ...]]:
        """The Servers that select Pods with these labels, by port."""
        key = (namespace, labels)
        if key not in self._found:
            ports: dict[int, tuple[InboundServer, ...]] = {}
            for server in self._selecting(namespace, labels):
                ports[server.port] = (*ports.get(server.port, ()), server)
            self._found[key] = ports
        return self._found[key]

    def _selecting(self, namespace: str, labels: PodLabels) -> Iterator[InboundServer]:
        # Indexed by one label of the selector: asking every Server for every Pod would be their product.
        for label in (None, *sorted(labels)):
            yield from (one for one in self._by_place.get((namespace, label), ()) if one.selector <= labels)


_Routes = list[tuple[BoundRoute, tuple[Admission, ...]]]


def _by_server(routes: Sequence[BoundRoute], policies: Policies) -> dict[tuple[str, str], _Routes]:
    found: dict[tuple[str, str], _Routes] = {}
    for route in routes:
        own = policies.on_route(route.namespace, route.group, route.name)
        for name in dict.fromkeys(route.servers):
            found.setdefault((route.namespace, name), []).append((route, own))
    return found


# --------------------------------------------------------------------------- compiling


def _server_of(manifest: NativeManifest, routes: _Routes, policies: Policies) -> InboundServer:
    with Fields(manifest.spec, manifest.label) as left:
        selector, port = _selector(left), left.port()
        protocol, access = left.text("proxyProtocol", "unknown"), left.text("accessPolicy", "deny")
    if port is None or protocol not in _PROTOCOLS:
        raise left.unmodelled(f'a Server without a port, or the protocol "{protocol}"')
    return InboundServer(
        namespace=manifest.namespace,
        label=manifest.label,
        age=manifest.age,
        name=manifest.name,
        selector=selector,
        port=port,
        protocol=protocol,
        admissions=(*policies.on_server(manifest.namespace, manifest.name), *_access(access, manifest.label)),
        routes=tuple(routes),
    )


def _selector(left: Fields) -> PodLabels:
    """The labels that a Pod must carry; none selects every Pod of the namespace."""
    value: Any = left.take("podSelector")
    with Fields(value, left.where) as inner:
        return inner.labels("matchLabels")


def _access(word: str, label: str) -> tuple[Admission, ...]:
    """Whom an `accessPolicy` admits; `audit` admits everybody, and a word that Linkerd does not know nobody."""
    if word in {"all-unauthenticated", "audit"}:
        return (Admission(label, None),)
    if word in {"all-authenticated", "cluster-authenticated"}:
        return (Admission(label, ANY_MESHED),)
    if word == "cluster-unauthenticated":
        return Admission(label, ANY_MESHED), Admission(label, None, Networks())
    return ()

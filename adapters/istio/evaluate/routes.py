"""VirtualServices: where the sidecar of a client sends a call to a Service.

Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/; what weights, missing ports, unmatched
requests, and repeated or absent headers do was observed on Istio 1.31 with Envoy 1.40.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from adapters.istio.evaluate.match import Http, Test, header_values, regex
from hub.api import Fields, NativeManifest, UnmodelledError

_HOST = re.compile(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.([a-z0-9.-]+)")
_NAME = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_SHORT = re.compile(r"[a-z0-9-]+")
_LIMIT = 2**31
_UNAVAILABLE = 503
Question = Callable[[Http], bool]


class DestinationShare(Struct, frozen=True):
    """One destination: a Service of the route's own namespace, its port (None: that of the call), its exact part.

    A host that is no Service of the cluster goes by its full name.
    """

    service: str
    port: int | None
    part: Fraction


class Match(Struct, frozen=True):
    """One `match`: the port (None: every port), and what must hold of a request."""

    port: int | None
    questions: tuple[Question, ...] = ()


class Entry(Struct, frozen=True):
    """One route: any of its matches must hold; without shares the sidecar answers by itself.

    `plain` says that it is one destination without a weight.
    """

    matches: tuple[Match, ...]
    shares: tuple[DestinationShare, ...]
    plain: bool


class Route(Struct, frozen=True):
    """One VirtualService as one port of its host sees it: entries with what must hold, in order."""

    label: str
    entries: tuple[tuple[tuple[Question, ...], Entry], ...]

    def choose(self, http: Http) -> Entry | None:
        """The first entry that is for this request; None is a 404."""
        return next((entry for questions, entry in self.entries if all(ask(http) for ask in questions)), None)


class _Service(Struct, frozen=True):
    """A compiled VirtualService for one of its hosts."""

    label: str
    http: tuple[Entry, ...]
    tcp: tuple[Entry, ...]


class Routes:
    """All VirtualServices, asked by Service and port."""

    def __init__(self, manifests: Iterable[NativeManifest]) -> None:
        self.domains: set[str] = set()
        self._services: dict[tuple[str, str], _Service] = {}
        self._found: dict[tuple[str, str, int, str], Route | None] = {}
        for manifest in sorted(manifests, key=lambda one: one.label):
            if manifest.kind == "VirtualService":
                self._add(manifest)
        if len(self.domains) > 1:
            raise UnmodelledError(
                f"hosts of several cluster domains ({', '.join(sorted(self.domains))}) are not modelled"
            )

    def http(self, place: tuple[str, str, int]) -> Route | None:
        """The HTTP routes of a Service port; None where there are none, and its own endpoints serve."""
        return self._route(place, "http")

    def tcp(self, place: tuple[str, str, int]) -> Route | None:
        """The TCP routes of a Service port; None where there are none."""
        return self._route(place, "tcp")

    def _route(self, place: tuple[str, str, int], layer: str) -> Route | None:
        key = (*place, layer)
        if key not in self._found:
            service = self._services.get(place[:2])
            entries = () if service is None else service.http if layer == "http" else service.tcp
            found = tuple(_at_port(entries, place[2]))
            self._found[key] = Route(service.label, found) if service is not None and found else None
        return self._found[key]

    def _add(self, manifest: NativeManifest) -> None:
        with Fields(manifest.spec, manifest.label) as left:
            hosts, http, tcp = left.texts("hosts"), left.items("http"), left.items("tcp")
            if left.texts("gateways") not in ((), ("mesh",)) or left.texts("exportTo") not in ((), ("*",)):
                raise left.unmodelled('other "gateways" than "mesh", or "exportTo"')
        for host in hosts:
            place = self._service(host, manifest)
            if place in self._services:
                raise left.unmodelled(
                    f'a second VirtualService for "{host}" (the older one wins, and ages are unknown)'
                )
            compiler = _Compiler(manifest.label, place[0], lambda text: self._service(text, manifest))
            self._services[place] = _Service(manifest.label, compiler.https(http), compiler.tcps(tcp))

    def _service(self, host: str, manifest: NativeManifest) -> tuple[str, str]:
        """The (namespace, name) that a host means."""
        if _SHORT.fullmatch(host):
            return manifest.namespace, host
        found = _HOST.fullmatch(host)
        if found is None:
            raise UnmodelledError(f'{manifest.label}: the host "{host}" is not modelled')
        self.domains.add(found.group(3))
        return found.group(2), found.group(1)


def _at_port(entries: Sequence[Entry], port: int) -> Iterator[tuple[tuple[Question, ...], Entry]]:
    for entry in entries:
        for match in entry.matches:
            if match.port in (None, port):
                yield match.questions, entry


# --------------------------------------------------------------------------- compiling


class _Compiler(Struct, frozen=True):
    """Compiles the routes of one host; `service` resolves a host to (namespace, name)."""

    where: str
    namespace: str
    service: Callable[[str], tuple[str, str]]

    def https(self, entries: Sequence[Any]) -> tuple[Entry, ...]:
        """The HTTP routes."""
        return tuple(self._http(entry) for entry in entries)

    def tcps(self, entries: Sequence[Any]) -> tuple[Entry, ...]:
        """The TCP routes."""
        return tuple(self._tcp(entry) for entry in entries)

    def _http(self, entry: Any) -> Entry:
        with Fields(entry, self.where) as left:
            left.neutral("name", "timeout", "retries")
            matches = tuple(self._http_match(one) for one in left.items("match")) or (Match(None),)
            direct, route = left.take("directResponse"), left.items("route")
        if direct is None:
            return self._entry(matches, route)
        if route:
            raise left.unmodelled('"route" beside "directResponse"')
        self._check_direct(direct)
        return Entry(matches, (), plain=False)

    def _check_direct(self, value: Any) -> None:
        with Fields(value, self.where) as left:
            left.neutral("body")
            if left.number("status") != _UNAVAILABLE:
                raise left.unmodelled('a "directResponse" that is not 503')

    def _tcp(self, entry: Any) -> Entry:
        with Fields(entry, self.where) as left:
            matches = tuple(self._tcp_match(one) for one in left.items("match")) or (Match(None),)
            return self._entry(matches, left.items("route"))

    def _tcp_match(self, value: Any) -> Match:
        with Fields(value, self.where) as left:
            return Match(left.number("port") or None)

    def _http_match(self, value: Any) -> Match:
        with Fields(value, self.where) as left:
            left.neutral("name")
            port, uri, method = left.number("port") or None, left.take("uri"), left.take("method")
            headers, without = left.pairs("headers"), left.pairs("withoutHeaders")
        questions = [] if uri is None else [_uri(_string(uri, self.where))]
        questions += [] if method is None else [_header(":method", _string(method, self.where), self.where)]
        questions += [_header(name, _string(test, self.where), self.where) for name, test in sorted(headers.items())]
        questions += [_without(name, _string(test, self.where), self.where) for name, test in sorted(without.items())]
        return Match(port, tuple(questions))

    # ----------------------------------------------------------------------- destinations

    def _entry(self, matches: tuple[Match, ...], route: Sequence[Any]) -> Entry:
        """One destination takes everything, whatever its weight; of several, one without a weight gets nothing."""
        found = [self._destination(one) for one in route]
        if len(found) == 1:
            service, port, weight = found[0]
            return Entry(matches, (DestinationShare(service, port, Fraction(1)),), plain=weight is None)
        total = sum(weight or 0 for _, _, weight in found)
        if not 0 < total < 2 * _LIMIT:
            raise UnmodelledError(
                f"{self.where}: Envoy rejects weights that add up to {total}, and keeps its old routes"
            )
        shares = tuple(
            DestinationShare(service, port, Fraction(weight, total)) for service, port, weight in found if weight
        )
        if len({(one.service, one.port) for one in shares}) != len({one.service for one in shares}):
            raise UnmodelledError(f"{self.where}: a route to two ports of one service is not modelled")
        return Entry(matches, shares, plain=False)

    def _destination(self, value: Any) -> tuple[str, int | None, int | None]:
        with Fields(value, self.where) as left:
            inner, weight = left.pairs("destination"), left.number("weight")
        if weight is not None and not 0 <= weight < _LIMIT:
            raise left.unmodelled(f"the weight {weight}")
        with Fields(inner, self.where) as target:
            host, port = target.text("host"), target.pairs("port")
        with Fields(port, self.where) as numbered:
            number = numbered.number("number")
        namespace, service = (self.namespace, host) if _is_foreign(host) else self.service(host)
        if namespace != self.namespace:
            raise left.unmodelled(f'the destination "{host}" in another namespace than the host')
        return service, number, weight


def _is_foreign(host: str) -> bool:
    """Whether a destination is a full name outside of the cluster's Services: nobody serves it."""
    return _NAME.fullmatch(host) is not None and ".svc." not in host


def _string(value: Any, where: str) -> Test | None:
    """A StringMatch; None asks for presence only."""
    with Fields(value, where) as left:
        texts = {kind: left.text(kind) for kind in ("exact", "prefix", "regex") if kind in value}
    if not texts or texts == {"regex": "*"}:
        return None
    kind, text = texts.popitem()
    if texts or (not text and kind != "exact"):
        raise left.unmodelled("an empty match, or one of two kinds,")
    if kind == "regex":
        return regex(text, where)
    wanted = text.encode()
    return wanted.__eq__ if kind == "exact" else lambda value: value.startswith(wanted)


def _uri(test: Test | None) -> Question:
    return (lambda _: True) if test is None else lambda http: test(http.plain)


def _header(name: str, test: Test | None, where: str) -> Question:
    """One line that matches is enough."""
    read = header_values(name, where)
    if test is None:
        return lambda http: bool(read(http))
    return lambda http: any(test(value) for value in read(http))


def _without(name: str, test: Test | None, where: str) -> Question:
    """No line may match; an absent header counts as an empty one."""
    read = header_values(name, where)
    if test is None:
        return lambda http: not read(http)
    return lambda http: not any(test(value) for value in read(http) or (b"",))

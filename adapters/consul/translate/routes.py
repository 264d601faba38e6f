"""One Route unit: that a Service speaks HTTP, and for its TrafficSplits a router, with a splitter of a virtual service for each.

Consul follows the splitter of a service that a splitter names, and SMI does not. So no Service has a splitter of its own: routes lead to a
virtual service, which has it, and a router that stands behind a share is not followed (observed on Consul 1.22). Source:
https://developer.hashicorp.com/consul/docs/connect/config-entries/service-router, .../service-splitter; agent/consul/discoverychain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.consul.names import INSERT, REST
from adapters.consul.translate import refused
from adapters.consul.translate.match import http, objections, said, unknown_methods
from adapters.consul.translate.objects import Form, defaults
from adapters.consul.translate.shares import shares, weight
from hub.api import HttpMatch, Loss, NativeObject, Objection, ObjectRef, Role, Route, RoutePort, Split, Translation

Json = dict[str, Any]
MAX_BACKENDS, MAX_ROUTES = 100, 500
_ANY_PATH = ".*"


class _Layer(Struct, frozen=True, gc=False):
    """A split as it is carried out: its routes, and the objects of the virtual service to which they lead."""

    split: Split
    routes: tuple[Json, ...]
    made: tuple[NativeObject, ...]


def translate_route(route: Route, form: Form) -> Translation:
    """The entries of one Service, and what Consul cannot say of its splits."""
    return _Routed(route, form).translation()


class _Routed:
    """A Service on its way into entries."""

    def __init__(self, route: Route, form: Form) -> None:
        self._route, self._form = route, form
        self._service = form.service(route.namespace, route.service)
        self._losses: set[Loss] = set()

    def translation(self) -> Translation:
        ports = [port for port in self._route.ports if port.transport == "TCP"]
        carried = {port: self._layers(port, ports) for port in ports}
        layers = [layer for found in carried.values() for layer in found]
        for port in self._route.ports:
            self._note(port, [layer.split for layer in carried.get(port, ())])
        if len(ports) > 1:
            self._lose_service(refused.several_ports(self._route.service))
        routed = tuple(
            replace(port, splits=tuple(layer.split for layer in carried.get(port, ()))) for port in self._route.ports
        )
        objects = sorted(self._objects(ports, layers), key=lambda native: native.ref)
        return Translation(tuple(objects), tuple(sorted(self._losses)), routed=routed if self._losses else None)

    def _objects(self, ports: list[RoutePort], layers: list[_Layer]) -> Iterator[NativeObject]:
        if self._service is None or all(port.declared != "http" for port in ports):
            return
        if self._form.config.service_defaults == "written":
            yield defaults(self._form, self._route.namespace, self._service)
        if layers:
            yield from (native for layer in layers for native in layer.made)
            yield self._router(self._service, layers)

    def _router(self, service: str, layers: list[_Layer]) -> NativeObject:
        """The routes of all layers in order; what none of them takes goes to the service itself."""
        own = self._form.ref("service-defaults", self._route.namespace, service)
        needs = {native.ref for layer in layers for native in layer.made}
        needs |= {own} if self._form.config.service_defaults == "written" else set()
        routes = [one for layer in layers for one in layer.routes]
        if all(layer.split.matches is not None for layer in layers):
            routes.append(_route_to(service, {}))
        fields = {"Routes": routes}
        ref = self._form.ref("service-router", self._route.namespace, service)
        return self._form.native(ref, "service-router", fields, Role.ROUTE, tuple(sorted(needs)))

    # ------------------------------------------------------------------------------------------------------- layers

    def _layers(self, port: RoutePort, ports: list[RoutePort]) -> list[_Layer]:
        """The splits that are carried out, in order; no two lead to one virtual service."""
        made: dict[str, _Layer] = {}
        for split in port.splits:
            found = self._objection(port, ports, split)
            layer = None if found is not None else self._layer(split)
            if found is not None:
                self._lose(split, found, "spec.backends")
            if layer is not None:
                made.setdefault(self._virtual(split), layer)
        if sum(len(layer.routes) for layer in made.values()) <= MAX_ROUTES:
            return list(made.values())
        for split in port.splits:
            self._lose(split, refused.TOO_MANY_ROUTES, "spec.matches")
        return []

    def _objection(self, port: RoutePort, ports: list[RoutePort], split: Split) -> Objection | None:
        """Why a split has no effect on a port; None where it has."""
        if self._service is None:
            return refused.nameless(self._route.service)
        if len(ports) > 1:
            return refused.several_ports(self._route.service)
        if port.declared != "http":
            return refused.not_http(port.port)
        weighted = [backend for backend in split.backends if backend.weight > 0]
        if len(weighted) > MAX_BACKENDS:
            return refused.TOO_MANY_BACKENDS
        for backend in weighted:
            if self._form.service(self._route.namespace, backend.service) is None:
                return refused.nameless(backend.service)
            if backend.service != self._route.service and not refused.speaks_http(backend.word):
                return refused.backend_not_http(backend.service)
        return None

    def _layer(self, split: Split) -> _Layer | None:
        """A split with what can be said of its condition; None where nothing is left of it."""
        matches = split.matches if split.matches is None else self._matches(split)
        if matches == ():
            return None
        made = self._virtual_service(split)
        if made is None:
            return None
        conditions = [{}] if matches is None else [http(match) for match in matches]
        routes = tuple(_route_to(self._virtual(split), one) for one in conditions)
        return _Layer(replace(split, matches=matches), routes, made)

    def _matches(self, split: Split) -> tuple[HttpMatch, ...]:
        for match in split.matches or ():
            for objection in (*objections(match), *unknown_methods(match)):
                self._lose(split, objection, "spec.matches")
        kept = {one for match in split.matches or () if (one := said(match)) is not None}
        return tuple(sorted(kept, key=msgspec.json.encode))

    def _virtual(self, split: Split) -> str:
        """The name of a split's virtual service: by its condition, so that other weights change its splitter alone."""
        digest = sha256(msgspec.json.encode(split.matches)).hexdigest()[:32]
        return f"{self._service}{INSERT}{REST if split.matches is None else digest}"

    def _virtual_service(self, split: Split) -> tuple[NativeObject, ...] | None:
        """That it speaks HTTP, and how it is shared out; without any positive weight it has nobody, so that calls fail."""
        namespace = self._route.namespace
        first = defaults(self._form, namespace, self._virtual(split))
        weights = _weights(split)
        if not weights:
            return (first,)
        shared = shares(weights)
        if shared is None:
            self._lose(split, refused.NO_SUM, "spec.backends")
            return None
        if not shared.exact:
            self._lose(split, refused.INEXACT, "spec.backends")
        services = {name: self._form.service(namespace, name) or "" for name, _ in shared.units}
        fields = {"Splits": [{"Service": services[name], "Weight": weight(units)} for name, units in shared.units]}
        needs = {first.ref}
        if self._form.config.service_defaults == "written":
            needs |= {self._form.ref("service-defaults", namespace, service) for service in services.values()}
        ref = self._form.ref("service-splitter", namespace, self._virtual(split))
        splitter = self._form.native(ref, "service-splitter", fields, Role.REFERENCED, tuple(sorted(needs)))
        return first, splitter

    # ------------------------------------------------------------------------------------------------------- losses

    def _lose(self, split: Split, objection: Objection, field: str) -> None:
        self._losses.add(objection.loss(split.origin, field, access=False))

    def _lose_service(self, objection: Objection) -> None:
        own = ObjectRef("", "Service", self._route.namespace, self._route.service)
        self._losses.add(objection.loss(own, "spec.selector", access=False))

    def _note(self, port: RoutePort, carried: Iterable[Split]) -> None:
        """What is lost of a port besides: its datagrams, and its own endpoints, if another account runs them."""
        if port.transport == "UDP":
            for split in port.splits:
                self._lose(split, refused.DATAGRAMS, "spec.backends")
            return
        own = f"/ns/{self._route.namespace}/sa/{self._route.service}"
        others = sorted(callee for callee in port.callees if not callee.endswith(own))
        if others and not _replaces(carried, self._route.service):
            self._lose_service(refused.other_account(self._route.service, others))


def _route_to(service: str, conditions: Json) -> Json:
    """A route, always with a pattern for the path: of one that takes it by its beginning, Consul 1.22 removes a slash.

    (getRewriteActionForUserLogic in agent/xds/routes.go; the route that Consul itself adds at the end does so.)
    """
    path = {} if "PathRegex" in conditions else {"PathRegex": _ANY_PATH}
    asked = {name: value for name, value in conditions.items() if name != "PathPrefix"}
    return {"Destination": {"Service": service}, "Match": {"HTTP": {**asked, **path}}}


def _weights(split: Split) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for backend in split.backends:
        found[backend.service] = found.get(backend.service, Fraction(0)) + backend.weight
    return {service: share for service, share in found.items() if share > 0}


def _replaces(splits: Iterable[Split], root: str) -> bool:
    """Whether nothing is left to the endpoints of the root."""
    found = list(splits)
    return any(split.matches is None for split in found) and not any(root in _weights(split) for split in found)

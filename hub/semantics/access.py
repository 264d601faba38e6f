"""TrafficTargets as grants, and the verdict of all of them on one request at one receiver.

A TrafficTarget becomes at most one grant per kind of traffic:

- http, if it names an HTTPRouteGroup: requests that one of its matches admits, on the ports that its TCPRoutes (and
  `destination.port`) leave, all ports if there are none;
- raw, if it names a TCPRoute and no HTTPRouteGroup: any bytes on those ports;
- udp, if it names a UDPRoute.

What is granted is the union of all grants; each stands alone, so nothing of one combines with anything of another.
Sources: traffic-access/v1alpha4, "TrafficTarget" and its examples; docs/smi.md rules on what they leave open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from hub.model import Reading
from hub.semantics.conditions import CompiledMatch, Compiler, Http
from hub.semantics.decoded import DecodedDocuments
from hub.semantics.identities import SubjectKey, key_of
from hub.semantics.types import L4Route, Target, TargetRule, TargetSubject, Word
from hub.semantics.world import Situation

Protocol = Literal["http", "tcp", "udp"]
Ports = frozenset[int] | None
"""Ports of the receiver; None = every port."""


class Permission(Struct, frozen=True):
    """One kind of traffic that one TrafficTarget grants; `conditions` only where it is http."""

    by: str
    traffic: Literal["http", "raw", "udp"]
    ports: Ports
    conditions: tuple[CompiledMatch, ...] = ()

    def admits(self, port: int, http: Http) -> bool:
        """Tell whether a request of this kind of traffic is granted."""
        if self.ports is not None and port not in self.ports:
            return False
        return self.traffic != "http" or any(condition.holds(http) for condition in self.conditions)


class AccessRules:
    """All grants, found by the subject that receives and the subject that calls."""

    def __init__(self, decoded: DecodedDocuments, reading: Reading) -> None:
        compiler = Compiler(reading)
        self._groups = {name: compiler.conditions(matches) for name, matches in decoded.groups.items()}
        self._tcp_routes = decoded.tcp_routes
        self._udp_routes = decoded.udp_routes
        self._grants: dict[SubjectKey, dict[SubjectKey, list[Permission]]] = {}
        for target in decoded.targets:
            self._add(target)

    def conditions(self, namespace: str, group: str) -> tuple[CompiledMatch, ...]:
        """Return the matches of an HTTPRouteGroup that can match; none if it is missing."""
        return self._groups.get((namespace, group), ())

    def allowing(self, callers: frozenset[SubjectKey], at: Situation, protocol: Protocol, http: Http) -> frozenset[str]:
        """Return the TrafficTargets that allow a request at a receiver; none = denied."""
        kinds = traffic_of(protocol, at.declared)
        return frozenset(
            grant.by
            for grant in self._between(at.keys, callers)
            if grant.traffic in kinds and grant.admits(at.port, http)
        )

    def _between(self, receivers: frozenset[SubjectKey], callers: frozenset[SubjectKey]) -> Iterator[Permission]:
        for receiver in receivers:
            granted = self._grants.get(receiver, {})
            for caller in callers:
                yield from granted.get(caller, ())

    # ----------------------------------------------------------------------- from TrafficTargets to grants

    def _add(self, target: Target) -> None:
        receiver = key_of(destination_of(target))
        # Whoever may write in one namespace must not grant access to the workloads of another.
        if receiver is None or receiver[1] != target.namespace:
            return
        grants = self.grants_of(target)
        granted = self._grants.setdefault(receiver, {})
        for caller in frozenset(key_of(source) for source in target.sources):
            if caller is not None:
                granted.setdefault(caller, []).extend(grants)

    def grants_of(self, target: Target) -> list[Permission]:
        """Return what a TrafficTarget grants to its sources, whoever its destination is."""
        by = f"TrafficTarget/{target.namespace}/{target.name}"
        groups = [rule for rule in target.rules if rule.kind == "HTTPRouteGroup"]
        tcp = [self._port_route(rule, target.namespace) for rule in target.rules if rule.kind == "TCPRoute"]
        udp = [self._port_route(rule, target.namespace) for rule in target.rules if rule.kind == "UDPRoute"]
        found_tcp, found_udp = _present(tcp), _present(udp)
        dangling = len(found_tcp) < len(tcp)
        if dangling and target.port is None:
            return []  # without the missing TCPRoute, the rest of this TrafficTarget would mean more than was written
        grants = [Permission(by, "udp", _union(found_udp))] if found_udp else []
        tcp_ports = _limited(_union(found_tcp) if found_tcp else None, target.port)
        if groups:
            return [*grants, Permission(by, "http", tcp_ports, self._admitted(groups, target.namespace))]
        if found_tcp and not dangling:
            return [*grants, Permission(by, "raw", tcp_ports)]
        return grants

    def _port_route(self, rule: TargetRule, namespace: str) -> L4Route | None:
        """Find the route object of a rule, in the TrafficTarget's namespace only; None = the rule dangles."""
        routes = self._tcp_routes if rule.kind == "TCPRoute" else self._udp_routes
        return None if rule.void else routes.get((namespace, rule.name))

    def _admitted(self, rules: list[TargetRule], namespace: str) -> tuple[CompiledMatch, ...]:
        """Return the matches that HTTP rules select: all of a group, or those named; a missing one is skipped."""
        selected: list[CompiledMatch] = []
        for rule in rules:
            if rule.void:
                continue
            wanted = None if rule.matches is None else frozenset(rule.matches)
            selected += [one for one in self.conditions(namespace, rule.name) if wanted is None or one.name in wanted]
        return tuple(selected)


def destination_of(target: Target) -> TargetSubject:
    """Return the destination with its namespace: that of the TrafficTarget where none is written."""
    written = target.destination
    return TargetSubject(written.kind, written.name, written.namespace or target.namespace, written.group)


def _present(routes: Iterable[L4Route | None]) -> list[L4Route]:
    return [route for route in routes if route is not None]


def _union(routes: Iterable[L4Route]) -> Ports:
    """Return every port that one of the routes names; None (every port) if one of them names none."""
    ports: set[int] = set()
    for route in routes:
        if route.ports is None:
            return None
        ports |= route.ports
    return frozenset(ports)


def _limited(ports: Ports, port: int | None) -> Ports:
    """Return the ports that are left when `destination.port` limits them."""
    if port is None:
        return ports
    return frozenset({port}) if ports is None else ports & {port}


def traffic_of(protocol: Protocol, declared: Word) -> frozenset[str]:
    """Return the kinds of grants that may admit a request, given what its port is declared to speak.

    A port without a declaration speaks HTTP for a TrafficTarget with HTTP rules and raw TCP for one without. Of a port that
    may be declared as anything, neither is known, and no grant is one under every declaration.
    """
    if protocol == "udp":
        return _UDP
    if declared == "unknown":
        return _NOTHING
    if protocol == "tcp":
        # Raw bytes on an HTTP port may be any request, so a grant of TCP would undo every HTTP rule there.
        return _NOTHING if declared == "http" else _RAW
    return {"http": _HTTP, "tcp": _RAW, "none": _HTTP_OR_RAW}[declared]


_NOTHING: frozenset[str] = frozenset()
_UDP = frozenset({"udp"})
_RAW = frozenset({"raw"})
_HTTP = frozenset({"http"})
_HTTP_OR_RAW = _HTTP | _RAW

"""The ways in which a TrafficTarget may grant a request, and what stands between the request and each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from hub.model import Hurdle, Request
from hub.semantics.access import AccessRules, Permission, traffic_of
from hub.semantics.conditions import Http
from hub.semantics.decoded import DecodedDocuments
from hub.semantics.near.matches import hurdles_of_match
from hub.semantics.near.names import listed, meant
from hub.semantics.types import Match, Target, TargetRule
from hub.semantics.world import ReceiverIndex, Situation


class Way(Struct, frozen=True):
    """One way to a grant: which match it takes (nothing where none is concerned), and its hurdles; none = granted."""

    via: str
    hurdles: tuple[Hurdle, ...]


class Ways:
    """Finds the ways of a TrafficTarget; they end at its rules, who calls and who receives is no part of them."""

    def __init__(self, decoded: DecodedDocuments, access: AccessRules, world: ReceiverIndex) -> None:
        self._decoded = decoded
        self._access = access
        self._world = world
        self._routes: Mapping[str, Mapping[tuple[str, str], object]] = {
            "HTTPRouteGroup": decoded.groups,
            "TCPRoute": decoded.tcp_routes,
            "UDPRoute": decoded.udp_routes,
        }
        self._broken = {(one.kind, one.namespace, one.name) for one in decoded.broken}

    def of(self, target: Target, at: Situation, request: Request, http: Http) -> list[Way]:
        """Return every way of a TrafficTarget at a receiver; never empty."""
        kinds = traffic_of(request.protocol, at.declared)
        closed = () if kinds else (_protocol(request, at),)  # whatever a hole were filled with would not grant it
        found = [Way("", (hurdle, *closed)) for rule in target.rules for hurdle in self._holes(target, rule)]
        for grant in self._access.grants_of(target):
            port = tuple(self._port(grant, at))
            if grant.traffic not in kinds:
                found.append(Way("", (_protocol(request, at), *port)))
            elif grant.traffic == "http":
                found += [Way(via, port + hurdles) for via, hurdles in self._matches(target, grant, http)]
            else:
                found.append(Way("", port))
        return found or [Way("", (_protocol(request, at),))]

    # ----------------------------------------------------------------------- routes that are not there

    def _holes(self, target: Target, rule: TargetRule) -> Iterator[Hurdle]:
        """Yield what a rule names that is not there."""
        routes = self._routes[rule.kind]
        if rule.void:
            yield Hurdle("route", f'its rule {rule.kind} "{rule.name}", whose "matches" is empty')
        elif (target.namespace, rule.name) not in routes:
            yield Hurdle("route", f'its {rule.kind} "{rule.name}", {self._absence(target, rule)}')
        elif rule.matches is not None:
            usable = {one.name for one in self._access.conditions(target.namespace, rule.name)}
            for name in rule.matches:
                if name not in usable:
                    yield self._missing_match(target, rule, name)

    def _absence(self, target: Target, rule: TargetRule) -> str:
        if (rule.kind, target.namespace, rule.name) in self._broken:
            return "which cannot be read (smihub check shows why)"
        known = (name for namespace, name in self._routes[rule.kind] if namespace == target.namespace)
        return f"which does not exist in namespace {target.namespace}{meant(rule.name, known)}"

    def _missing_match(self, target: Target, rule: TargetRule, name: str) -> Hurdle:
        written = [one.name for one in self._decoded.groups[target.namespace, rule.name]]
        why = (
            "which is invalid (smihub check shows why)"
            if name in written
            else f"which it does not have{meant(name, written)}"
        )
        return Hurdle("route", f'its match "{name}" of HTTPRouteGroup/{target.namespace}/{rule.name}, {why}')

    # ----------------------------------------------------------------------- ports, matches, protocols

    def _port(self, grant: Permission, at: Situation) -> Iterator[Hurdle]:
        if grant.ports is None or at.port in grant.ports:
            return
        if not grant.ports:
            yield Hurdle("port", "its ports: its routes and destination.port have no port in common")
            return
        ports = sorted(grant.ports)
        leading = [name for name, port in self._world.leading_to(at.account, at.port) if port in grant.ports]
        hint = f" ({listed(leading)} maps to it; a TrafficTarget uses the workload's port)" if leading else ""
        words = "port" if len(ports) == 1 else "ports"
        yield Hurdle("port", f"its {words}: {listed(map(str, ports))}, the workload's is {at.port}{hint}")

    def _matches(self, target: Target, grant: Permission, http: Http) -> Iterator[tuple[str, tuple[Hurdle, ...]]]:
        """Yield every match of a grant with what does not hold of it."""
        for rule in target.rules:
            if rule.kind != "HTTPRouteGroup" or rule.void:
                continue
            key = (target.namespace, rule.name)
            written: dict[str, Match] = {one.name: one for one in self._decoded.groups.get(key, ())}
            for one in self._access.conditions(*key):
                if one in grant.conditions and (rule.matches is None or one.name in rule.matches):
                    via = f'match "{one.name}" of HTTPRouteGroup/{target.namespace}/{rule.name}'
                    yield via, tuple(hurdles_of_match(one, written[one.name], http))


def _protocol(request: Request, at: Situation) -> Hurdle:
    """Say why the rules of a TrafficTarget grant another kind of traffic."""
    if request.protocol == "udp":
        return Hurdle("protocol", "its rules, which have no UDPRoute")
    if at.declared == "unknown":
        return Hurdle("protocol", f"port {at.port}, whose protocol may be declared by an object that cannot be read")
    if request.protocol == "http" and at.declared != "tcp":
        return Hurdle("protocol", f"its rules, which have no HTTPRouteGroup (port {at.port} speaks HTTP)")
    if at.declared == "http":
        return Hurdle("protocol", f"its rules: port {at.port} speaks HTTP, where raw TCP is never granted")
    declared = "is declared as TCP" if at.declared == "tcp" else "is used for raw TCP"
    return Hurdle(
        "protocol", f"its rules, which grant HTTP (port {at.port} {declared}: use a TCPRoute and no HTTPRouteGroup)"
    )

"""One TrafficTarget by itself: whom it admits, to what, on which ports, whoever its destination is.

Source: SMI specification, traffic-access v1alpha1 to v1alpha4; within one TrafficTarget TCPRoutes limit the ports of its
HTTP rules (v1alpha3, "L7 example"), every TrafficTarget stands alone, and whatever cannot be resolved grants nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.intent.names import bound_accounts, own_identity
from hub.intent.view import ACCESS, SPECS, ProblemCollector, View, remedy_if_absent, spiffe, why_absent
from hub.model import Grant, HttpMatch, ObjectRef, Problem, Reading
from hub.regex import error
from hub.smi.names import is_label, is_subdomain
from hub.smi.types import HTTPRouteGroup, IdentityBinding, NamedMatch, PortRoute, Rule, Subject, TrafficTarget

Ports = frozenset[int] | None
"""A set of workload ports; None is every port."""
_NO_RULE = "spec.rules"
MAX_MATCHES, MAX_PAIRS = 2000, 50_000
"""Most matches, and pairs of a source and a match, of one TrafficTarget (one TrafficSplit): what many objects that name the
same large ones take grows with the product of both."""


class Resolved(Struct, frozen=True):
    """What a TrafficTarget grants (for every workload of its destination), and the objects that it rests on.

    `listed` are the ports that it names, each with the field that does.
    """

    grants: tuple[Grant, ...]
    problems: tuple[Problem, ...]
    origins: tuple[ObjectRef, ...]
    listed: tuple[tuple[int, str], ...] = ()


class _Routes(Struct):
    """The rules of one kind of port route: the port sets that they give, and whether one of them gives none."""

    sets: list[Ports]
    dangling: bool = False


class _TargetReader:
    """Reads one TrafficTarget; collects Problems, origins and listed ports on the way."""

    def __init__(self, view: View, target: TrafficTarget) -> None:
        self.view = view
        self.target = target
        self.notes = ProblemCollector(target.ref)
        self.origins = {target.ref}
        self.listed: list[tuple[int, str]] = []

    def rules(self, kind: str) -> Iterator[tuple[str, Rule]]:
        """The rules of one kind, each with its path."""
        for index, rule in enumerate(self.target.rules):
            if rule.kind == kind:
                yield f"spec.rules[{index}]", rule


def resolve(view: View, target: TrafficTarget) -> Resolved:
    """Read one TrafficTarget through the objects that it names; all of them in its own namespace."""
    reader = _TargetReader(view, target)
    sources, unproven = _sources(reader)
    grants = tuple(_grants(reader, sources, unproven))
    if not grants and not reader.notes.problems:
        reader.notes.error(
            "target.nothing", _NO_RULE, "no rule grants anything", "see the errors of the objects it names"
        )
    return Resolved(grants, reader.notes.problems, tuple(sorted(reader.origins)), tuple(reader.listed))


def _grants(reader: _TargetReader, sources: tuple[str, ...], unproven: tuple[str, ...]) -> Iterator[Grant]:
    http = _within_limits(reader, sources, _http(reader))
    tcp, udp = _port_routes(reader, "TCPRoute"), _port_routes(reader, "UDPRoute")
    limited = reader.target.port is not None
    # A TCPRoute that is missing would have said on which ports: without it the rest would mean more than was written.
    if tcp.dangling and (http is None or not limited):
        return
    if not sources and not unproven:
        return
    admitted = sources or (unprovable_source(reader.view),)
    if http:
        yield from _grant(
            reader, Grant(reader.target.ref, admitted, "TCP", None, http, None, unproven), tcp.sets or [None]
        )
    if http is None and tcp.sets:
        yield from _grant(reader, Grant(reader.target.ref, admitted, "TCP", None, None, None, unproven), tcp.sets)
    if udp.sets and not tcp.dangling:
        yield from _grant(reader, Grant(reader.target.ref, admitted, "UDP", None, None, None, unproven), udp.sets)


def _within_limits(
    reader: _TargetReader, sources: tuple[str, ...], http: tuple[HttpMatch, ...] | None
) -> tuple[HttpMatch, ...] | None:
    """The matches; none of them, if there are too many beside so many sources."""
    if http is None or (len(http) <= MAX_MATCHES and len(http) * len(sources) <= MAX_PAIRS):
        return http
    message = f"its rules name more than {MAX_MATCHES} matches, or {MAX_PAIRS} pairs of a source and a match, so no HTTP request is allowed"
    reader.notes.error("limit.exceeded", "spec.rules", message, "split them over several TrafficTargets")
    return ()


def unprovable_source(view: View) -> str:
    """A SPIFFE id that no certificate of ours ever carries: the only source of a grant whose sources all are labels."""
    return f"spiffe://{view.trust_domain}/nobody"


def _grant(reader: _TargetReader, grant: Grant, sets: Iterable[Ports]) -> Iterator[Grant]:
    """The grant on the union of these port sets, within `destination.port`; none if no port is left."""
    ports = _union(sets)
    only = reader.target.port
    if only is not None:
        ports = frozenset({only}) if ports is None else ports & {only}
    if ports is None or ports:
        yield replace(grant, ports=None if ports is None else tuple(sorted(ports)))
        return
    remedy = 'use the same port in both, or remove "destination.port"'
    message = f"no port is left: the routes do not name port {only} of the destination"
    reader.notes.error("target.no-port", "spec.destination.port", message, remedy)


def _union(sets: Iterable[Ports]) -> Ports:
    union: frozenset[int] = frozenset()
    for ports in sets:
        if ports is None:
            return None
        union |= ports
    return union


# --------------------------------------------------------------------------- rules


def _http(reader: _TargetReader) -> tuple[HttpMatch, ...] | None:
    """The matches of all HTTPRouteGroups, sorted, each once; None if no rule names one (dangling ones count as named)."""
    rules = tuple(reader.rules("HTTPRouteGroup"))
    if not rules:
        return None
    # One more than allowed is enough to know; the full product of rules and matches is never built.
    matches = list(islice((match for each in rules for match in _rule_matches(reader, *each)), MAX_MATCHES + 1))
    return tuple(matches) if len(matches) > MAX_MATCHES else sorted_matches(matches)


def sorted_matches(matches: Iterable[HttpMatch]) -> tuple[HttpMatch, ...]:
    """HTTP matches in their canonical order, each once."""
    return tuple(sorted(set(matches), key=msgspec.json.encode))


def _rule_matches(reader: _TargetReader, field: str, rule: Rule) -> Iterator[HttpMatch]:
    group = route_group(reader.view, reader.target.ref.namespace, rule.name)
    if group is None:
        _missing(reader, field, rule, "this rule grants nothing")
        return
    reader.origins.add(group.ref)
    named = {match.name: match for match in group.matches}
    # No list means every match of the group, an empty list means none: an emptied list must not widen a grant.
    chosen = tuple(named) if rule.matches is None else rule.matches
    found = 0
    for index, name in enumerate(chosen):
        where = f"{field}.name" if rule.matches is None else f"{field}.matches[{index}]"
        match = _usable(reader, where, named.get(name), f'"{name}" of HTTPRouteGroup "{rule.name}"')
        if match is not None:
            found += 1
            yield read_match(match, reader.view.reading)
    if not found:
        message = f'no match of HTTPRouteGroup "{rule.name}" is valid, so this rule grants nothing'
        reader.notes.error("target.no-match", field, message, "list a valid match of the group")


def _usable(reader: _TargetReader, field: str, match: NamedMatch | None, what: str) -> HttpMatch | None:
    if match is None:
        reader.notes.error("target.match-missing", field, f"match {what} does not exist", "list a match of the group")
        return None
    if match.match is None:
        message = f"match {what} is invalid and grants nothing"
        reader.notes.error("target.match-void", field, message, "fix the match; the error of its group says how")
    return match.match


def read_match(match: HttpMatch, reading: Reading) -> HttpMatch:
    """The match as this domain reads it: in the prefix reading a path pattern without an end anchor may go on."""
    if reading.path_regex == "full" or match.path is None or _ends_anchored(match.path):
        return match
    # In brackets, since "a|b" with ".*" after it would be "a" or
    # "b.*". Too large with it: the exact pattern grants less.
    longer = f"(?:{match.path}).*"
    return match if error(longer) else replace(match, path=longer)


def _ends_anchored(pattern: str) -> bool:
    """Whether the last token is an end anchor that no backslash escapes."""
    for anchor in ("$", r"\z"):
        if pattern.endswith(anchor):
            before = pattern[: -len(anchor)]
            # Backslashes pair up from the left: an odd number of them
            # escapes the anchor, which is then a literal character.
            return (len(before) - len(before.rstrip("\\"))) % 2 == 0
    return False


def _port_routes(reader: _TargetReader, kind: str) -> _Routes:
    routes = _Routes([])
    for field, rule in reader.rules(kind):
        found = reader.view.get(ObjectRef(SPECS, kind, reader.target.ref.namespace, rule.name))
        if rule.matches is not None or not isinstance(found, PortRoute):
            routes.dangling = True
            _dangling(reader, field, rule)
            continue
        reader.origins.add(found.ref)
        reader.listed.extend((port, f"{field}.name") for port in found.ports or ())
        routes.sets.append(None if found.ports is None else frozenset(found.ports))
    return routes


def _dangling(reader: _TargetReader, field: str, rule: Rule) -> None:
    effect = "this rule grants nothing" if rule.kind == "UDPRoute" else "the whole TrafficTarget grants nothing"
    if rule.kind == "TCPRoute" and reader.target.port is not None:
        effect = 'so only "destination.port" limits the ports, and no raw TCP is granted'
    if rule.matches is None:
        _missing(reader, field, rule, effect)
        return
    message = f'"matches" has no meaning for a {rule.kind}, so {effect}'
    reader.notes.error("target.route-matches", f"{field}.matches", message, 'remove "matches"')


def _missing(reader: _TargetReader, field: str, rule: Rule, effect: str) -> None:
    ref = ObjectRef(SPECS, rule.kind, reader.target.ref.namespace, rule.name)
    message = f"{why_absent(reader.view, ref)}, so {effect}"
    remedy = remedy_if_absent(reader.view, ref, f"create the {rule.kind} in this namespace, or remove the rule")
    reader.notes.error("target.route-missing", f"{field}.name", message, remedy)


def route_group(view: View, namespace: str, name: str) -> HTTPRouteGroup | None:
    """The HTTPRouteGroup of this name."""
    found = view.get(ObjectRef(SPECS, "HTTPRouteGroup", namespace, name))
    return found if isinstance(found, HTTPRouteGroup) else None


def identity_binding(view: View, namespace: str, name: str) -> IdentityBinding | None:
    """The IdentityBinding of this name."""
    found = view.get(ObjectRef(ACCESS, "IdentityBinding", namespace, name))
    return found if isinstance(found, IdentityBinding) else None


# --------------------------------------------------------------------------- sources


def _sources(reader: _TargetReader) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All sources as SPIFFE ids, and those that no certificate can prove, both sorted."""
    ids: set[str] = set()
    unproven: set[str] = set()
    for index, subject in enumerate(reader.target.sources):
        field = f"spec.sources[{index}]"
        if not _is_usable_subject(reader, field, subject):
            continue
        if subject.kind == "ServiceAccount":
            ids.add(spiffe(reader.view, subject.namespace, subject.name))
            continue
        binding = identity_binding(reader.view, subject.namespace, subject.name)
        if binding is None:
            ref = ObjectRef(ACCESS, "IdentityBinding", subject.namespace, subject.name)
            message = f"{why_absent(reader.view, ref)}, so it matches no caller"
            remedy = remedy_if_absent(reader.view, ref, "create it, or remove the source")
            reader.notes.error("target.source-missing", f"{field}.name", message, remedy)
            continue
        reader.origins.add(binding.ref)
        ids.update(_bound_ids(reader.view, binding))
        # Labels are nothing that a certificate says, so they are
        # kept apart: whoever enforces must report them, not guess.
        if binding.labels:
            unproven.add(_described(binding))
    if not ids and not unproven:
        reader.notes.error("target.no-source", "spec.sources", "no source matches a caller", "use a ServiceAccount")
    return tuple(sorted(ids)), tuple(sorted(unproven))


def _is_usable_subject(reader: _TargetReader, field: str, subject: Subject) -> bool:
    if subject.kind not in {"ServiceAccount", "IdentityBinding"}:
        if subject.kind:  # without a kind: the decoder has said why
            message = f'a source of kind "{subject.kind}" matches no caller'
            reader.notes.error("target.source-kind", f"{field}.kind", message, 'use "ServiceAccount"')
        return False
    if not subject.namespace:
        message = f'{subject.kind} "{subject.name}" without a namespace matches no caller'
        reader.notes.error("target.source-namespace", f"{field}.namespace", message, "set its namespace")
        return False
    if is_label(subject.namespace) and is_subdomain(subject.name):
        return True
    message = f'"{subject.namespace}/{subject.name}" is not a valid Kubernetes name, so it matches no caller'
    reader.notes.error("target.source-name", f"{field}.name", message, "use a name; SMI has no wildcards")
    return False


def _bound_ids(view: View, binding: IdentityBinding) -> Iterator[str]:
    """The SPIFFE ids that a binding stands for as a source; one of another namespace of ours stands for nobody."""
    for account in bound_accounts(binding, view.trust_domain):
        yield spiffe(view, binding.ref.namespace, account)
    # Ids of our own trust domain come only through accounts of the
    # binding's own namespace: a binding cannot speak for others.
    yield from (text for text in binding.spiffe if own_identity(text, view.trust_domain) is None)


def _described(binding: IdentityBinding) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in binding.labels or ())
    return f"{binding.ref} ({labels})"

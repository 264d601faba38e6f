"""access.smi-spec.io: TrafficTarget v1alpha1 to v1alpha4 and IdentityBinding v1alpha4.

Source: SMI specification, apis/traffic-access/v1alpha1 to v1alpha4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from hub.smi.fields import NOTHING, FieldReader, Labels, Level, join, level, show
from hub.smi.kinds import Body, Kind, VersionLayout, flat, inner, nested, read_body
from hub.smi.names import canonical_spiffe, is_label, is_subdomain
from hub.smi.types import IdentityBinding, Rule, Subject, TrafficTarget

GROUP = "access.smi-spec.io"
NOBODY = Subject("", "", "")
"""A subject that can match nobody, whatever is in the mesh; the Problem says why."""
RuleKind = Literal["HTTPRouteGroup", "TCPRoute", "UDPRoute"]
_OLD_RULES: Mapping[str, RuleKind] = {"HTTPRouteGroup": "HTTPRouteGroup", "TCPRoute": "TCPRoute"}
_RULES: Mapping[str, RuleKind] = {**_OLD_RULES, "UDPRoute": "UDPRoute"}
_PORT_HINT = 'name a TCPRoute with this port in "rules", or use apiVersion "access.smi-spec.io/v1alpha2"'
_GROUP_HINT = 'remove "group", or use apiVersion "access.smi-spec.io/v1alpha4"'
_RULE = level("kind", "name", "matches")
_SUBJECT = level("kind", "name", "namespace", group=_GROUP_HINT)
_PORTED = level("kind", "name", "namespace", "port", group=_GROUP_HINT)
_PORTLESS = level("kind", "name", "namespace", port=_PORT_HINT, group=_GROUP_HINT)
_GROUPED = level("kind", "name", "namespace", "group", port=_PORT_HINT)
_SPECS = level("destination", "sources", "specs", rules='in this version the list is called "specs"')
_BODY = level("destination", "sources", "rules", specs='in this version the list is called "rules"')


class TargetVersion(Struct, frozen=True):
    """One row of the version table of TrafficTarget."""

    shape: VersionLayout
    rules: str  # the name of the rule list
    rule_kinds: Mapping[str, RuleKind]
    destination: Level
    source: Level
    subject_kinds: tuple[str, ...] = ("ServiceAccount",)


VERSIONS: Mapping[str, TargetVersion] = {
    "v1alpha1": TargetVersion(flat(_SPECS), "specs", _OLD_RULES, _PORTED, _SUBJECT),
    "v1alpha2": TargetVersion(nested(_BODY), "rules", _OLD_RULES, _PORTED, _SUBJECT),
    "v1alpha3": TargetVersion(nested(_BODY), "rules", _RULES, _PORTLESS, _SUBJECT),
    "v1alpha4": TargetVersion(
        nested(_BODY), "rules", _RULES, _GROUPED, _GROUPED, ("ServiceAccount", "IdentityBinding")
    ),
}

# --------------------------------------------------------------------------- TrafficTarget


def decode_target(reader: FieldReader, value: Body, version: str) -> TrafficTarget:
    """Read a TrafficTarget; invalid without a destination, a rule and a source (SMI access v1alpha3, TrafficTarget)."""
    row = VERSIONS[version]
    body, path = read_body(reader, value, row.shape)
    destination, port = NOBODY, None
    if "destination" in body:
        destination, port = _destination(reader, body["destination"], join(path, "destination"), row)
    elif reader.lacks(body, "destination"):
        reader.missing(path, "destination", 'a mapping with "kind" and "name"')
    rules = _some(reader, body, row.rules, path)
    sources = _some(reader, body, "sources", path)
    return TrafficTarget(
        ref=reader.ref,
        origin=reader.origin,
        destination=destination,
        rules=tuple(_rule(reader, item, where, row) for where, item in rules),
        sources=tuple(_source(reader, item, where, row) for where, item in sources),
        port=port,
    )


def _some(reader: FieldReader, body: Body, key: str, path: str) -> tuple[tuple[str, object], ...]:
    """The entries of a list that must not be empty, each with its path."""
    where = join(path, key)
    if key in body and body[key] != []:
        return tuple((f"{where}[{index}]", item) for index, item in enumerate(reader.items(body[key], where)))
    if key not in body and not reader.lacks(body, key):
        return ()
    what = "no caller is allowed" if key == "sources" else "nothing is allowed"
    remedy = f'list at least one entry in "{key}", or delete the TrafficTarget'
    reader.refuse("target.incomplete", where, f'"{key}" is missing or empty, so {what}', remedy)
    return ()


def _destination(reader: FieldReader, value: object, path: str, row: TargetVersion) -> tuple[Subject, int | None]:
    body = reader.mapping(value, path, row.destination)
    port = reader.port(body["port"], f"{path}.port") if "port" in body else None
    return _subject(reader, body, path, row), port


def _source(reader: FieldReader, value: object, path: str, row: TargetVersion) -> Subject:
    return _subject(reader, reader.mapping(value, path, row.source), path, row)


def _subject(reader: FieldReader, body: Body, path: str, row: TargetVersion) -> Subject:
    """The subject as written, or `NOBODY` with the reason if nothing could ever be meant by it."""
    kind = reader.text(body, "kind", path)
    name = reader.text(body, "name", path)
    namespace = reader.optional_text(body, "namespace", path)
    group = reader.optional_text(body, "group", path)
    if not kind or not name:
        return NOBODY
    if kind not in row.subject_kinds:
        known = " or ".join(f'"{choice}"' for choice in row.subject_kinds)
        hint = " (IdentityBinding needs access.smi-spec.io/v1alpha4)" if kind == "IdentityBinding" else ""
        message = f"{show(kind)} is not a valid subject kind in this version; it matches no workload"
        reader.report("subject.kind", f"{path}.kind", message, f"use {known}{hint}")
        return NOBODY
    if "group" in body and not _is_group(kind, group):
        wanted = GROUP if kind == "IdentityBinding" else "core"
        message = f"{show(group)} is not the API group of {kind}; it matches no workload"
        reader.report("subject.group", f"{path}.group", message, f'use "{wanted}"')
        return NOBODY
    return _named(reader, Subject(kind, namespace, name), path)


def _is_group(kind: str, group: str) -> bool:
    return group == GROUP if kind == "IdentityBinding" else group in {"", "core"}


def _named(reader: FieldReader, subject: Subject, path: str) -> Subject:
    """The subject, or `NOBODY` if a name in it is one that no object can have (`*` is no wildcard in SMI)."""
    if not is_subdomain(subject.name):
        field, value = "name", subject.name
    elif subject.namespace and not is_label(subject.namespace):
        field, value = "namespace", subject.namespace
    else:
        return subject
    remedy = f"use the {field} of a {subject.kind}; SMI has no wildcards"
    reader.report(
        "subject.name",
        f"{path}.{field}",
        f"{show(value)} is not a valid Kubernetes name; it matches no workload",
        remedy,
    )
    return NOBODY


def _rule(reader: FieldReader, value: object, path: str, row: TargetVersion) -> Rule:
    body = reader.mapping(value, path, _RULE)
    kind = reader.text(body, "kind", path)
    name = reader.text(body, "name", path)
    known = row.rule_kinds.get(kind)
    if kind and known is None:
        choices = ", ".join(f'"{choice}"' for choice in row.rule_kinds)
        message = f"{show(kind)} is not a valid rule kind in this version"
        reader.refuse("field.value", f"{path}.kind", message, f"use one of {choices}")
    return Rule(known or "HTTPRouteGroup", name, _rule_matches(reader, body, path, kind))


def _rule_matches(reader: FieldReader, body: Body, path: str, kind: str) -> tuple[str, ...] | None:
    """The names of the group's matches; None if `matches` is not written, () if it is written empty.

    On a TCPRoute or UDPRoute they are kept as written, for hub.intent to take the rule as missing and say so.
    """
    if "matches" not in body:
        return None
    where = f"{path}.matches"
    raw = body["matches"]
    matches = () if raw is None else reader.texts(raw, where)
    if (raw is None or raw == []) and kind == "HTTPRouteGroup":
        remedy = 'list matches of the group, or remove "matches" to mean all of them'
        reader.report("rule.matches-empty", where, '"matches" is empty, so this rule grants nothing', remedy)
    return matches


def guess_target(value: Body) -> str:
    """The version whose shape an object without apiVersion has."""
    if "specs" in value or "destination" in value:
        return "v1alpha1"
    if inner(value, "spec", "destination", "port") is not None:
        return "v1alpha2"
    sources = inner(value, "spec", "sources")
    subjects = [inner(value, "spec", "destination"), *(sources if isinstance(sources, list) else [])]
    return "v1alpha4" if any(inner(subject, "kind") == "IdentityBinding" for subject in subjects) else "v1alpha3"


# --------------------------------------------------------------------------- IdentityBinding

_BINDING = nested(level("schemes"))
_SCHEMES = level("podLabelSelector", "spiffeIdentities", "serviceAccount")
_SELECTOR = level("matchLabels", matchExpressions='use "matchLabels"; expressions cannot be enforced and are refused')


def decode_binding(reader: FieldReader, value: Body, version: str) -> IdentityBinding:
    """Read an IdentityBinding; its schemes are ORed (SMI access v1alpha4, IdentityBinding)."""
    body, _ = read_body(reader, value, _BINDING)
    path = "spec.schemes"
    schemes = reader.mapping(body["schemes"], path, _SCHEMES) if "schemes" in body else _unsaid(reader, body)
    labels = _selector(reader, schemes, path)
    spiffe = _spiffe_ids(reader, schemes, path)
    account = _account(reader, schemes, path)
    if labels is not None and account is not None:
        message = '"podLabelSelector" and "serviceAccount" must not be used together'
        reader.refuse(
            "binding.exclusive", path, message, "keep one of them and move the other to a second IdentityBinding"
        )
    if labels is None and account is None and not schemes.get("spiffeIdentities") and schemes is not NOTHING:
        remedy = 'set "serviceAccount", "spiffeIdentities" or "podLabelSelector"'
        reader.refuse("binding.empty", path, "no identity scheme is set", remedy)
    return IdentityBinding(reader.ref, reader.origin, labels, spiffe, account)


def _unsaid(reader: FieldReader, body: Body) -> Body:
    """The schemes of a binding without any."""
    return {} if reader.lacks(body, "schemes") else NOTHING


def _selector(reader: FieldReader, schemes: Body, path: str) -> Labels | None:
    """The labels of a label scheme; an empty selector would mean every workload, so it is refused."""
    if "podLabelSelector" not in schemes:
        return None
    where = f"{path}.podLabelSelector"
    selector = reader.mapping(schemes["podLabelSelector"], where, _SELECTOR)
    labels = reader.pairs(selector.get("matchLabels", {}), f"{where}.matchLabels")
    if not labels:
        message = "a selector without labels would match every workload in the namespace"
        reader.refuse("binding.empty", f"{where}.matchLabels", message, "add at least one label")
    return labels


def _spiffe_ids(reader: FieldReader, schemes: Body, path: str) -> tuple[str, ...]:
    """Canonical ids, sorted, each once; one that is no SPIFFE id voids the binding."""
    where = f"{path}.spiffeIdentities"
    ids: set[str] = set()
    for index, text in enumerate(reader.texts(schemes.get("spiffeIdentities", []), where)):
        canonical = canonical_spiffe(text)
        if canonical is not None:
            ids.add(canonical)
            continue
        remedy = 'use "spiffe://trust.domain/path" with a lowercase trust domain'
        reader.refuse("binding.spiffe", f"{where}[{index}]", f"{show(text)} is not a valid SPIFFE ID", remedy)
    return tuple(sorted(ids))


def _account(reader: FieldReader, schemes: Body, path: str) -> str | None:
    if "serviceAccount" not in schemes:
        return None
    account = reader.text(schemes, "serviceAccount", path)
    if account and not is_subdomain(account):
        message = f"{show(account)} is not a valid service account name"
        reader.refuse(
            "binding.account", f"{path}.serviceAccount", message, "use the name of a ServiceAccount in this namespace"
        )
    return account


KINDS: Mapping[tuple[str, str], Kind] = {
    (GROUP, "TrafficTarget"): Kind(tuple(VERSIONS), decode_target, guess_target),
    (GROUP, "IdentityBinding"): Kind(("v1alpha4",), decode_binding, lambda _: "v1alpha4"),
}

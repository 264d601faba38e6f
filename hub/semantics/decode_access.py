"""TrafficTarget v1alpha1 to v1alpha4 and IdentityBinding v1alpha4.

Sources: traffic-access/v1alpha1 to v1alpha4. What a reader must know of the versions:

| version  | fields at | rule list | port limit         | rule kinds                         | subjects            |
|----------|-----------|-----------|--------------------|------------------------------------|---------------------|
| v1alpha1 | top level | `specs`   | `destination.port` | HTTPRouteGroup, TCPRoute           | ServiceAccount      |
| v1alpha2 | `spec`    | `rules`   | `destination.port` | HTTPRouteGroup, TCPRoute           | ServiceAccount      |
| v1alpha3 | `spec`    | `rules`   | in TCPRoute        | HTTPRouteGroup, TCPRoute, UDPRoute | ServiceAccount      |
| v1alpha4 | `spec`    | `rules`   | in TCPRoute        | HTTPRouteGroup, TCPRoute, UDPRoute | + IdentityBinding   |
"""

from __future__ import annotations

from collections.abc import Mapping

from hub.semantics import reader
from hub.semantics.labels import Labels
from hub.semantics.names import canonical_spiffe
from hub.semantics.reader import Invalid
from hub.semantics.types import Binding, Manifest, Target, TargetRule, TargetSubject

_ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "status"})
_WITH_PORT = frozenset({"v1alpha1", "v1alpha2"})
_OLD_RULES = frozenset({"HTTPRouteGroup", "TCPRoute"})
_NEW_RULES = _OLD_RULES | {"UDPRoute"}


def decode_traffic_target(found: Manifest) -> Target:
    """Decode a TrafficTarget of any version. Raises `Invalid`."""
    spec, rule_list = _spec_of(found)
    destination = reader.mapping(spec.get("destination"), "destination")
    rules = reader.items(spec.get(rule_list), rule_list)
    sources = reader.items(spec.get("sources"), "sources")
    if not rules or not sources:
        raise Invalid("a TrafficTarget needs at least one rule and one source")
    kinds = _OLD_RULES if found.version in _WITH_PORT else _NEW_RULES
    with_port = found.version in _WITH_PORT
    return Target(
        namespace=found.namespace,
        name=found.name,
        destination=_subject(destination, found.version, {"port"} if with_port else set()),
        sources=tuple(_subject(source, found.version, set()) for source in sources),
        rules=tuple(_rule(rule, kinds) for rule in rules),
        port=reader.port_number(destination["port"], "destination.port") if "port" in destination else None,
    )


def _spec_of(found: Manifest) -> tuple[Mapping[str, object], str]:
    """Return the mapping that holds the fields, and the name of the rule list in it."""
    if found.version == "v1alpha1":
        return reader.fields(found.body, "object", _ENVELOPE | {"destination", "specs", "sources"}), "specs"
    body = reader.fields(found.body, "object", _ENVELOPE | {"spec"})
    return reader.fields(body.get("spec"), "spec", {"destination", "rules", "sources"}), "rules"


def _subject(value: object, version: str, extra: set[str]) -> TargetSubject:
    known = {"kind", "name", "namespace"} | extra | ({"group"} if version == "v1alpha4" else set())
    written = reader.fields(value, "subject", known)
    kind = reader.required_text(written, "kind")
    return TargetSubject(
        kind="" if kind == "IdentityBinding" and version != "v1alpha4" else kind,  # unknown before: matches nobody
        name=reader.required_text(written, "name"),
        namespace=reader.optional_text(written, "namespace") or "",
        group=reader.optional_text(written, "group"),
    )


def _rule(value: object, kinds: frozenset[str]) -> TargetRule:
    """Read one rule. `matches` that select nothing (null, or on a port route) make the rule void, not the object."""
    written = reader.fields(value, "rule", {"kind", "name", "matches"})
    kind, name = reader.required_text(written, "kind"), reader.required_text(written, "name")
    if kind not in kinds:
        raise Invalid(f"a rule cannot name a {kind!r}")
    if "matches" not in written:
        return TargetRule(kind, name)
    if written["matches"] is None:
        return TargetRule(kind, name, void=True)
    matches = reader.texts(written["matches"], "matches")
    return TargetRule(kind, name, matches, void=kind != "HTTPRouteGroup")


def decode_binding(found: Manifest) -> Binding:
    """Decode an IdentityBinding. Raises `Invalid`, also for one bad SPIFFE id or two schemes that exclude each other."""
    body = reader.fields(found.body, "object", _ENVELOPE | {"spec"})
    spec = reader.fields(body.get("spec"), "spec", {"schemes"})
    schemes = reader.fields(spec.get("schemes"), "schemes", {"podLabelSelector", "spiffeIdentities", "serviceAccount"})
    if not schemes:
        raise Invalid("an IdentityBinding needs a scheme")
    if "podLabelSelector" in schemes and "serviceAccount" in schemes:
        raise Invalid("podLabelSelector and serviceAccount are used together")
    return Binding(
        namespace=found.namespace,
        name=found.name,
        service_account=reader.optional_text(schemes, "serviceAccount"),
        spiffe=_spiffe_ids(schemes),
        labels=_labels(schemes["podLabelSelector"]) if "podLabelSelector" in schemes else None,
    )


def _spiffe_ids(schemes: Mapping[str, object]) -> tuple[str, ...]:
    ids = [canonical_spiffe(text) for text in reader.texts(schemes.get("spiffeIdentities", []), "spiffeIdentities")]
    valid = tuple(one for one in ids if one is not None)
    if len(valid) < len(ids):
        raise Invalid("spiffeIdentities has an entry that is not a SPIFFE ID")
    return valid


def _labels(value: object) -> Labels:
    selector = reader.fields(value, "podLabelSelector", {"matchLabels"})
    labels = reader.pairs(selector.get("matchLabels"), "matchLabels")
    if not labels:
        raise Invalid("matchLabels is empty: it would select every workload")
    return labels

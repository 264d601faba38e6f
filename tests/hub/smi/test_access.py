"""Every field of every version of TrafficTarget, valid and invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.smi import Decoded
from hub.smi.types import Rule, Subject, TrafficTarget

Valid = Callable[[str], Any]


Invalid = Callable[[str], list[tuple[str, str]]]


NOBODY = Subject("", "", "")


def target(version: str, body: str) -> str:
    """A TrafficTarget of this version with these fields (flow YAML), where the version keeps them."""
    inside = body if version == "v1alpha1" else f"spec: {{{body}}}"
    return f"{{apiVersion: access.smi-spec.io/{version}, kind: TrafficTarget, metadata: {{name: t, namespace: d}}, {inside}}}"


def full(version: str, **parts: str) -> str:
    """A valid body of this version, with parts replaced by other flow YAML."""
    chosen = {
        "destination": "{kind: ServiceAccount, name: api, namespace: d}",
        "sources": "[{kind: ServiceAccount, name: web, namespace: d}]",
        "rules": "[{kind: HTTPRouteGroup, name: r, matches: [a]}]",
        **parts,
    }
    if version == "v1alpha1" and "specs" not in chosen:
        chosen["specs"] = chosen.pop("rules")
    return target(version, ", ".join(f"{key}: {value}" for key, value in chosen.items()))


ALL = ("v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4")


PORTED = ALL[:2]


PORTLESS = ALL[2:]


def spec(version: str, path: str) -> str:
    """The path of a field in this version."""
    return path.replace("rules", "specs") if version == "v1alpha1" else f"spec.{path}"


@pytest.mark.parametrize("version", ALL)
def test_target_reads_the_same_when_versions_differ(version: str, valid: Valid) -> None:
    """The common fields mean the same in every version."""
    read = valid(full(version))
    assert isinstance(read, TrafficTarget)
    assert read.destination == Subject("ServiceAccount", "d", "api")
    assert read.sources == (Subject("ServiceAccount", "d", "web"),)
    assert read.rules == (Rule("HTTPRouteGroup", "r", ("a",)),)
    assert read.port is None


@pytest.mark.parametrize("version", PORTED)
def test_port_is_kept_when_the_version_has_it(version: str, valid: Valid) -> None:
    """`destination.port` of v1alpha1 and v1alpha2 survives, unlike in the reference converters."""
    assert valid(full(version, destination="{kind: ServiceAccount, name: api, port: 8080}")).port == 8080


@pytest.mark.parametrize("version", PORTLESS)
def test_port_voids_when_the_version_lacks_it(version: str, invalid: Invalid) -> None:
    """`destination.port` under v1alpha3 and v1alpha4 would be dropped by others; dropping it would widen."""
    found = invalid(full(version, destination="{kind: ServiceAccount, name: api, port: 8080}"))
    assert found == [("field.misplaced", "spec.destination.port")]


@pytest.mark.parametrize("version", PORTED)
@pytest.mark.parametrize("port", ["0", "65536", "-1", "8080.0", "'8080'", "true", "null", "[]", "{}", "1.0e+3"])
def test_port_voids_when_it_is_no_port(version: str, port: str, invalid: Invalid) -> None:
    """Only whole numbers from 1 to 65535 are ports."""
    found = invalid(full(version, destination=f"{{kind: ServiceAccount, name: api, port: {port}}}"))
    assert found == [("field.value", spec(version, "destination.port"))]


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("part", ["destination", "sources", "rules"])
def test_target_is_invalid_when_a_part_is_absent(version: str, part: str, invalid: Invalid) -> None:
    """Without destination, source or rule it grants nothing, in every version."""
    parts = {"destination": "{kind: ServiceAccount, name: api}", "sources": "[{kind: ServiceAccount, name: web}]"}
    parts["specs" if version == "v1alpha1" else "rules"] = "[{kind: HTTPRouteGroup, name: r}]"
    gone = "specs" if (version, part) == ("v1alpha1", "rules") else part
    body = ", ".join(f"{key}: {value}" for key, value in parts.items() if key != gone)
    code = "field.missing" if part == "destination" else "target.incomplete"
    assert invalid(target(version, body)) == [(code, spec(version, part))]


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("part", ["sources", "rules"])
def test_target_is_invalid_when_a_list_is_empty(version: str, part: str, invalid: Invalid) -> None:
    """`sources: []` never means anyone, `rules: []` never means anything."""
    assert invalid(full(version, **{part: "[]"})) == [("target.incomplete", spec(version, part))]


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("part", ["destination", "sources", "rules"])
@pytest.mark.parametrize("value", ["null", "text", "1"])
def test_target_is_invalid_when_a_part_has_another_type(version: str, part: str, value: str, invalid: Invalid) -> None:
    """A part of a wrong type voids the object."""
    assert ("field.type", spec(version, part)) in invalid(full(version, **{part: value}))


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("field", ["kind", "name"])
@pytest.mark.parametrize("place", ["destination", "sources", "rules"])
def test_target_is_invalid_when_an_entry_lacks_kind_or_name(
    version: str, field: str, place: str, invalid: Invalid
) -> None:
    """Subjects and rules need a kind and a name."""
    kind = "HTTPRouteGroup" if place == "rules" else "ServiceAccount"
    rest = "name: x" if field == "kind" else f"kind: {kind}"
    entry = f"{{{rest}}}" if place == "destination" else f"[{{{rest}}}]"
    where = place if place == "destination" else f"{place}[0]"
    assert invalid(full(version, **{place: entry})) == [("field.missing", spec(version, f"{where}.{field}"))]


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("place", ["destination", "sources", "rules", "body", "top"])
def test_unknown_field_voids_wherever_it_stands(version: str, place: str, invalid: Invalid) -> None:
    """A field that nobody knows could have been a condition."""
    texts = {
        "destination": full(version, destination="{kind: ServiceAccount, name: api, zone: b}"),
        "sources": full(version, sources="[{kind: ServiceAccount, name: web, namespace: d, zone: b}]"),
        "rules": full(version, rules="[{kind: HTTPRouteGroup, name: r, zone: b}]"),
        "body": full(version, zone="b"),
        "top": full(version)[:-1] + ", zone: b}",
    }
    fields = {
        "destination": spec(version, "destination.zone"),
        "sources": spec(version, "sources[0].zone"),
        "rules": spec(version, "rules[0].zone"),
        "body": "zone" if version == "v1alpha1" else "spec.zone",
        "top": "zone",
    }
    assert invalid(texts[place]) == [("field.unknown", fields[place])]


def test_unknown_field_names_the_nearest_one(read: Callable[[str], Decoded]) -> None:
    """A slip of the pen is answered with the field that was meant."""
    problem = read(full("v1alpha3", destinaton="{}")).problems[0]
    assert problem.remedy == 'did you mean "destination"?'
    assert problem.field == "spec.destinaton"


@pytest.mark.parametrize("version", ALL)
def test_status_and_other_metadata_are_ignored(version: str, valid: Valid) -> None:
    """`status` and metadata other than the name say nothing about access."""
    text = full(version).replace("{name: t,", "{name: t, labels: {a: 1}, annotations: 3, uid: x,")
    assert valid(text[:-1] + ", status: {x: [1]}}").destination.name == "api"


def test_rule_list_voids_under_another_versions_name(invalid: Invalid) -> None:
    """`rules` in v1alpha1 and `specs` since v1alpha2 are other versions' names."""
    old = full("v1alpha1", specs="[{kind: HTTPRouteGroup, name: r}]", rules="[{kind: HTTPRouteGroup, name: r}]")
    assert invalid(old) == [("field.misplaced", "rules")]
    new = full("v1alpha3", specs="[{kind: HTTPRouteGroup, name: r}]")
    assert invalid(new) == [("field.misplaced", "spec.specs")]


def test_misplaced_level_voids(invalid: Invalid) -> None:
    """`spec` under v1alpha1, and v1alpha1's top level under later versions, are never read by halves."""
    assert ("field.misplaced", "spec") in invalid(full("v1alpha2").replace("v1alpha2", "v1alpha1"))
    flat = full("v1alpha1").replace("v1alpha1", "v1alpha3")
    assert ("field.misplaced", "destination") in invalid(flat)
    assert ("field.missing", "spec") in invalid(flat)


@pytest.mark.parametrize("version", ALL)
def test_udp_route_is_a_rule_only_since_v1alpha3(version: str, read: Callable[[str], Decoded]) -> None:
    """v1alpha1 and v1alpha2 know HTTPRouteGroup and TCPRoute alone."""
    decoded = read(full(version, rules="[{kind: UDPRoute, name: u}, {kind: TCPRoute, name: t}]"))
    if version in PORTED:
        assert decoded.object is None
        assert decoded.problems[0].field == spec(version, "rules[0].kind")
    else:
        assert isinstance(decoded.object, TrafficTarget)
        assert decoded.object.rules == (Rule("UDPRoute", "u"), Rule("TCPRoute", "t"))


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("kind", ["httproutegroup", "Route", "''", "[]", "null", "1"])
def test_unknown_rule_kind_voids(version: str, kind: str, invalid: Invalid) -> None:
    """An unknown rule might have been the only limit."""
    (found,) = invalid(full(version, rules=f"[{{kind: {kind}, name: r}}]"))
    assert found[1] == spec(version, "rules[0].kind")


@pytest.mark.parametrize("matches", ["[]", "null"])
def test_empty_matches_grant_nothing(matches: str, read: Callable[[str], Decoded]) -> None:
    """`matches: []` and `matches: null` are reported and stay empty; only an absent one means all."""
    decoded = read(full("v1alpha3", rules=f"[{{kind: HTTPRouteGroup, name: r, matches: {matches}}}]"))
    assert isinstance(decoded.object, TrafficTarget)
    assert decoded.object.rules == (Rule("HTTPRouteGroup", "r", ()),)
    assert [(p.code, p.field) for p in decoded.problems] == [("rule.matches-empty", "spec.rules[0].matches")]


def test_absent_matches_mean_all(valid: Valid) -> None:
    """An absent `matches` is None, which is every match of the group."""
    assert valid(full("v1alpha3", rules="[{kind: HTTPRouteGroup, name: r}]")).rules[0].matches is None


@pytest.mark.parametrize("kind", ["TCPRoute", "UDPRoute"])
@pytest.mark.parametrize("matches", ["[]", "null", "[a]"])
def test_matches_on_a_port_route_are_kept(kind: str, matches: str, valid: Valid) -> None:
    """They are not None, so that the rule can be taken as missing."""
    assert (
        valid(full("v1alpha3", rules=f"[{{kind: {kind}, name: r, matches: {matches}}}]")).rules[0].matches is not None
    )


@pytest.mark.parametrize("matches", ["a", "{}", "[1]", "[null]", "[[a]]", "[true]"])
def test_matches_of_another_type_void(matches: str, invalid: Invalid) -> None:
    """Match names are texts in a list."""
    (found,) = invalid(full("v1alpha3", rules=f"[{{kind: HTTPRouteGroup, name: r, matches: {matches}}}]"))
    assert found[0] == "field.type"
    assert found[1].startswith("spec.rules[0].matches")


# --------------------------------------------------------------------------- subjects


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("kind", ["Group", "User", "serviceaccount", "Service"])
def test_unknown_subject_matches_nobody(version: str, kind: str, read: Callable[[str], Decoded]) -> None:
    """As source and as destination, and the object itself stays valid."""
    subject = f"{{kind: {kind}, name: api, namespace: d}}"
    decoded = read(full(version, destination=subject, sources=f"[{subject}]"))
    assert isinstance(decoded.object, TrafficTarget)
    assert (decoded.object.destination, decoded.object.sources) == (NOBODY, (NOBODY,))
    assert [problem.code for problem in decoded.problems] == ["subject.kind", "subject.kind"]


@pytest.mark.parametrize("version", ALL)
def test_binding_is_a_subject_only_in_v1alpha4(version: str, read: Callable[[str], Decoded]) -> None:
    """Before v1alpha4 the kind IdentityBinding matches nobody."""
    decoded = read(full(version, sources="[{kind: IdentityBinding, name: b, namespace: d}]"))
    assert isinstance(decoded.object, TrafficTarget)
    known = Subject("IdentityBinding", "d", "b")
    assert decoded.object.sources == ((known if version == "v1alpha4" else NOBODY),)
    assert bool(decoded.problems) is (version != "v1alpha4")


@pytest.mark.parametrize(
    ("kind", "group", "good"),
    [
        ("ServiceAccount", "''", True),
        ("ServiceAccount", "core", True),
        ("ServiceAccount", "access.smi-spec.io", False),
        ("ServiceAccount", "v1", False),
        ("IdentityBinding", "access.smi-spec.io", True),
        ("IdentityBinding", "''", False),
        ("IdentityBinding", "core", False),
    ],
)
def test_group_must_be_the_kinds(
    kind: str,
    group: str,
    good: bool,  # noqa: FBT001 - a column of the table
    read: Callable[[str], Decoded],
) -> None:
    """A subject of another group matches nobody."""
    decoded = read(full("v1alpha4", sources=f"[{{kind: {kind}, name: b, namespace: d, group: {group}}}]"))
    assert isinstance(decoded.object, TrafficTarget)
    assert (decoded.object.sources != (NOBODY,)) is good
    assert [problem.code for problem in decoded.problems] == ([] if good else ["subject.group"])


@pytest.mark.parametrize("version", ALL[:3])
def test_group_voids_when_the_version_lacks_it(version: str, invalid: Invalid) -> None:
    """`group` came with v1alpha4."""
    found = invalid(full(version, sources="[{kind: ServiceAccount, name: b, group: core}]"))
    assert found == [("field.misplaced", spec(version, "sources[0].group"))]


@pytest.mark.parametrize("version", ALL)
def test_port_of_a_source_voids(version: str, invalid: Invalid) -> None:
    """A source's port has no meaning in any version."""
    ((_, field),) = invalid(full(version, sources="[{kind: ServiceAccount, name: b, port: 80}]"))
    assert field == spec(version, "sources[0].port")


@pytest.mark.parametrize("name", ["'*'", "a/b", "A", "-a", "a-", "'a\\n'", '"a\\n"', "a..b", "a_b", "x" * 254, "é"])
def test_impossible_name_matches_nobody(name: str, read: Callable[[str], Decoded]) -> None:
    """A wildcard, a path or any other name that no object has is not passed on."""
    decoded = read(full("v1alpha3", sources=f"[{{kind: ServiceAccount, name: {name}, namespace: d}}]"))
    assert isinstance(decoded.object, TrafficTarget)
    assert decoded.object.sources == (NOBODY,)
    assert [(p.code, p.field) for p in decoded.problems] == [("subject.name", "spec.sources[0].name")]


@pytest.mark.parametrize("namespace", ["'*'", "a/b", "a.b", "D", "x" * 64])
def test_impossible_namespace_matches_nobody(namespace: str, read: Callable[[str], Decoded]) -> None:
    """The same for namespaces, which are labels."""
    decoded = read(full("v1alpha3", destination=f"{{kind: ServiceAccount, name: a, namespace: {namespace}}}"))
    assert isinstance(decoded.object, TrafficTarget)
    assert decoded.object.destination == NOBODY
    assert [p.field for p in decoded.problems] == ["spec.destination.namespace"]


def test_absent_namespace_stays_empty(valid: Valid) -> None:
    """Its defaults differ for source and destination, so they are not decoding's; a dotted account is a name."""
    read = valid(full("v1alpha3", sources="[{kind: ServiceAccount, name: a.b}]"))
    assert read.sources == (Subject("ServiceAccount", "", "a.b"),)


@pytest.mark.parametrize("value", ["null", "1", "[]", "true"])
def test_namespace_of_another_type_voids(value: str, invalid: Invalid) -> None:
    """A namespace is a text."""
    found = invalid(full("v1alpha3", destination=f"{{kind: ServiceAccount, name: a, namespace: {value}}}"))
    assert found == [("field.type", "spec.destination.namespace")]

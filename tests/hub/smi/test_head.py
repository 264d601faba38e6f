"""How documents are recognised: kind, version, name, and what is not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.model import Document, ObjectRef, Origin, Severity
from hub.smi import KINDS, Decoded, decode
from hub.smi.fields import MAX_PROBLEMS
from hub.smi.types import HTTPRouteGroup, PortRoute, TrafficSplit, TrafficTarget

Reading = Callable[[str], Decoded]
Invalid = Callable[[str], list[tuple[str, str]]]
SUBJECTS = "destination: {kind: ServiceAccount, name: a%s}, sources: [{kind: %s, name: b, namespace: d}]"
RULE = "[{kind: HTTPRouteGroup, name: r}]"
SMI = {group: {kind for owner, kind in KINDS if owner == group} for group, _ in KINDS if group.endswith("smi-spec.io")}


@pytest.mark.parametrize(
    ("kind", "body", "version"),
    [
        ("TrafficTarget", SUBJECTS % ("", "ServiceAccount") + f", specs: {RULE}", "v1alpha1"),
        ("TrafficTarget", "spec: {" + SUBJECTS % (", port: 80", "ServiceAccount") + f", rules: {RULE}}}", "v1alpha2"),
        ("TrafficTarget", "spec: {" + SUBJECTS % ("", "ServiceAccount") + f", rules: {RULE}}}", "v1alpha3"),
        ("TrafficTarget", "spec: {" + SUBJECTS % ("", "IdentityBinding") + f", rules: {RULE}}}", "v1alpha4"),
        ("IdentityBinding", "spec: {schemes: {serviceAccount: a}}", "v1alpha4"),
        ("HTTPRouteGroup", "matches: [{name: m, pathRegex: /}]", "v1alpha2"),
        ("HTTPRouteGroup", "spec: {matches: [{name: m, pathRegex: /}]}", "v1alpha4"),
        ("TCPRoute", "spec: {}", "v1alpha3"),
        ("TCPRoute", "status: {}", "v1alpha3"),
        ("TCPRoute", "spec: {matches: {ports: [1]}}", "v1alpha4"),
        ("UDPRoute", "spec: {matches: {ports: [1]}}", "v1alpha4"),
        ("TrafficSplit", "spec: {service: w, backends: [{service: a, weight: 500m}]}", "v1alpha1"),
        ("TrafficSplit", "spec: {service: w, backends: [{service: a, weight: 5}]}", "v1alpha2"),
        (
            "TrafficSplit",
            "spec: {service: w, backends: [{service: a, weight: 5}], matches: [{kind: HTTPRouteGroup, name: r}]}",
            "v1alpha4",
        ),
    ],
)
@pytest.mark.parametrize("api", ["", "apiVersion: null, ", "apiVersion: '', "])
def test_version_is_guessed_by_shape(kind: str, body: str, version: str, api: str, read: Reading) -> None:
    """SMI's own examples mostly lack apiVersion; the guess is a warning and names the version."""
    decoded = read(f"{{{api}kind: {kind}, metadata: {{name: x}}, {body}}}")
    assert decoded.object is not None
    assert decoded.ref is not None
    assert (decoded.ref.kind, decoded.ref.namespace) == (kind, "default")
    (problem,) = decoded.problems
    assert (problem.code, problem.severity) == ("version.guessed", Severity.WARNING)
    assert f"{decoded.ref.group}/{version}" in problem.message


def test_version_without_group_is_kept(read: Reading) -> None:
    """`apiVersion: v1alpha1` takes its group from the kind and stays v1alpha1."""
    decoded = read(
        "{apiVersion: v1alpha1, kind: HTTPRouteGroup, metadata: {name: x}, matches: [{name: m, pathRegex: /}]}"
    )
    assert isinstance(decoded.object, HTTPRouteGroup)
    assert [problem.code for problem in decoded.problems] == ["version.guessed"]
    nested = read("{apiVersion: v1alpha1, kind: HTTPRouteGroup, metadata: {name: x}, spec: {matches: []}}")
    assert nested.object is None


@pytest.mark.parametrize(
    "body",
    [
        "matches: [{name: m, pathRegex: /}], spec: {matches: []}",
        "spec: 3, matches: 4",
    ],
)
def test_mixed_shape_without_version_voids(body: str, invalid: Invalid) -> None:
    """Where two versions' places are used at once, no version fits."""
    assert ("field.misplaced", "spec") in invalid(f"{{kind: HTTPRouteGroup, metadata: {{name: x}}, {body}}}")


@pytest.mark.parametrize("group", sorted(SMI))
@pytest.mark.parametrize("version", ["v1", "v1alpha5", "v1beta1", "v1alpha3/x", "", " v1alpha3", "V1ALPHA3"])
def test_unknown_version_voids(group: str, version: str, read: Reading) -> None:
    """A version that is not in the table is not read in the manner of another."""
    for kind in SMI[group]:
        decoded = read(f"{{apiVersion: '{group}/{version}', kind: {kind}, metadata: {{name: x}}, spec: {{}}}}")
        assert decoded.object is None
        assert decoded.ref == ObjectRef(group, kind, "default", "x")
        assert [problem.code for problem in decoded.problems] == ["version.unknown"]


@pytest.mark.parametrize("kind", ["TrafficTargets", "traffictarget", "HTTPRouteGroup", "Foo", "TrafficMetrics"])
def test_unknown_kind_of_an_smi_group_is_told(kind: str, read: Reading) -> None:
    """A slip in the kind must not be taken for somebody else's object."""
    decoded = read(f"{{apiVersion: access.smi-spec.io/v1alpha3, kind: {kind}, metadata: {{name: x}}}}")
    assert (decoded.ref, decoded.object) == (None, None)
    assert [(problem.code, problem.severity) for problem in decoded.problems] == [("object.kind", Severity.ERROR)]


def test_nearest_kind_is_named(read: Reading) -> None:
    """The remedy is the kind, or the group, that was meant."""
    remedies = [
        read(f"{{apiVersion: access.smi-spec.io/v1alpha3, kind: {kind}}}").problems[0].remedy
        for kind in ("traffictarget", "TCPRoute")
    ]
    assert remedies == ['did you mean "TrafficTarget"?', 'use apiVersion "specs.smi-spec.io/..."']


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, metadata: {name: x}}",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: 3}",
        "{apiVersion: extensions/v1beta1, kind: Deployment, metadata: {name: x}}",
        "{kind: Foo, metadata: {name: x}}",
        "{apiVersion: 3, kind: Foo}",
    ],
)
def test_other_objects_are_ignored(text: str, read: Reading) -> None:
    """Other people's kinds are not our business."""
    assert read(text) == Decoded()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("3", "object.no-kind"),
        ("[]", "object.no-kind"),
        ("text", "object.no-kind"),
        ("[{kind: TrafficSplit}]", "object.shape"),
        ("[{apiVersion: split.smi-spec.io/v1alpha2}]", "object.shape"),
        ("see smihub.io", "object.shape"),
        ("{}", "object.no-kind"),
        ("{spec: {}}", "object.no-kind"),
        ("{kind: 3, apiVersion: v1}", "object.no-kind"),
        ("{kind: null, apiVersion: access.smi-spec.io/v1alpha3}", "object.kind"),
        ("{kind: Service, metadata: {name: x}}", "version.missing"),
        ("{kind: Workload, metadata: {name: x}}", "version.missing"),
        ('{apiVersion: "", kind: Service, metadata: {name: x}}', "version.missing"),
        ("{kind: TrafficTarget, apiVersion: 3}", "version.unknown"),
        ("{kind: TrafficTargets}", "object.kind"),
        ("{apiVersion: acess.smi-spec.oi/v1alpha3, kind: TrafficTarget}", "object.group"),
        ("{apiVersion: smihub.io/v1alpha1, kind: Workloads}", "object.kind"),
        ("{apiVersion: v1, kind: List, items: [{kind: TrafficTarget}]}", "object.list"),
        ("{kind: List, items: []}", "object.list"),
    ],
)
def test_document_that_looks_like_a_slip_is_told(text: str, code: str, read: Reading) -> None:
    """What may have been meant for us gets a Problem."""
    decoded = read(text)
    assert (decoded.ref, decoded.object) == (None, None)
    assert [problem.code for problem in decoded.problems] == [code]


@pytest.mark.thorough
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    "metadata",
    [
        "{}",
        "null",
        "[]",
        "3",
        "{name: null}",
        "{name: 3}",
        "{name: ''}",
        "{name: '*'}",
        "{name: a/b}",
        "{name: A}",
        "{generateName: x-}",
        "{name: x, namespace: a.b}",
        "{name: x, namespace: 3}",
        "{name: x, namespace: '*'}",
        "{name: x, namespace: []}",
    ],
)
def test_bad_name_voids_every_kind(kind: tuple[str, str], metadata: str, read: Reading) -> None:
    """Names end up in other systems, some of which have wildcards and paths."""
    version = KINDS[kind].versions[-1]
    api = f"{kind[0]}/{version}" if kind[0] else version
    decoded = read(f"{{apiVersion: {api}, kind: {kind[1]}, metadata: {metadata}, spec: {{}}}}")
    assert (decoded.ref, decoded.object) == (None, None)
    assert [problem.code for problem in decoded.problems] == ["name.invalid"]


@pytest.mark.parametrize("namespace", ["", ", namespace: null", ", namespace: ''"])
def test_absent_namespace_is_default(namespace: str, read: Reading) -> None:
    """As Kubernetes has it."""
    ref = read(f"{{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {{name: x{namespace}}}}}").ref
    assert ref == ObjectRef("specs.smi-spec.io", "TCPRoute", "default", "x")


def test_origin_is_in_object_and_problems() -> None:
    """Operators see where it was written."""
    origin = Origin("git", "a.yaml", 7)
    value: dict[str, Any] = {"apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "TCPRoute", "metadata": {"name": "x"}}
    good = decode(Document(value, origin)).object
    assert isinstance(good, PortRoute)
    assert good.origin == origin
    bad = decode(Document({**value, "spec": {"ports": [1]}}, origin))
    assert [problem.origin for problem in bad.problems] == [origin]


def test_problems_of_one_object_are_bounded(read: Reading) -> None:
    """A hostile object cannot fill the report; the rest is counted."""
    many = ", ".join(f"field{number}: 1" for number in range(MAX_PROBLEMS + 30))
    problems = read(
        f"{{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {{name: x}}, {many}}}"
    ).problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert (problems[-1].code, problems[-1].message) == ("object.more-problems", "30 more problems")


def test_versions_of_one_kind_give_one_type(read: Reading) -> None:
    """Whatever the version, callers see one type per kind."""
    backends = "spec: {service: w, backends: [{service: a, weight: 1}]}"
    for version in KINDS["split.smi-spec.io", "TrafficSplit"].versions:
        text = f"{{apiVersion: split.smi-spec.io/{version}, kind: TrafficSplit, metadata: {{name: x}}, {backends}}}"
        assert isinstance(read(text).object, TrafficSplit)
    assert TrafficTarget.__name__ in {kind for _, kind in KINDS}

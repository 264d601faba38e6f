"""What is written means the same to every reader, and is read back as it was."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.errors import UnsafeResourceError
from hub.family import canonical
from hub.model import NativeObject, ObjectRef, Observed, Role, UnitKey
from hub.sinks.emit import emit
from hub.sinks.manifest import MAX_OBJECT_BYTES, Broken, Foreign, Unowned, digest
from hub.sinks.names import ref_of_file, unit_of, unit_text
from hub.sources.yaml import load_one
from tests.hub.sinks.small_mesh import ORIGINS, access, file_name, form, native, read, stamp

HOSTILE = (
    "yes", "No", "on", "OFF", "y", "N", "null", "Null", "~", "", " ", "true", "False", "012", "0o17", "0x1F", "0b1", "1e3",
    "1.5", "1_000", "1:30", ".5", ".inf", "-.INF", ".nan", "2024-01-01", "=", "<<", "- a", "a: b", "a #b", "#a", "&a", "*a",
    "!a", "|", ">", "%a", "@a", "`a", "'", '"', "\\", "\n", "a\nb\n", "\n\n a", "\t", "\r\n", "\x00", "\x7f", "\x85",
    "\xa0", "\u2028", "\u2029", "\ufeff", "\U0001f600", "\u202eevil", "---", "...", "a\n---\nb: c", "-", "?", "{a}", "[a]",
    "e1", "E", "infinity", "nan", "a" * 5000,
)  # fmt: skip
_IMPLICIT = re.compile(
    r"~|null|Null|NULL|[yYnN]|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"
    r"|[-+]?[0-9][0-9_.:eExXoObB+a-fA-F-]*|[-+]?\.[0-9_]+([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|=|<<"
)
texts = st.one_of(st.text(), st.sampled_from(HOSTILE))
scalars = st.one_of(
    texts,
    st.booleans(),
    st.none(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e16, 1e22, -1e22, 1e-7, 1.5e300, -0.0, 5e-324]),
)
keys = st.one_of(st.text(max_size=20), st.sampled_from(HOSTILE[:-1]))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


def exact(value: Any) -> bytes:
    """JSON that tells 1 from 1.0 and -0.0 from 0.0."""
    return msgspec.json.encode(value, order="deterministic")


@given(st.dictionaries(keys, trees, min_size=1, max_size=4))
def test_every_reader_reads_what_was_written(value: dict[str, Any]) -> None:
    """PyYAML (1.1), and our strict reader (1.2, no duplicate keys) agree; the text is ASCII on plain lines."""
    text = emit(value)
    assert exact(yaml.load(text, yaml.CSafeLoader)) == exact(value)
    assert exact(load_one(text.encode())) == exact(value)
    assert re.fullmatch(r"[\x20-\x7e\n]*", text)


@given(st.dictionaries(keys, trees, min_size=1, max_size=3))
def test_no_plain_text_is_anything_else_to_any_version(value: dict[str, Any]) -> None:
    """Plain scalars that are texts to PyYAML match no implicit type of YAML 1.1 or 1.2."""
    for node in yaml.parse(emit(value), Loader=yaml.CSafeLoader):
        if isinstance(node, yaml.ScalarEvent) and node.style is None and not _known(node.value):
            assert not _IMPLICIT.fullmatch(node.value), node.value


def _known(text: str) -> bool:
    return not isinstance(yaml.load(text, yaml.CSafeLoader), str)


names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True)
odd_names = st.one_of(names, st.text(min_size=1, max_size=8), st.sampled_from([text for text in HOSTILE if text]))
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
refs = st.builds(
    ObjectRef, st.one_of(st.just(""), names), st.sampled_from(["Service", "VirtualService"]), labels, names
)
domains = st.one_of(st.just("default"), labels)
units = st.one_of(
    st.builds(UnitKey, st.sampled_from(["access", "route"]), labels, names, domains),
    st.builds(UnitKey, st.just("baseline"), st.one_of(st.just(""), labels), st.just(""), domains),
)


@st.composite
def natives(draw: st.DrawFn) -> NativeObject:
    """Objects with hostile names, labels and specs."""
    group, kind = draw(st.one_of(st.just(""), names)), draw(st.sampled_from(["Service", "VirtualService"]))
    metadata: dict[str, Any] = {"name": draw(odd_names)}
    if draw(st.booleans()):
        metadata["namespace"] = draw(odd_names)
    for field in ("labels", "annotations"):
        if extra := draw(st.dictionaries(keys, texts, max_size=2)):
            metadata[field] = extra
    version = f"{group}/v1" if group else "v1"
    value = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": draw(trees)}
    ref = ObjectRef(group, kind, metadata.get("namespace", ""), metadata["name"])
    needs, origins = (tuple(draw(st.lists(refs, max_size=2))) for _ in range(2))
    return NativeObject(ref, draw(st.sampled_from(Role)), canonical(value), origins, needs)


@given(natives(), units, st.booleans())
def test_an_object_is_read_back_as_it_was(made: NativeObject, unit: UnitKey, paused: bool) -> None:  # noqa: FBT001 - drawn
    """Body, unit with its domain, role, needs and pause come back; another mesh sees a foreign object."""
    data = stamp(made, unit, "istio", paused=paused)
    expected = Observed(made.ref, made.body, unit, digest(data), made.role, made.needs, paused=paused)
    assert read(data, "istio") == expected
    others = read(data, "linkerd")
    assert isinstance(others, Foreign)
    assert (others.refs, others.token) == ((made.ref,), digest(data))
    assert data == stamp(made, unit, "istio", paused=paused)
    assert canonical(yaml.load(data, yaml.CSafeLoader)["spec"]) == canonical(msgspec.json.decode(made.body)["spec"])


OWNERS = st.sampled_from(["", "1" * 32, "2" * 32])


@given(natives(), OWNERS, OWNERS)
def test_an_object_is_its_owners_alone(made: NativeObject, owner: str, reader: str) -> None:
    """To another owner it is foreign, and names whose it is; without one it is ours or foreign, with the same content."""
    data = stamp(made, access("api"), "istio", owner)
    found = read(data, "istio", reader)
    ours = Observed(made.ref, made.body, access("api"), digest(data), made.role, made.needs)
    if owner == reader:
        assert found == ours
    elif owner:
        assert isinstance(found, Foreign)
        assert (found.refs, found.token, found.owner) == ((made.ref,), digest(data), owner)
    else:
        assert found == Unowned(ours, Foreign((made.ref,), made.body, digest(data)))


@given(st.one_of(refs, st.builds(ObjectRef, odd_names, odd_names, odd_names, odd_names)))
def test_a_file_name_belongs_to_one_object(ref: ObjectRef) -> None:
    """Plain names tell their object; others hold a digest; none is too long, leads elsewhere or is hidden."""
    name = file_name(ref)
    assert ref_of_file(form(), name) in {ref, None}
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,220}\.yaml", name)
    assert not name.startswith(".") or ref.namespace.startswith(".")
    lower = replace(ref, namespace=ref.namespace.lower(), name=ref.name.lower())
    assert lower == ref or file_name(lower).lower() != name.lower()


def test_file_names_that_people_see() -> None:
    """Namespace, kind with group, name."""
    assert file_name(ObjectRef("networking.istio.io", "VirtualService", "shop", "api")) == (
        "shop_VirtualService.networking.istio.io_api.yaml"
    )
    assert file_name(ObjectRef("", "Service", "shop", "api")) == "shop_Service_api.yaml"
    assert file_name(ObjectRef("", "Namespace", "", "shop")) == "_Namespace_shop.yaml"
    long = file_name(ObjectRef("networking.istio.io", "VirtualService", "shop", "a" * 253))
    assert len(long) < 200
    assert long != file_name(ObjectRef("networking.istio.io", "VirtualService", "shop", "a" * 252))


@given(units)
def test_a_unit_is_one_word(unit: UnitKey) -> None:
    """With its domain."""
    assert unit_of(unit_text(unit)) == unit


def test_a_file_that_people_read() -> None:
    """The whole of it, so that a change of the form is seen."""
    made = native(Role.GRANT, "api", {"rules": [{"to": [{"paths": ["/v1/*"], "ports": ["80"]}]}]})
    assert (
        stamp(made, access("api"), "istio").decode()
        == f"""\
# Generated by smihub for mesh "istio". Do not edit: the next apply writes it anew.
# unit: access/shop/api
# from: TrafficTarget/shop/api-from-web
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  annotations:
    argocd.argoproj.io/sync-wave: "-1"
    smihub.io/digest: "sha256:{digest(made.body)}"
    smihub.io/mesh: istio
    smihub.io/origins: TrafficTarget/shop/api-from-web
    smihub.io/role: grant
    smihub.io/unit: access/shop/api
  labels:
    app.kubernetes.io/managed-by: smihub
  name: api
  namespace: shop
spec:
  rules:
  - to:
    - paths:
      - "/v1/*"
      ports:
      - "80"
"""
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"apiVersion":"v1","kind":"Service","metadata":null}',
        b'{ "apiVersion":"v1","kind":"Service","metadata":{"name":"api","namespace":"shop"}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"other","namespace":"shop"}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"labels":{},"name":"api","namespace":"shop"}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"labels":7,"name":"api","namespace":"shop"}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"annotations":{"smihub.io/role":"guard"},"name":"api","namespace":"shop"}}',
        canonical(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "shop"}, "x" * 2000: 1}
        ),
        canonical(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "api", "namespace": "shop"},
                "x": "y" * MAX_OBJECT_BYTES,
            }
        ),
    ],
)
def test_what_would_not_come_back_is_never_written(body: bytes) -> None:
    """One error that names object and unit."""
    ref = ObjectRef("", "Service", "shop", "api")
    with pytest.raises(UnsafeResourceError, match=r'"Service/shop/api" of access/shop/api cannot be written'):
        stamp(NativeObject(ref, Role.GRANT, body, ORIGINS), access("api"), "istio")


def test_very_many_origins_do_not_fill_the_annotations() -> None:
    """Some are named, the others counted."""
    origins = tuple(ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", f"t{number}") for number in range(5000))
    made = replace(native(Role.GRANT, "api"), origins=origins)
    told = yaml.load(stamp(made, access("api"), "istio"), yaml.CSafeLoader)["metadata"]["annotations"][
        "smihub.io/origins"
    ]
    assert len(told) < 5000
    assert told.endswith("more")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("smihub.io/role: grant", "smihub.io/role: king", "ownership mark"),
        ("smihub.io/role: grant", "smihub.io/role: [grant]", "ownership mark"),
        ("smihub.io/unit: access/shop/api", "smihub.io/unit: access/shop", "ownership mark"),
        ("kind: AuthorizationPolicy", "kind: 7", "names no object"),
        ("spec:\n", "<<<<<<< HEAD\nspec:\n", "line 19"),
        ("spec:\n", "spec: {}\nspec:\n", "twice"),
        ("spec:\n", "---\na: b\n---\nspec:\n", "more than one"),
    ],
)
def test_a_file_of_ours_that_cannot_be_read_is_broken(old: str, new: str, reason: str) -> None:
    """It is neither ours as it is, nor somebody else's."""
    text = stamp(native(Role.GRANT, "api"), access("api"), "istio").decode()
    assert old in text
    found = read(text.replace(old, new).encode(), "istio")
    assert isinstance(found, Broken)
    assert reason in found.reason


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"a: [",
        b"just text",
        b"metadata: {labels: [], annotations: 7}",
        b"kind: {a: b}",
        b"a: 1\n---\nb: 2\n",
        b"\x00",
    ],
)
def test_files_of_others_may_be_anything(data: bytes) -> None:
    """They name no object then; of what cannot be read is told why."""
    found = read(data, "istio")
    assert isinstance(found, Foreign)
    assert found == Foreign(unread=found.unread)
    assert bool(found.unread) is (data in {b"\xff\xfe", b"a: [", b"\x00"})


def test_several_foreign_objects_in_one_file_are_all_seen() -> None:
    """Documents, and items of a list."""
    one = "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}}"
    two = "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Service, metadata: {name: b, namespace: shop}}]}"
    service = ObjectRef("", "Service", "shop", "a")
    assert read(f"{one}\n---\n{two}\n".encode(), "istio") == Foreign((service, replace(service, name="b")))

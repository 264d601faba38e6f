"""The YAML reader: what it reads, what it refuses, and what it costs at most."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import ObjectRef, Origin
from hub.sources.limits import Fault, ParseLimits, YamlError
from hub.sources.yaml import load, load_one

TARGET = """\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: t, namespace: shop}
spec:
  rules:
  - kind: HTTPRouteGroup
    name: g
"""


def fault(text: str, limits: ParseLimits = ParseLimits()) -> Fault:
    """The fault that reading `text` gives."""
    with pytest.raises(YamlError) as caught:
        load(text.encode(), limits=limits)
    return caught.value.fault


def value(text: str) -> object:
    """The only document of `text`."""
    return load_one(text.encode())


def test_objects_are_read_in_order_with_their_lines() -> None:
    """Several documents, empty ones between them, and a comment before the first."""
    text = f"# top\n---\n---\n{TARGET}---\n# nothing\n---\n\na: 1\n"
    first, second = load(text.encode(), Origin("git", "a.yaml"))
    assert (first.origin, first.index) == (Origin("git", "a.yaml", 4), 0)
    assert (second.value, second.origin.line, second.index) == ({"a": 1}, 15, 1)


def test_lists_are_unwrapped_with_the_line_of_each_item() -> None:
    """`kind: List` and a typed list, with the line where each item starts."""
    text = "kind: List\nitems:\n- a: 1\n- null\n---\nkind: FooList\nitems:\n- b: 2\n---\nkind: List\nitems:\n"
    assert [(d.value, d.origin.line, d.index) for d in load(text.encode())] == [({"a": 1}, 3, 0), ({"b": 2}, 8, 1)]


def test_a_list_in_a_list_is_refused() -> None:
    """Nobody means it, and nothing in it is read."""
    with pytest.raises(YamlError, match='line 3: field "items": a List contains a List'):
        load(b"kind: List\nitems:\n- kind: FooList\n  items:\n  - b: 2\n")


def test_a_kind_that_only_ends_in_list_is_an_object() -> None:
    """Without `items` it is no Kubernetes list."""
    assert load(b"kind: AllowList\nspec: {}\n")[0].value == {"kind": "AllowList", "spec": {}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("null", None), ("~", None), ("", None), ("True", True), ("false", False),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("n", "n"),
        ("0", 0), ("-7", -7), ("+7", 7), ("0x1F", 31), ("010", "010"), ("0o17", "0o17"), ("0b11", "0b11"), ("1_000", "1_000"),
        ("1:30", "1:30"), ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1.2.3", "1.2.3"), ("1e999", "1e999"),
        (".inf", ".inf"), ("-.Inf", "-.Inf"), (".nan", ".nan"), ("9" * 65, "9" * 65), ("9" * 64, int("9" * 64)), ("=", "="),
        ("'8080'", "8080"), ('"true"', "true"), ("'~'", "~"), ("٣", "٣"), ("500m", "500m"), ("-", [None]), (".", "."),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema(text: str, expected: object) -> None:
    """Numbers and booleans only where every YAML version agrees; the rest is text."""
    read = value(f"a: {text}\n" if text != "-" else "a:\n-\n")
    assert read == {"a": expected}
    assert isinstance(read, dict)
    assert type(read["a"]) is type(expected)


@pytest.mark.parametrize(
    ("text", "code", "line", "field"),
    [
        ("a: 1\nb: {c: 1, d: 2,\n  c: 3}\n", "yaml.duplicate-key", 3, "b.c"),
        ("a: [1, {b: 1, b: 1}]\n", "yaml.duplicate-key", 1, "a[1].b"),
        ("a: 1\n'a': 2\n", "yaml.duplicate-key", 2, "a"),
        ("a: {8080: x}\n", "yaml.key", 1, "a"),
        ("true: x\n", "yaml.key", 1, ""),
        ("~: x\n", "yaml.key", 1, ""),
        ("? [a]\n: x\n", "yaml.key", 1, ""),
        ("? {a: b}\n: x\n", "yaml.key", 1, ""),
        (": x\n", "yaml.syntax", 1, ""),
        ("a: &a x\n*a : y\n", "yaml.key", 2, ""),
        ("a: &a {b: 1}\nc:\n  b: 2\n  <<: *a\n", "yaml.merge-key", 4, "c.<<"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n  <<: {d: 1}\n", "yaml.duplicate-key", 4, "c.<<"),
        ("a: &a [1]\nc:\n  <<: *a\n", "yaml.merge-key", 3, "c.<<"),
        ("a: {<<: [{b: 1}, 2]}\n", "yaml.merge-key", 1, "a.<<"),
        ("a: {<<: }\n", "yaml.merge-key", 1, "a.<<"),
        ("a: {<<: {b: 1}, b: 2, b: 3}\n", "yaml.duplicate-key", 1, "a.b"),
        ("a: &a {<<: *a}\n", "yaml.alias", 1, "a.<<"),
        ("a: !!python/object/apply:os.system [id]\n", "yaml.tag", 1, "a"),
        ("a: !!str 5\n", "yaml.tag", 1, "a"),
        ("a: !local {b: c}\n", "yaml.tag", 1, "a"),
        ("a: *nowhere\n", "yaml.alias", 1, "a"),
        ("a: &a [*a]\n", "yaml.alias", 1, "a[0]"),
        ("a: &a x\n---\nb: *a\n", "yaml.alias", 3, "b"),
        ("kind: List\nitems: 5\n", "yaml.list", 1, "items"),
        ("a: [1\nb: 2\n", "yaml.syntax", 2, "a[1]"),
        ("a: b: c\n", "yaml.syntax", 1, ""),
        ("a:\n\tb: c\n", "yaml.syntax", 2, "a"),
        ("a: \x07\n", "yaml.syntax", 1, ""),
        ("a: '\n", "yaml.syntax", 2, "a"),
    ],
)  # fmt: skip
def test_bad_yaml_is_refused_with_its_place(text: str, code: str, line: int, field: str) -> None:
    """Each refusal names the line and the field path."""
    found = fault(text)
    assert (found.code, found.line, found.field) == (code, line, field)
    assert found.message
    assert found.remedy


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("{<<: *one, k: own}", {"k": "own", "m": 1}),
        ("{<<: *one}", {"k": 1, "m": 1}),
        ("{z: 1, <<: {k: 2}}", {"z": 1, "k": 2}),
        ("{<<: [*one, *two]}", {"k": 1, "m": 1, "n": 2}),
        ("{<<: [*two, *one], n: 3}", {"k": 2, "m": 1, "n": 3}),
        ("{<<: {<<: *one, k: 5}}", {"k": 5, "m": 1}),
        ("{<<: []}", {}),
    ],
)
def test_merge_keys_are_read_as_kubectl_and_kustomize_read_them(written: str, read: object) -> None:
    """What is written wins over what is merged, of several mappings the first; each tried with kubectl 1.32 and its kustomize."""
    text = f"one: &one {{k: 1, m: 1}}\ntwo: &two {{k: 2, n: 2}}\nx: {written}\n"
    assert value(text) == {"one": {"k": 1, "m": 1}, "two": {"k": 2, "n": 2}, "x": read}


def test_what_is_merged_again_and_again_counts_each_time() -> None:
    """A few lines of merges must not unfold to more than a file may hold."""
    text = "a0: &a0 {k0: 1, l0: 1}\n" + "".join(
        f"a{n}: &a{n} {{k{n}: *a{n - 1}, l{n}: *a{n - 1}, <<: *a{n - 1}}}\n" for n in range(1, 40)
    )
    assert fault(text).code == "yaml.too-many"


def test_a_quoted_merge_key_is_a_key() -> None:
    """Only the plain `<<` means a merge."""
    assert value("'<<': x\n") == {"<<": "x"}


def test_a_fault_names_the_object_it_stands_in() -> None:
    """Kind, namespace and name that were read before the fault."""
    found = fault(TARGET + "    name: h\n")
    assert found.ref == ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", "t")
    assert (found.line, found.field) == (8, "spec.rules[0].name")
    problem = YamlError(found).problem("git", "a.yaml")
    assert (problem.ref, problem.origin) == (found.ref, Origin("git", "a.yaml", 8))


def test_a_fault_outside_any_object_names_the_file() -> None:
    """There is no object to put it on."""
    assert YamlError(fault("a: [\n")).problem("git", "a.yaml").ref == ObjectRef("", "File", "", "a.yaml")


def test_aliases_are_read_and_shared() -> None:
    """Small anchors are ordinary YAML; a later anchor of the same name wins."""
    assert value("a: &x {b: 1}\nc: [*x, *x]\nd: &x 2\ne: *x\n") == {"a": {"b": 1}, "c": [{"b": 1}] * 2, "d": 2, "e": 2}


def test_an_alias_bomb_is_refused_before_it_is_built() -> None:
    """Nine levels of nine aliases stand for 10^9 values in 500 bytes."""
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert fault("\n".join(["l0: &l0 [x]", *levels])).code == "yaml.too-many"


def test_aliases_do_not_hide_depth() -> None:
    """Each level adds one to what its alias stands for."""
    levels = "\n".join(f"l{i}: &l{i} [*l{i - 1}]" for i in range(1, 70))
    assert fault(f"l0: &l0 [x]\n{levels}\n").code == "yaml.too-deep"


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "{? "])
def test_depth_is_bounded(opener: str) -> None:
    """A megabyte of opening brackets ends at the limit, in constant stack."""
    assert fault(opener * 300_000).code in {"yaml.too-deep", "yaml.key"}


def test_depth_at_the_limit_is_read() -> None:
    """The limit itself is allowed, one more is not."""
    load(b"[" * 64 + b"]" * 64)
    assert fault("[" * 65 + "]" * 65).code == "yaml.too-deep"


def test_size_and_count_are_bounded() -> None:
    """Bytes are checked before anything is parsed, values while they are."""
    assert fault("a: 1\n", ParseLimits(file_bytes=4)).code == "yaml.too-large"
    assert fault("[1, 2, 3]", ParseLimits(nodes=3)).code == "yaml.too-many"
    load(b"[1, 2]", limits=ParseLimits(nodes=3))


@pytest.mark.parametrize("data", [b"a: \xff\n", "a: é\n".encode("utf-16"), "a: é\n".encode("latin-1")])
def test_only_utf8_is_read(data: bytes) -> None:
    """Other encodings are refused, not guessed."""
    with pytest.raises(YamlError) as caught:
        load(data)
    assert caught.value.fault.code in {"yaml.encoding", "yaml.syntax"}


def test_a_byte_order_mark_is_skipped() -> None:
    """Editors on other systems write it."""
    assert load_one(b"\xef\xbb\xbfa: 1\n") == {"a": 1}


def test_one_document_only_where_one_is_due() -> None:
    """A configuration is one document, and may be empty."""
    assert load_one(b"# nothing\n") is None
    with pytest.raises(YamlError, match="line 3"):
        load_one(b"a: 1\n---\nb: 2\n")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(codec="ascii"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values)
def test_json_reads_as_itself(read: object) -> None:
    """JSON is YAML: what json writes, this reads back."""
    assert load_one(json.dumps({"a": read}).encode()) == {"a": read}


@given(st.binary(max_size=60) | st.text("ab:-[]{}&*!|>'\"# \n\t?,%@`~<010", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No input ends in anything but documents or a YamlError."""
    try:
        load(data, limits=ParseLimits(depth=8, nodes=50))
    except YamlError as error:
        assert error.fault.remedy  # noqa: PT017 - either outcome is fine

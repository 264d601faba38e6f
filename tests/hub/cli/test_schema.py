"""JSON Schemas: what is good is good in them, what has a field that nobody knows is not, and they know what the readers know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import fastjsonschema
import msgspec
import pytest
import yaml

from hub.cli.schema import Shown, schema_of
from hub.config.template import template
from hub.plugins import installed_plugins
from hub.smi import workload
from hub.smi.written import WrittenPort, WrittenSpec, WrittenUpstream
from tests.hub.full_examples import WORKLOAD
from tests.servers.folder import Folder

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "deploy" / "examples"
Validate = Callable[[object], object]
FREE = {"labels", "annotations", "headers", "metadata", "meshes", "expect", "status"}
"""Mappings in which any key may be, or that stand under such names."""
DOMAINS = """\
domains:
- name: eu
  trustDomain: eu.example.org
  sources: [{path: eu, exclude: [x/], cluster: a}]
  meshes: [{name: vms, adapter: vm, cluster: a, config: {paths: normalise}, sink: {socket: {folder: /run/x}}}]
- name: us
  trustDomain: us.example.org
  sources: [{kind: stdin, name: us}]
  meshes:
  - {name: i, adapter: istio, governed: {namespaces: [shop]}, sink: {kind: directory, path: r}}
  - name: l
    adapter: linkerd
    config: {probes: {networks: ["10.0.0.0/16"], allow: [{account: shop/api, port: 8080, path: "/health$z"}]}}
    sink: {kind: directory, path: l}
  accept: [a.b, {code: a.b, mesh: i}]
http: {address: "127.0.0.1:9464"}
"""


@pytest.fixture(scope="module", name="of")
def schemas() -> dict[Shown, Validate]:
    """What validates each of the things that people write."""
    plugins = installed_plugins()
    return {each: fastjsonschema.compile(json.loads(schema_of(each, plugins))) for each in Shown}


@pytest.mark.parametrize("each", Shown)
def test_patterns_are_as_editors_read_them(each: Shown) -> None:
    r"""JavaScript takes `\A` and `\Z` for letters, or for a mistake."""
    text = schema_of(each, installed_plugins()).decode()
    assert "\\\\A" not in text
    assert "\\\\Z" not in text


def configs() -> Iterator[Any]:
    """Every smihub.yaml of this repository, and what init writes."""
    for path in (*ROOT.glob("tests/fixtures/**/smihub.yaml"), *EXAMPLES.glob("**/smihub.yaml")):
        yield yaml.load(path.read_text(), yaml.CSafeLoader)
    for adapters in (["vm"], ["istio"], ["vm", "istio"]):
        yield yaml.load(template("x", adapters, reads_rendered=True), yaml.CSafeLoader)
    yield yaml.load(DOMAINS, yaml.CSafeLoader)


def workloads() -> Iterator[Any]:
    """Every Workload of the examples, and one with every field."""
    for path in (*EXAMPLES.glob("**/*.yaml"), *ROOT.glob("tests/fixtures/**/folder/*.yaml")):
        yield from (
            each for each in yaml.load_all(path.read_text(), yaml.CSafeLoader) if each and each["kind"] == "Workload"
        )
    yield yaml.load(WORKLOAD, yaml.CSafeLoader)


def expectations() -> Iterator[Any]:
    """Every file of expectations of the examples."""
    for path in EXAMPLES.glob("**/*.test.yaml"):
        yield from yaml.load_all(path.read_text(), yaml.CSafeLoader)


GOOD = {Shown.CONFIG: configs, Shown.WORKLOAD: workloads, Shown.TEST: expectations}


@pytest.mark.parametrize("kind", list(Shown))
def test_every_example_is_good(of: dict[Shown, Validate], kind: Shown) -> None:
    """Those of the repository, and what init writes."""
    found = list(GOOD[kind]())
    assert found
    for each in found:
        of[kind](each)


@pytest.mark.parametrize("kind", list(Shown))
def test_a_field_that_nobody_knows_is_not(of: dict[Shown, Validate], kind: Shown) -> None:
    """Wherever it stands."""
    tried = 0
    for each in GOOD[kind]():
        for broken in with_unknown_field(each):
            tried += 1
            with pytest.raises(fastjsonschema.JsonSchemaException):
                of[kind](broken)
    assert tried > 5


def with_unknown_field(value: Any) -> Iterator[Any]:
    """The same with a field more, in each of its mappings."""
    for path in mappings(value, ()):
        broken = deepcopy(value)
        inner = broken
        for step in path:
            inner = inner[step]
        inner["unknownField"] = "x"
        yield broken


def mappings(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The paths of all mappings with fields of their own."""
    if isinstance(value, dict):
        if not path or path[-1] not in FREE:
            yield path
        for key, inner in value.items():
            if key not in FREE or isinstance(inner, list):
                yield from mappings(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from mappings(inner, (*path, index))


BAD: list[tuple[Shown, str]] = [
    (Shown.CONFIG, "domain: {trustDomain: a}\nsources: []\nmeshes: [{name: a, adapter: vm}]"),
    (Shown.CONFIG, "domain: {trustDomain: a}\nmeshes: [{name: a, adapter: vm}]"),
    (Shown.CONFIG, "domain: {trustDomain: a}\nsources: [{path: x}]\nmeshes: [{name: a, adapter: vm, sink: {path: r}}]"),
    (Shown.CONFIG, "domain: {trustDomain: a}\nsources: [{path: x}]\nmeshes: [{name: a, adapter: istio, sink: {}}]"),
    (Shown.CONFIG, "domain: {trustDomain: a}\nsources: [{kind: directory}]\nmeshes: [{name: a, adapter: vm}]"),
    (Shown.CONFIG, "domain: {trustDomain: a}\nsources: [{path: x}]\nmeshes: [{name: a, adapter: vm, governed: some}]"),
    (Shown.WORKLOAD, "apiVersion: smihub.io/v1alpha1\nkind: Workload\nmetadata: {name: a}\nspec: {serviceAccount: a}"),
    (Shown.WORKLOAD, "apiVersion: v1\nkind: Workload\nmetadata: {name: a}\nspec: {serviceAccount: a, addresses: [a]}"),
    (Shown.TEST, "apiVersion: smihub.io/v1alpha1\nkind: Test\ntests: [{from: a/b, to: 'a/b:1', expect: yes}]"),
    (Shown.TEST, "apiVersion: smihub.io/v1alpha1\nkind: Test\ntests: [{from: a/b, to: 'a/b:1', expect: {a: -1}}]"),
    (Shown.TEST, "apiVersion: smihub.io/v1alpha1\nkind: Test\ntests: []"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), BAD)
def test_what_the_reader_refuses_by_its_form_is_bad(of: dict[Shown, Validate], kind: Shown, text: str) -> None:
    """What is missing, and what is of another type."""
    with pytest.raises(fastjsonschema.JsonSchemaException):
        of[kind](yaml.load(text, yaml.CSafeLoader))


@pytest.mark.parametrize(
    ("shape", "level"),
    [(WrittenSpec, workload._SHAPE.body), (WrittenPort, workload._PORT), (WrittenUpstream, workload._UPSTREAM)],
)
def test_the_schema_of_workloads_has_the_fields_that_are_read(shape: type, level: Any) -> None:
    """Decoding does not use it, so this holds them together."""
    assert {info.encode_name for info in msgspec.structs.fields(shape)} == level.known


@pytest.mark.parametrize("name", list(Shown))
def test_schema_prints_json(folder: Folder, name: str) -> None:
    """On stdout, whole, the same each time."""
    result = folder.run("schema", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert result.stdout == folder.run("schema", name).stdout
    assert '"_' not in result.stdout


def test_schema_of_something_else_is_told(folder: Folder) -> None:
    """With what there is."""
    result = folder.run("schema", "mesh")
    assert result.exit_code != 0
    assert "workload" in result.stderr

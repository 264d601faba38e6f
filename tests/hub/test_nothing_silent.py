"""Nothing is silent: whatever is changed in an SMI object or Workload changes native objects, or is a Loss, or a Problem.

Every leaf of a full example of each kind and version is set to another valid value, every node is removed, and every
mapping gets a field that nobody knows. What may stay without effect is listed with its reason, and must stay so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from msgspec import Struct

from hub.explain import Compiled
from hub.smi import KINDS
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.worlds import documents_of
from tests.hub.full_examples import EXAMPLES, OLDER, YOUNGER, Example
from tests.servers.readings import MESHES

pytestmark = pytest.mark.thorough

Path = tuple[str | int, ...]

# ------------------------------------------------------------------------------------------------ what may be silent


class Quiet(Struct, frozen=True):
    """Edits that change nothing, by patterns of mesh, example and edit (several with `|`), and why that is right."""

    mesh: str
    example: str
    edits: str
    why: str

    def covers(self, mesh: str, example: str, edit: str) -> bool:
        """Whether this says that the edit is silent."""
        named = fnmatchcase(mesh, self.mesh) and fnmatchcase(example, self.example)
        return named and any(fnmatchcase(edit, pattern) for pattern in self.edits.split(" | "))


QUIET = (
    Quiet("*", "*", "added metadata | * status*", "Kubernetes' own: only names, labels and age are read there"),
    Quiet("*", "[!W]*", "* metadata.labels* | * metadata.annotations*", "SMI gives them no meaning"),
    Quiet("*", "TrafficTarget-*", "removed *destination.namespace", "the default is the TrafficTarget's own"),
    Quiet("*", "*", "removed *.group | removed *.apiGroup", "the default is the group that is written"),
    Quiet("i*", "TrafficTarget-*-http", "set metadata.name", "rules do not name the TrafficTarget"),
    Quiet("l*", "TrafficTarget-v1alpha[12]-http", "set metadata.name", "rules do not name the TrafficTarget"),
    Quiet("[il]*", "TrafficTarget-v1alpha[12]-raw", "set metadata.name", "rules do not name the TrafficTarget"),
    Quiet("[il]*", "TrafficSplit-v1alpha[34]", "set metadata.name", "routes do not name the TrafficSplit"),
    Quiet("*", "HTTPRouteGroup-*-condition", "set spec.matches.?.name", "a condition is all matches of its group"),
    Quiet("*", "TrafficTarget-v1alpha3-*", "set apiVersion", "v1alpha4 says all of this alike"),
    Quiet("*", "HTTPRouteGroup-v1alpha[13]", "set apiVersion", "the next version says all of this alike"),
    Quiet("*", "TCPRoute-v1alpha[123]", "set apiVersion", "the next version says all of this alike"),
    Quiet("*", "TrafficSplit-v1alpha[23]", "set apiVersion", "the next version says all of this alike"),
    Quiet("*", "TrafficSplit-v1alpha[12]", "removed *.creationTimestamp", "without one it is the oldest, too"),
    Quiet("*", "TCPRoute-v1alpha3", "removed spec", "an empty one says as little"),
    Quiet(
        "*", "UDPRoute-*", "removed spec* | set spec*", "no mesh carries UDP: the grant is a Loss, whatever its ports"
    ),
    Quiet("*", "Workload-*", "removed spec.ports.0.protocol", "the default is TCP"),
    Quiet("[il]*", "Workload-*", "set metadata.name", "objects select by labels"),
    Quiet(
        "[il]*",
        "Workload-*",
        "set spec.addresses* | * spec.bind | * spec.ports.?.app[AP][do]*",
        "endpoints are the mesh's own",
    ),
    Quiet("[il]*", "Workload-*", "removed spec.upstreams | removed spec.upstreams.?", "an upstream needs no object"),
    Quiet(
        "[il]*",
        "Workload-*",
        "set *.?.service | * spec.upstreams.0.address | * *.localPort",
        "an upstream needs no object",
    ),
)

# ------------------------------------------------------------------------------------------------ edits

SENTINELS: Mapping[str, Any] = {
    "methods": "PUT",
    "protocol": "UDP",
    "weight": "7",
    "appProtocol": "tcp",
    "addresses": "10.0.0.9",
    "bind": "10.0.0.9",
    "address": "127.0.0.9",
    "appAddress": "127.0.0.9",
}
"""Other valid values, by the name of the field."""
OTHERS: Mapping[str, str] = {
    OLDER: YOUNGER,
    YOUNGER: OLDER,
    "v1": "v3",
    "v2": "v3",
    "d/v1": "d/v2",
    "ServiceAccount": "IdentityBinding",
    "HTTPRouteGroup": "TCPRoute",
    "TCPRoute": "UDPRoute",
    "UDPRoute": "TCPRoute",
    **{f"v1alpha{number}": f"v1alpha{number + 1}" for number in range(1, 5)},
}
"""Other valid values, by the value."""


def edits(document: Any) -> Iterator[tuple[str, Any]]:
    """Every edit, as `how where`, with the document after it."""
    for path, value in _nodes(document, ()):
        where = ".".join(map(str, path))
        if path:
            yield f"removed {where}", _removed(document, path)
        if isinstance(value, dict):
            yield f"added {where}".rstrip(), _with(document, (*path, "sentinel"), 1)
        elif not isinstance(value, list):
            yield f"set {where}", _with(document, path, _another(path, value))


def _nodes(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _nodes(item, (*path, key))


def _another(path: Path, value: Any) -> Any:
    """Another value that is valid there: the next number, one from the lists above, or a longer text."""
    key = next(part for part in reversed(path) if isinstance(part, str))
    if isinstance(value, int):
        return value + 1
    group, slash, version = value.rpartition("/")
    if key == "apiVersion":
        return group + slash + OTHERS[version]
    return OTHERS.get(value) or SENTINELS.get(key) or f"{value}x"


def _with(document: Any, path: Path, value: Any) -> Any:
    changed = deepcopy(document)
    _parent(changed, path)[path[-1]] = value
    return changed


def _removed(document: Any, path: Path) -> Any:
    changed = deepcopy(document)
    del _parent(changed, path)[path[-1]]
    return changed


def _parent(document: Any, path: Path) -> Any:
    for part in path[:-1]:
        document = document[part]
    return document


# ------------------------------------------------------------------------------------------------ effects


@cache
def compiled(example: Example) -> tuple[Compiled, Mapping[str, Compiled]]:
    """The example as it is, and after every edit."""
    others = example.others
    after = {edit: compile_documents(documents_of([value, *others]), Scope()) for edit, value in edits(example.subject)}
    return compile_documents(documents_of([example.subject, *others]), Scope()), after


def effects(made: Compiled, mesh: SinklessMesh) -> tuple[object, ...]:
    """All that proxies and people of a mesh get to see; endpoints only where the hub itself hands them out."""
    translations = translate_units(made.units, mesh).values()
    bodies = {native.ref: native.body for each in translations for native in each.objects}
    losses = [loss for each in translations for loss in each.losses]
    return bodies, losses, made.problems, made.facts.endpoints if mesh.name == "vm" else {}


def silent(example: Example, mesh: SinklessMesh) -> set[str]:
    """The edits that change nothing."""
    base, after = compiled(example)
    before = effects(base, mesh)
    return {edit for edit, made in after.items() if effects(made, mesh) == before}


each_mesh = pytest.mark.parametrize("mesh", MESHES, ids=[mesh.name for mesh in MESHES])
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])


@each_mesh
@each_example
def test_every_edit_shows_but_for_those_listed(mesh: SinklessMesh, example: Example) -> None:
    """No edit is silent without a reason, and none that has a reason shows."""
    found = silent(example, mesh)
    listed = {
        edit for edit in compiled(example)[1] if any(each.covers(mesh.name, example.name, edit) for each in QUIET)
    }
    assert (found - listed, listed - found) == (set(), set())


@pytest.mark.parametrize("quiet", QUIET, ids=[quiet.why for quiet in QUIET])
def test_every_reason_is_about_something(quiet: Quiet) -> None:
    """Each pattern of the list covers an edit of some example."""
    names = [
        (mesh.name, example.name, edit) for mesh in MESHES for example in EXAMPLES for edit in compiled(example)[1]
    ]
    for pattern in quiet.edits.split(" | "):
        one = Quiet(quiet.mesh, quiet.example, pattern, quiet.why)
        assert any(one.covers(*name) for name in names), pattern


# ------------------------------------------------------------------------------------------------ are the examples full?


@each_example
def test_examples_are_sound(example: Example) -> None:
    """Nothing is wrong with the document itself, so every edit starts from one that counts."""
    problems = compiled(example)[0].problems
    assert [one for one in problems if one.ref.kind == example.subject["kind"] and one.ref.name != "rival"] == []


def test_every_kind_and_version_has_an_example() -> None:
    """All that smihub reads of SMI, and its own Workload."""
    shown = {(example.subject["kind"], example.subject["apiVersion"]) for example in EXAMPLES}
    ours = {key: kind for key, kind in KINDS.items() if key[0].endswith(("smi-spec.io", "smihub.io"))}
    assert shown == {(name, f"{group}/{version}") for (group, name), kind in ours.items() for version in kind.versions}


def test_examples_have_every_field_of_their_version() -> None:
    """The Problem of an unknown field lists the known ones: some example of that kind and version has each of them."""
    known: dict[tuple[str, ...], set[str]] = {}
    written: dict[tuple[str, ...], set[str]] = {}
    for example in EXAMPLES:
        head = (example.subject["apiVersion"], example.subject["kind"])
        for path, value in _nodes(example.subject, ()):
            place = (*head, *(part for part in path if isinstance(part, str)))
            if isinstance(value, dict):
                written.setdefault(place, set()).update(value)
                known.setdefault(place, set()).update(_known(example, path))
    assert {place: names - written[place] for place, names in known.items() if not names <= written[place]} == {}
    assert sum(map(len, known.values())) > 200


def _known(example: Example, path: Path) -> Iterator[str]:
    """The fields that the decoder offers in place of one that it does not know."""
    where = ".".join(map(str, path))
    for problem in compiled(example)[1][f"added {where}".rstrip()].problems:
        if problem.code == "field.unknown" and problem.remedy.startswith("use one of"):
            yield from re.findall(r'"([^"]+)"', problem.remedy)

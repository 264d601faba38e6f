"""`smihub render`: what the sources mean in a mesh's own words, from nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from hub.model import ObjectRef, Translation, Unit
from hub.plugins import installed_plugins
from hub.reconcile import domains as reconcile
from tests.hub.cli.test_apply import TWO_MESHES, UDP, revisions
from tests.servers.folder import ROUTES, WORKLOADS, Folder, target


def rendered(folder: Folder, *options: str) -> dict[str, Any]:
    """The objects by name, from `-o json`."""
    result = folder.run("render", "vms", "-o", "json", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert set(found) == {"schema", "mesh", "objects", "losses"}
    assert (found["schema"], found["mesh"]) == (2, "vms")
    return {each["object"]: each for each in found["objects"]}


def test_render_makes_no_state(folder: Folder) -> None:
    """It works where nothing was ever applied, and leaves nothing behind."""
    before = sorted(folder.root.rglob("*"))
    assert folder.run("render", "vms").exit_code == 0
    assert sorted(folder.root.rglob("*")) == before


@pytest.mark.thorough
def test_render_when_applied_says_the_same_and_reads_no_state(folder: Folder) -> None:
    """What stands in the mesh, even a damaged state file, makes no difference."""
    first = folder.run("render", "vms").stdout
    folder.run("apply", "--yes")
    for path in (folder.root / ".smihub").iterdir():
        path.write_bytes(b"no database")
    assert folder.run("render", "vms").stdout == first


def test_render_has_the_objects_that_a_first_apply_writes(folder: Folder) -> None:
    """The same names and the same bytes as plan shows for an empty mesh."""
    planned = folder.plan()["meshes"][0]["changes"]
    found = rendered(folder)
    assert {name: each["sha256"] for name, each in found.items()} == {c["object"]: c["sha256"] for c in planned}
    assert {name: each["unit"] for name, each in found.items()} == {c["object"]: c["unit"] for c in planned}
    assert {name: each["from"] for name, each in found.items()} == {c["object"]: c["from"] for c in planned}


def test_render_as_yaml_has_one_document_per_object_with_its_cause(folder: Folder) -> None:
    """Comments name the object, its unit and the objects that it comes from; the body is the native object alone."""
    text = folder.run("render", "vms").stdout
    found = rendered(folder)
    assert list(yaml.load_all(text, yaml.CSafeLoader)) == [each["body"] for each in found.values()]
    heads = [part.splitlines()[:2] for part in text.removeprefix("---\n").split("---\n")]
    assert heads == [[f"# {name}", f"# unit: {each['unit']}"] for name, each in found.items()]
    route = text.partition("# RouteConfiguration/in/shop/api/8080/http\n")[2].partition("---")[0]
    assert "# from: TrafficTarget/shop/api-from-web\n" in route
    assert "/books" in route


@pytest.mark.thorough
def test_render_is_sorted_by_unit_and_the_same_in_every_process(folder: Folder) -> None:
    """Other hash seeds and another order of the sources give the same bytes."""
    first = folder.process("render", "vms", env={"PYTHONHASHSEED": "1"}).stdout
    units = [line for line in first.splitlines() if line.startswith("# unit: ")]
    assert units == sorted(units)
    assert len(set(units)) == 3
    folder.write("workloads.yaml", *reversed(WORKLOADS.split("---\n")))
    assert folder.process("render", "vms", env={"PYTHONHASHSEED": "2"}).stdout == first


def test_render_of_one_unit_has_its_objects_alone(folder: Folder) -> None:
    """All units together are the whole."""
    whole = rendered(folder)
    parts = [rendered(folder, "--unit", unit) for unit in ("access/shop/api", "access/shop/web", "route/shop/api")]
    assert {each["unit"] for each in parts[0].values()} == {"access/shop/api"}
    assert [*parts[0].items(), *parts[1].items(), *parts[2].items()] == list(whole.items())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("vms", "--unit", "access/shop/apo"), 'did you mean "access/shop/api"?'),
        (("vms", "--unit", "\x1b[31m"), "expected access/NS/SERVICEACCOUNT"),
        (("vns",), 'unknown mesh "vns"; did you mean "vms"?'),
    ],
)
def test_render_when_the_name_is_wrong_says_what_there_is(
    folder: Folder, arguments: tuple[str, ...], said: str
) -> None:
    """A misspelt mesh or unit is one line and 1, with nothing on stdout."""
    result = folder.run("render", *arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr
    assert "\x1b" not in result.stderr


def test_render_when_a_file_is_unread_prints_nothing(folder: Folder) -> None:
    """What is missing would be taken for what is not wanted."""
    folder.write("broken.yaml", "kind: Pod\na: [")
    result = folder.run("render", "vms")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "manifests/broken.yaml:" in result.stderr
    assert "nothing is rendered" in result.stderr


def test_render_tells_problems_and_losses_on_stderr(folder: Folder) -> None:
    """What grants nothing is not silent, and stdout stays YAML; with --unit only the losses of that unit are told."""
    folder.write("udp.yaml", UDP)
    folder.write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: UPPER, namespace: shop}\n")
    result = folder.run("render", "vms")
    assert result.exit_code == 0
    assert "proto.udp-not-captured" in result.stderr
    assert "UPPER" in result.stderr
    assert len(list(yaml.load_all(result.stdout, yaml.CSafeLoader))) == 9
    losses = json.loads(folder.run("render", "vms", "-o", "json").stdout)["losses"]
    assert [each["code"] for each in losses] == ["proto.udp-not-captured"]
    assert "proto.udp" not in folder.run("render", "vms", "--unit", "access/shop/web").stderr


def test_render_when_two_units_claim_one_object_prints_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter that names objects badly is refused, naming both units."""
    installed = installed_plugins()
    vm = installed.adapters["vm"]

    def clashing(unit: Unit, config: Any) -> Translation:
        found = vm.translate(unit, config)
        return replace(
            found, objects=tuple(replace(each, ref=ObjectRef("", "Same", "", "one")) for each in found.objects[:1])
        )

    adapters = {"vm": replace(vm, translate=clashing)}
    monkeypatch.setattr(reconcile, "installed_plugins", lambda: replace(installed, adapters=adapters))
    result = folder.run("render", "vms")
    assert (result.exit_code, result.stdout) == (3, "")
    assert 'access/shop/web needs "Same/one", and so does access/shop/api' in result.stderr


@pytest.mark.thorough
def test_render_follows_the_sources_and_not_what_was_applied(folder: Folder) -> None:
    """A changed path is in the object at once; every mesh has its own."""
    folder.config(TWO_MESHES)
    folder.run("apply", "--yes")
    folder.write("routes.yaml", ROUTES.replace("/books", "/b\u00fccher/\u4e2d"))
    folder.write("access.yaml", target("api-from-web"))
    for mesh in ("vms", "others"):
        assert "/b\u00fccher/\u4e2d" in folder.run("render", mesh).stdout
    assert revisions(folder) == {"vms": 1, "others": 1}

"""`--mesh NAME`: some of the meshes, on every verb that is about them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.cli.test_apply import TWO_MESHES, revisions
from tests.hub.cli.test_run import running
from tests.hub.cli.two_domains import Two
from tests.servers.folder import CONFIG, Folder, target

UDP_IN_OTHERS = TWO_MESHES + "accept: [{code: proto.udp-not-captured, mesh: others}]\n"
VERBS = (("check",), ("plan",), ("apply", "--yes"), ("run",), ("render",), ("status",))
CLUSTERS = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}, {path: east, cluster: east}, {path: west, cluster: west}]
meshes:
- {name: east, adapter: vm, cluster: east}
- {name: west, adapter: istio, cluster: west, sink: {path: rendered}}
"""


@pytest.fixture(name="two")
def two_meshes(folder: Folder) -> Folder:
    """A folder with the meshes `vms` and `others`."""
    folder.config(TWO_MESHES)
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_mesh_is_one_line_with_the_one_that_is_meant(two: Folder, verb: tuple[str, ...]) -> None:
    """And 1; nothing was done for those that are known."""
    result = two.run(*verb, "--mesh", "vms", "--mesh", "other")
    assert (result.exit_code, result.stdout) == (1, "")
    assert 'unknown mesh "other"; did you mean "others"?' in result.stderr.replace("\n", " ")
    assert revisions(two) == {}


def test_apply_writes_the_named_meshes_alone(two: Folder) -> None:
    """The other one is neither planned nor shown."""
    result = two.run("apply", "--yes", "--mesh", "others")
    assert (result.exit_code, revisions(two)) == (0, {"others": 1})
    assert "mesh vms" not in result.stdout + result.stderr
    assert two.run("plan", "--mesh", "others").exit_code == 0
    assert two.run("plan", "--mesh", "vms").exit_code == 2
    assert two.run("plan", "--mesh", "vms", "--mesh", "others").exit_code == 2


@pytest.mark.thorough
def test_plan_has_the_named_meshes_alone(two: Folder) -> None:
    """As data."""
    assert [mesh["mesh"] for mesh in two.plan("--mesh", "vms")["meshes"]] == ["vms"]
    assert [mesh["mesh"] for mesh in two.plan()["meshes"]] == ["vms", "others"]


def test_plan_of_some_meshes_says_nothing_of_accepts_for_others(two: Folder) -> None:
    """Whether they are of use shows in the plan of all."""
    two.config(UDP_IN_OTHERS)
    assert "config.accept-unused" in two.run("plan").stderr
    assert "config.accept-unused" not in two.run("plan", "--mesh", "vms").stderr


@pytest.mark.thorough
def test_a_saved_plan_of_some_meshes_writes_these(two: Folder) -> None:
    """And is refused like any other when the sources moved on."""
    assert two.run("plan", "--mesh", "others", "--save", "some.plan").exit_code == 2
    assert two.run("apply", "some.plan", "--yes").exit_code == 0
    assert revisions(two) == {"others": 1}
    two.write("access.yaml", target("api-from-web", matches="orders"))
    two.run("plan", "--mesh", "vms", "--save", "some.plan")
    two.write("access.yaml", target("api-from-web"))
    assert two.run("apply", "some.plan", "--yes").exit_code == 3
    assert revisions(two) == {"others": 1, "vms": 0}


def test_a_saved_plan_has_its_meshes(two: Folder) -> None:
    """They cannot be chosen once more, nor of several domains."""
    two.run("plan", "--save", "all.plan")
    assert "use it with smihub plan --save" in two.run("apply", "all.plan", "--mesh", "vms").stderr


def test_domains_are_chosen_by_their_meshes(tmp_path: Path) -> None:
    """The other domain is not even read."""
    two = Two(tmp_path)
    (tmp_path / "us" / "broken.yaml").write_text("kind: Pod\na: [")
    assert two.run("check").exit_code == 1
    result = two.run("check", "--mesh", "eu/vms")
    assert (result.exit_code, "us" in result.stdout) == (0, False)
    assert two.run("apply", "--yes", "--mesh", "eu/vms").exit_code == 0
    assert not (tmp_path / ".smihub-us").exists()
    assert "remove --mesh" in two.run("plan", "--mesh", "eu/vms", "--save", "x.plan").stderr


def test_check_asks_the_named_meshes_alone(two: Folder) -> None:
    """What another one would refuse is no matter."""
    two.config(CONFIG + "- {name: gitops, adapter: istio, sink: {path: rendered}}\n")
    two.write("routes.yaml", ROUTES_WITH_PATTERN)
    assert two.run("check").exit_code == 3
    assert two.run("check", "--mesh", "gitops").exit_code == 3
    assert two.run("check", "--mesh", "vms").exit_code == 0


ROUTES_WITH_PATTERN = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec: {matches: [{name: books, pathRegex: "/b(oo)+ks", methods: [GET]}]}
"""


def test_a_cluster_without_a_chosen_mesh_counts_for_nothing(folder: Folder) -> None:
    """Its sources are read, and their facts are of no mesh that is planned."""
    folder.config(CLUSTERS)
    for name in ("east", "west"):
        (folder.root / name).mkdir()
        (folder.root / name / "workloads.yaml").write_text((folder.manifests / "workloads.yaml").read_text())
    folder.remove("workloads.yaml")
    assert folder.run("apply", "--yes", "--mesh", "east").exit_code == 0
    assert revisions(folder) == {"east": 1}
    assert folder.run("plan").exit_code == 2


def test_render_without_a_mesh_prints_all_of_them(two: Folder) -> None:
    """Each object says of which mesh it is; as data they are a list."""
    text = two.run("render").stdout
    alone = two.run("render", "vms").stdout
    assert "# mesh: vms\n" in text
    assert text.count("---\n") == 2 * alone.count("---\n")
    assert "# mesh:" not in alone
    found = json.loads(two.run("render", "-o", "json", "--mesh", "others").stdout)
    assert [mesh["mesh"] for mesh in found["meshes"]] == ["others"]
    assert found["meshes"][0]["objects"]


def test_render_of_a_unit_that_one_cluster_has(folder: Folder) -> None:
    """Of the others nothing is said."""
    folder.config(CLUSTERS)
    for name in ("east", "west"):
        (folder.root / name).mkdir()
    (folder.root / "east" / "workloads.yaml").write_text((folder.manifests / "workloads.yaml").read_text())
    (folder.root / "west" / "workloads.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: x}\n")
    folder.remove("workloads.yaml")
    text = folder.run("render", "--unit", "route/shop/api").stdout
    assert "# mesh: east\n" in text
    assert "# mesh: west\n" not in text


def test_render_takes_one_way_to_name_a_mesh(two: Folder) -> None:
    """Both would leave open which is meant."""
    result = two.run("render", "vms", "--mesh", "others")
    assert (result.exit_code, result.stdout) == (1, "")


def test_status_shows_the_named_meshes_alone(two: Folder) -> None:
    """As data."""
    two.run("apply", "--yes")
    found = json.loads(two.run("status", "-o", "json", "--mesh", "others").stdout)
    assert [mesh["mesh"] for mesh in found["meshes"]] == ["others"]


@pytest.mark.thorough
def test_run_plans_and_serves_the_named_meshes_alone(two: Folder) -> None:
    """The other one is left as it is, and its state is not made."""
    with running(two, "--mesh", "others") as hub:
        hub.until("plan_applied")
        assert revisions(two) == {"others": 1}

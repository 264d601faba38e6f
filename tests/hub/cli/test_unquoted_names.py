"""A name that loses its quotes and is a number, a boolean or null for YAML makes its object broken; it revokes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.sources.scalars import is_read_as
from tests.servers.folder import CONFIG, ROUTES, WORKLOADS, Folder, target

pytestmark = pytest.mark.thorough

BOOKS, ORDERS = "shop/web -> shop/api:* GET /books", "shop/web -> shop/api:* POST /orders"
MESHES = {"vm": "{name: vms, adapter: vm}", "istio": "{name: istio, adapter: istio, sink: {path: rendered}}"}


@pytest.fixture(name="folder", params=MESHES)
def make_folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    """A folder of Workloads and routes, without TrafficTargets."""
    folder = Folder(tmp_path)
    folder.config(CONFIG.replace(MESHES["vm"], MESHES[request.param]) + f"owner: '{'0' * 32}'\n")
    folder.write("workloads.yaml", WORKLOADS)
    folder.write("routes.yaml", ROUTES)
    return folder


def planned(folder: Folder, *options: str) -> dict[str, Any]:
    """The plan of the mesh."""
    (mesh,) = folder.plan(*options)["meshes"]
    return dict(mesh)


@pytest.mark.parametrize("name", ["true", "false", "null", "31", "0x1f", "1e3", "1.10", "1.5"])
def test_a_name_without_its_quotes_keeps_what_was_granted(folder: Folder, name: str) -> None:
    """Its gains wait, `plan` names it and ends with 1, and with its quotes back it counts again."""
    folder.write("access.yaml", target(f'"{name}"'))
    assert folder.run("apply", "--yes").exit_code == 0
    folder.write("access.yaml", target(name, matches="books, orders"))
    mesh = planned(folder)
    assert mesh["recalled"] == [f"TrafficTarget/shop/{name}"]
    assert (mesh["newlyAllowed"], mesh["newlyDenied"]) == ([], [])
    result = folder.run("plan")
    assert result.exit_code == 1
    assert "manifests/access.yaml:3" in result.stderr + result.stdout
    assert "name.invalid" in result.stderr + result.stdout
    assert folder.run("apply", "--yes").exit_code == 1
    folder.write("access.yaml", target(f'"{name}"', matches="books, orders"))
    assert planned(folder)["newlyAllowed"] == [ORDERS]


def test_what_else_is_revoked_beside_it_is_revoked(folder: Folder) -> None:
    """Another TrafficTarget of the same file."""
    folder.write("access.yaml", target('"1e3"'), target("other", matches="orders"))
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("1e3"))
    assert planned(folder)["newlyDenied"] == [ORDERS]


def test_a_route_group_without_its_quotes(folder: Folder) -> None:
    """What refers to it still means it."""
    group = ROUTES.replace("name: routes", 'name: "true"')
    folder.write("routes.yaml", group)
    folder.write("access.yaml", target("a").replace("name: routes", 'name: "true"'))
    folder.run("apply", "--yes")
    folder.write("routes.yaml", group.replace('"true"', "true"))
    mesh = planned(folder)
    assert (mesh["recalled"], mesh["newlyDenied"]) == (["HTTPRouteGroup/shop/true"], [])


def test_it_is_let_go_where_that_is_accepted(folder: Folder) -> None:
    """As any other broken object."""
    folder.write("access.yaml", target('"1e3"'))
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("1e3"))
    assert planned(folder, "--accept", "broken-object")["newlyDenied"] == [BOOKS]


@pytest.mark.parametrize("now", [target("1001"), target("a"), ROUTES.replace("name: routes", "name: 1e3"), ""])
def test_nothing_else_is_taken_for_it(folder: Folder, now: str) -> None:
    """Another number, another name, another kind, and nothing at all: the object is gone, and so is what it granted."""
    folder.write("access.yaml", target('"1e3"'))
    folder.run("apply", "--yes")
    folder.write("access.yaml", now.replace("[books]", "[orders]"))
    assert planned(folder)["newlyDenied"] == [BOOKS]


def test_one_that_is_readable_elsewhere_counts_as_it_is_there(folder: Folder) -> None:
    """It was moved, and a copy without quotes is left behind."""
    folder.write("access.yaml", target('"1e3"'))
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("1e3"))
    folder.write("moved.yaml", target('"1e3"', matches="orders"))
    mesh = planned(folder)
    assert (mesh["newlyDenied"], mesh["recalled"]) == ([BOOKS], [])


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [("1e3", 1000.0, True), ("1", True, False), ("1", 1.0, False), ("true", "true", True), ("0x1f", 31, True), ("a", 1, False)],
)  # fmt: skip
def test_a_text_is_read_as_one_value(text: str, value: object, same: bool) -> None:  # noqa: FBT001 - a column
    """Of one type."""
    assert is_read_as(text, value) == same

"""Why somebody gains or loses: the object that came, changed or went since the last apply, with its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.folder import ROUTES, WORKLOADS, Folder, shop, target

BOOKS = "      - shop/web -> shop/api:* GET /books"


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder in which `web` may GET /books from `api`, applied."""
    folder = shop(tmp_path)
    assert folder.run("apply", "--yes").exit_code == 0
    return folder


def because(folder: Folder, row: str) -> str:
    """The cause under which a row stands."""
    lines = folder.run("plan").stdout.splitlines()
    at = lines.index(row)
    return next(each for each in reversed(lines[:at]) if each.startswith("    because")).strip()


def test_a_target_that_went_is_named_with_the_file_in_which_it_stood(folder: Folder) -> None:
    """The file is gone; the memory of the last apply has its name."""
    folder.remove("access.yaml")
    assert because(folder, BOOKS) == "because TrafficTarget/shop/api-from-web was removed (manifests/access.yaml)"


def test_a_target_that_went_while_another_grants_the_same_changes_nothing(folder: Folder) -> None:
    """Nobody loses, so nothing is told."""
    folder.write("other.yaml", target("other"))
    folder.run("apply", "--yes")
    folder.remove("access.yaml")
    assert "newly denied" not in folder.run("plan").stdout


@pytest.mark.thorough
def test_a_route_group_that_changed_is_named_and_not_the_target_that_names_it(folder: Folder) -> None:
    """The TrafficTarget is as it was."""
    folder.write("routes.yaml", ROUTES.replace("/books", "/tomes"))
    assert because(folder, BOOKS) == "because HTTPRouteGroup/shop/routes was changed (manifests/routes.yaml:1)"
    gain = "      + shop/web -> shop/api:* GET /tomes"
    assert because(folder, gain) == "because HTTPRouteGroup/shop/routes was changed (manifests/routes.yaml:1)"


def test_a_port_that_declares_something_else_is_told_as_that(folder: Folder) -> None:
    """No TrafficTarget and no route changed."""
    folder.write("workloads.yaml", WORKLOADS.replace("appProtocol: http", "appProtocol: tcp"))
    assert because(folder, BOOKS) == "because the ports of ServiceAccount/shop/api or their protocols changed"


def test_of_two_changes_each_permit_has_its_own(folder: Folder) -> None:
    """What the one TrafficTarget brings is not told as brought by the other."""
    folder.write("more.yaml", target("late", source="late"))
    folder.remove("access.yaml")
    assert because(folder, "      + shop/late -> shop/api:* GET /books") == (
        "because TrafficTarget/shop/late was added (manifests/more.yaml:1)"
    )
    assert because(folder, BOOKS) == "because TrafficTarget/shop/api-from-web was removed (manifests/access.yaml)"


def test_as_data_each_gain_and_loss_has_its_causes(folder: Folder) -> None:
    """Object, what became of it, source, file and line."""
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    mesh = folder.plan()["meshes"][0]
    cause = {
        "object": "TrafficTarget/shop/api-from-web",
        "change": "changed",
        "source": "manifests",
        "file": "access.yaml",
        "line": 1,
    }
    assert [each["because"] for each in (*mesh["gains"], *mesh["revokes"])] == [[cause], [cause]]

"""`smihub show FILE`: a saved plan as it was reviewed, and what changed if it does not hold any more."""

from __future__ import annotations

import json

import pytest

from tests.hub.cli.test_losses import lossy
from tests.servers.folder import CONFIG, ROUTES, Folder, target
from tests.servers.saved import save


@pytest.mark.thorough
@pytest.mark.parametrize("options", [(), ("-v",), ("-o", "markdown")])
def test_a_saved_plan_is_shown_as_it_was_reviewed(folder: Folder, options: tuple[str, ...]) -> None:
    """Word for word, with the lines of files, the losses and the problems; and without any configuration."""
    lossy(folder)
    folder.write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: UPPER, namespace: shop}\n")
    planned = folder.run("plan", *options)
    save(folder)
    shown = folder.run("show", "review.plan", *options)
    assert (shown.exit_code, shown.stdout) == (0, planned.stdout)
    assert "manifests/routes.yaml:7" in shown.stdout
    for name in ("smihub.yaml", "manifests"):
        (folder.root / name).rename(folder.root / f"{name}.away")
    alone = folder.run("show", "review.plan", *options)
    assert (alone.exit_code, alone.stdout) == (0, planned.stdout)


def test_problems_and_what_was_accepted_are_shown(folder: Folder) -> None:
    """On stderr, as by plan; and that nobody can tell where there is no configuration."""
    lossy(folder)
    folder.write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: UPPER, namespace: shop}\n")
    save(folder, "--accept", "istio.path-not-expressible")
    shown = folder.run("show", "review.plan")
    assert "UPPER" in shown.stderr
    assert "mesh east: accepted when it was saved: istio.path-not-expressible" in shown.stderr
    (folder.root / "smihub.yaml").unlink()
    assert "it is unknown whether this plan is still valid" in folder.run("show", "review.plan").stderr


@pytest.mark.parametrize("verb", ["show", "apply"])
def test_a_plan_that_is_stale_says_which_objects_changed(folder: Folder, verb: str) -> None:
    """What was added, changed and removed in the sources, with their files."""
    save(folder)
    folder.write("routes.yaml", ROUTES.replace("/books", "/tomes"))
    folder.write("more.yaml", target("late", source="late"))
    folder.remove("access.yaml")
    result = folder.run(verb, "review.plan", *(("--yes",) if verb == "apply" else ()))
    said = next(each for each in (result.stdout + result.stderr).splitlines() if "sources have changed" in each)
    assert result.exit_code == 3
    assert (
        "the sources have changed since this plan was saved: "
        "TrafficTarget/shop/api-from-web was removed (manifests/access.yaml), "
        "TrafficTarget/shop/late was added (manifests/more.yaml), "
        "HTTPRouteGroup/shop/routes was changed (manifests/routes.yaml); plan again"
    ) in said


@pytest.mark.thorough
@pytest.mark.parametrize("verb", ["show", "apply"])
def test_a_plan_whose_mesh_changed_says_what_and_by_whom(folder: Folder, verb: str) -> None:
    """The objects of the mesh that are other, and who wrote it, as far as that is on record."""
    save(folder)
    folder.run("apply", "--yes")
    result = folder.run(verb, "review.plan", *(("--yes",) if verb == "apply" else ()))
    said = result.stdout + result.stderr
    assert result.exit_code == 3
    assert 'mesh "vms" has changed since this plan was saved: Cluster/app/shop/api/127.0.0.1:8080 was added, ' in said
    assert "with smihub apply at 20" in said


def test_all_that_moved_is_told_at_once(folder: Folder) -> None:
    """A mesh and the sources."""
    save(folder)
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    stale = json.loads(folder.run("show", "review.plan", "-o", "json").stdout)["saved"]
    assert (stale["holds"], stale["stale"]["mesh"]) == (False, None)
    assert 'mesh "vms" has changed' in stale["stale"]["message"]
    moved = {each["object"]: each for each in stale["stale"]["objects"]}
    assert moved["TrafficTarget/shop/api-from-web"]["change"] == "changed"
    assert moved["TrafficTarget/shop/api-from-web"]["file"] == "access.yaml"


def test_a_folder_that_somebody_edits_is_named_file_by_file(folder: Folder) -> None:
    """Nobody is on record there, and that is said."""
    lossy(folder)
    folder.run("apply", "--yes")
    save(folder)
    written = next((folder.root / "rendered").rglob("*.yaml"))
    written.write_text(written.read_text().replace("smihub-", "smihub-x"), encoding="utf-8")
    shown = folder.run("show", "review.plan")
    assert shown.exit_code == 3
    assert 'mesh "east" has changed since this plan was saved: ' in shown.stdout
    assert "by whom is not on record here" in shown.stdout


def test_markdown_of_a_stale_plan_says_so_first(folder: Folder) -> None:
    """Who reads the pull request need not read to the end."""
    save(folder)
    folder.config(CONFIG.replace("cluster.local", "other.local"))
    result = folder.run("show", "review.plan", "-o", "markdown")
    assert result.exit_code == 3
    assert "**This plan is stale:** it will not be applied." in result.stdout.splitlines()[2]
    assert "another configuration (domain.trustDomain)" in result.stdout


def test_a_file_that_is_no_saved_plan_is_refused(folder: Folder) -> None:
    """As apply refuses it."""
    (folder.root / "review.plan").write_text("{}")
    assert folder.run("show", "review.plan").exit_code == 3
    assert folder.run("show", "nothing.plan").exit_code == 1

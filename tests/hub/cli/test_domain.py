"""A domain of another name than the default: every mesh knows its own units again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.sinks.istio_shop import bound, config, istio_shop
from tests.servers.folder import CONFIG, ROUTES, Folder, shop, target, workload

PROD = ("trustDomain: cluster.local", "name: prod, trustDomain: cluster.local")


def vm_shop(root: Path) -> Folder:
    """The shop on VMs, in the domain `prod`."""
    folder = shop(root)
    folder.config(CONFIG.replace(*PROD))
    return folder


def istio_prod(root: Path, governed: str = "targets") -> Folder:
    """The shop on Istio, in the domain `prod`."""
    folder = istio_shop(root)
    folder.config(config(governed).replace(*PROD))
    return folder


@pytest.mark.parametrize("made", [vm_shop, istio_prod])
def test_a_plan_after_an_apply_says_no_changes(tmp_path: Path, made: Callable[[Path], Folder]) -> None:
    """What was written is known as that of the unit which the sources still have."""
    folder = made(tmp_path)
    assert folder.run("apply", "--yes").exit_code == 0
    again = folder.run("plan")
    assert (again.exit_code, "no changes" in again.stdout) == (0, True), again.output


@pytest.mark.thorough
@pytest.mark.parametrize("made", [vm_shop, istio_prod])
def test_a_revocation_is_one_of_the_same_unit(tmp_path: Path, made: Callable[[Path], Folder]) -> None:
    """Who loses is told, and nobody is told as new."""
    folder = made(tmp_path)
    folder.run("apply", "--yes")
    folder.remove("access.yaml")
    result = folder.run("apply", "--yes")
    assert result.exit_code == 0
    assert "newly denied (1)" in result.stdout
    assert "newly allowed" not in result.stdout
    assert "newly governed" not in result.stdout


ASKED = ("explain", "--from", "shop/web", "--to", "shop/api:80", "--path")


def test_explain_knows_what_the_mesh_governs_on(tmp_path: Path) -> None:
    """A mesh in a narrower scope governs on what it governed once, in any domain."""
    folder = istio_prod(tmp_path)
    folder.run("apply", "--yes")
    folder.remove("access.yaml")
    result = folder.run(*ASKED, "/books")
    assert "mesh istio: deny" in result.stdout, result.stdout


def test_explain_names_the_loss_of_the_unit_that_was_asked(tmp_path: Path) -> None:
    """A mesh that is narrower says why, in any domain."""
    folder = istio_prod(tmp_path)
    folder.write("routes.yaml", ROUTES.replace("/books", '"/books/[0-9]+"'))
    result = folder.run(*ASKED, "/books/1")
    assert "differs from SMI" in result.stdout
    assert "the reason is unknown" not in result.stdout, result.stdout


@pytest.mark.thorough
@pytest.mark.parametrize("made", [vm_shop, istio_prod])
def test_another_name_for_the_domain_changes_nothing(tmp_path: Path, made: Callable[[Path], Folder]) -> None:
    """Also what is governed only because it once was; and what is released or revoked then is gone for good."""
    folder = made(tmp_path)
    folder.write("late.yaml", bound("late"), workload("late", 1), target("late", "late"))
    folder.run("apply", "--yes")
    folder.remove("late.yaml")
    folder.run("apply", "--yes")
    text = (tmp_path / "smihub.yaml").read_text()
    for name in ("eu", "default", "us"):
        folder.config(text.replace("name: prod", f"name: {name}"))
        result = folder.run("plan")
        assert (result.exit_code, "no changes" in result.stdout) == (0, True), result.output
        folder.write("access.yaml", target("api-from-web", matches="orders" if name != "default" else "books"))
        result = folder.run("apply", "--yes")
        assert (result.exit_code, "newly governed" in result.stdout) == (0, False)
        assert "newly allowed (1)" in result.stdout
        assert "newly denied (1)" in result.stdout
        assert folder.run("plan").exit_code == 0
    released = ("release", "istio" if made is istio_prod else "vms", "access/shop/late", "--delete", "--yes")
    assert folder.run(*released).exit_code == 0
    assert "no changes" in folder.run("plan").stdout
    assert "does not govern access/shop/late" in folder.run(*released).stderr

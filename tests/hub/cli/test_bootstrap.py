"""`smihub bootstrap`: what a Workload's Envoy starts from."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.servers.folder import CONFIG, Folder


def test_bootstrap_writes_private_files_and_prints_the_command(folder: Folder) -> None:
    """Only the command goes to stdout, so that a script can run it; the files are for their user alone."""
    folder.run("apply", "--yes")
    result = folder.run("bootstrap", "shop/web-1")
    made = folder.root / "shop-web-1"
    assert result.exit_code == 0
    assert {"envoy.json", "token"} <= {path.name for path in made.iterdir()}
    assert {oct(path.stat().st_mode & 0o777) for path in made.iterdir()} == {"0o600"}
    command = shlex.split(result.stdout)
    assert command[4] == str(made / "denials.jsonl")
    assert Path(command[5]).name == "envoy"
    assert str(made / "envoy.json") in command
    json.loads((made / "envoy.json").read_text())
    assert (made / "token").read_text().strip() not in result.stdout + result.stderr


def test_bootstrap_keeps_the_token_unless_it_is_told_to_rotate(folder: Folder) -> None:
    """A second bootstrap does not cut off a running Envoy; --rotate does."""
    folder.run("apply", "--yes")
    token = folder.root / "out" / "token"
    folder.run("bootstrap", "shop/web-1", "--out", "out")
    first = token.read_bytes()
    folder.run("bootstrap", "shop/web-1", "--out", "out", "--sotw")
    second = token.read_bytes()
    folder.run("bootstrap", "shop/web-1", "--out", "out", "--rotate")
    assert first == second
    assert first != token.read_bytes()


def test_bootstrap_sotw_differs_from_delta(folder: Folder) -> None:
    """The way in which Envoy speaks is in its bootstrap."""
    folder.run("apply", "--yes")
    folder.run("bootstrap", "shop/web-1", "--out", "out")
    delta = (folder.root / "out" / "envoy.json").read_text()
    folder.run("bootstrap", "shop/web-1", "--out", "out", "--sotw")
    assert "DELTA_GRPC" in delta
    assert "DELTA_GRPC" not in (folder.root / "out" / "envoy.json").read_text()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shop/web-2",), 'did you mean "shop/web-1"?'),
        (("nobody",), "run smihub apply"),
        (("shop/web-1", "--mesh", "other"), "use one of vms"),
        (("shop/web-1", "--envoy", "none"), "none"),
        (("shop/web-1", "--out", "smihub.yaml"), "smihub.yaml"),
    ],
)
def test_bootstrap_when_asked_wrongly_is_one_line(folder: Folder, arguments: tuple[str, ...], said: str) -> None:
    """An unknown Workload, mesh, binary, or a file where the folder should be."""
    folder.run("apply", "--yes")
    result = folder.run("bootstrap", *arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr


@pytest.mark.thorough
def test_bootstrap_with_two_meshes_wants_one_named(folder: Folder) -> None:
    """Nothing is guessed."""
    folder.config(CONFIG + "- {name: others, adapter: vm}\n")
    folder.run("apply", "--yes")
    assert "use one of vms, others" in folder.run("bootstrap", "shop/web-1").stderr
    assert folder.run("bootstrap", "shop/web-1", "--mesh", "others").exit_code == 0


def test_bootstrap_without_a_mesh_that_serves_says_which_adapter_does(folder: Folder) -> None:
    """Instead of a list of no names."""
    folder.config(CONFIG.replace("adapter: vm", "adapter: istio, sink: {path: rendered}"))
    result = folder.run("bootstrap", "shop/web-1")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: no mesh of the configuration serves Envoys; bootstrap is for a mesh with adapter: vm\n"
    )

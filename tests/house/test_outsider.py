"""A distribution of somebody else's: typed against the editable install, found through the entry-point group, and at work.

It brings a mesh, its sink, a kind of source and a verb, and imports `hub.api` alone.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.cli.test_run import running
from tests.servers.folder import ROUTES, Folder, target

pytestmark = pytest.mark.thorough
OUTSIDER = Path(__file__).parent / "outsider"
CONFIG = """\
domain: {trustDomain: example.org}
sources:
- {kind: roster, path: people.txt}
- {path: manifests}
meshes:
- {name: walls, adapter: outsider, config: {colour: red}, sink: {place: standing.json}}
- {name: vms, adapter: vm}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package, away from this repository, so that nothing is found by chance."""
    return Path(shutil.copytree(OUTSIDER, tmp_path / "package"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package."""
    base = tmp_path_factory.mktemp("outsider")
    package = shutil.copytree(OUTSIDER, base / "package")
    quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(base / "site"), str(package)]
    subprocess.run(command, cwd=base, capture_output=True, text=True, check=True)
    return base / "site"


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A roster of two, and one TrafficTarget between them; the package is installed for all processes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    folder = Folder(tmp_path)
    folder.config(CONFIG)
    folder.write("access.yaml", ROUTES, target("api-from-web"))
    (tmp_path / "people.txt").write_text("shop/api shop/web\n", encoding="utf-8")
    return folder


def test_an_outsider_passes_strict_type_checks(package: Path, tmp_path: Path) -> None:
    """`hub.api` is typed for those who install it, and its words are not `Any`."""
    (package / "outsider_mesh" / "wrong.py").write_text("from hub.api import Answer\nAnswer(5)\n", encoding="utf-8")
    cache = f"--cache-dir={tmp_path / 'cache'}"
    mypy = [sys.executable, "-m", "mypy", "--strict", cache, "outsider_mesh"]
    done = subprocess.run(mypy, cwd=package, capture_output=True, text=True, check=False)
    wrong, summary = done.stdout.splitlines()
    assert wrong.startswith('outsider_mesh/wrong.py:2: error: Argument 1 to "Answer" has incompatible type')
    assert summary == "Found 1 error in 1 file (checked 7 source files)"


def test_an_outsider_imports_hub_api_alone() -> None:
    """Of the hub; nothing else is promised to stay."""
    files = (OUTSIDER / "outsider_mesh").glob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    found = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    found |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in found if name and name.split(".")[0] in {"hub", "adapters"}} == {"hub.api"}


def test_what_an_outsider_brings_works_through_the_command(folder: Folder) -> None:
    """Its source is read, its mesh planned, judged and written beside ours, and its verb tells what stands."""
    assert folder.process("check").stdout.startswith("0 errors")
    assert "outsider" in folder.process("features").stdout.splitlines()[0].split()
    planned = folder.process("plan", "-o", "json")
    walls = next(row for row in json.loads(planned.stdout)["meshes"] if row["mesh"] == "walls")
    assert [(each["op"], each["object"]) for each in walls["changes"]] == [
        ("create", "Wall/shop/api"),
        ("create", "Wall/shop/web"),
    ]
    assert planned.returncode == 3
    assert "outsider.no-door" in folder.process("plan").stdout
    assert folder.process("apply", "--yes", "--accept", "outsider.no-door").returncode == 0
    assert folder.process("plan", "--accept", "outsider.no-door").returncode == 0
    told = folder.process("walls", "shop")
    assert (told.returncode, told.stdout) == (0, "walls: Wall/shop/api\nwalls: Wall/shop/web\n")
    assert told.stderr == "note: 1 mesh with walls\n"
    assert folder.process("walls", "pay").stdout == "walls: none\n"
    assert "Example: smihub walls shop" in folder.process("walls", "--help").stdout
    asked = folder.process("explain", "--from", "shop/web", "--to", "shop/api:80").stdout
    assert "mesh walls: deny" in asked


def test_run_follows_what_an_outsider_brings(folder: Folder) -> None:
    """Who comes onto the roster gets a wall; a roster that is gone takes no wall away."""
    with running(folder, "--accept", "outsider.no-door") as hub:
        while hub.until("plan_applied")["mesh"] != "walls":
            pass
        (folder.root / "people.txt").write_text("shop/api shop/web shop/db\n", encoding="utf-8")
        while hub.until("plan_applied")["mesh"] != "walls":
            pass
        assert folder.process("walls").stdout.count("Wall/") == 3
        (folder.root / "people.txt").unlink()
        assert "cannot be read" in hub.until("source_unread")["reason"]
        assert hub.end()[0] == 0
    assert folder.process("walls").stdout.count("Wall/") == 3


def test_mistakes_in_what_an_outsider_brings_are_told_like_ours(folder: Folder) -> None:
    """With file, line and the nearest field."""
    folder.config(CONFIG.replace("{kind: roster, path", "{kind: roster, pth"))
    assert 'smihub.yaml:3: sources[0].pth: unknown field; did you mean "path"?' in folder.process("check").stderr
    folder.config(CONFIG.replace("colour", "color"))
    assert (
        'smihub.yaml:6: meshes[0].config.color: unknown field; did you mean "colour"?' in folder.process("check").stderr
    )
    folder.config(CONFIG.replace("place:", "plce:"))
    assert "smihub.yaml:6: meshes[0].sink.plce: " in folder.process("check").stderr
    folder.config(
        CONFIG.replace(
            "- {name: walls", "- {name: more, adapter: outsider, sink: {place: standing.json}}\n- {name: walls"
        )
    )
    assert 'standing.json" is also used by mesh "more"; give each mesh its own' in folder.process("check").stderr

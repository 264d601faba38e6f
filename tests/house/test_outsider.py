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
    assert summary == "Found 1 error in 1 file (checked 8 source files)"


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


def test_an_outsider_asks_for_annotations_of_its_own(folder: Folder) -> None:
    """A template without it is refused; with it, it is a workload as any other, and what else it is annotated with says nothing."""
    folder.config(CONFIG.replace("colour: red", "colour: red, gate: shut"))
    template = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec: {template: {metadata: {annotations: {ANNOTATIONS}}, spec: {serviceAccountName: api, containers: []}}}
"""
    planned = ("plan", "--mesh", "walls", "--accept", "outsider.no-door")
    for written, code in (
        ("a.example/gate: shut", 3),
        ("outsider.example/gate: ajar", 3),
        ("outsider.example/gate: shut, a: b", 2),
    ):
        folder.write("api.yaml", template.replace("ANNOTATIONS", written))
        told = folder.process(*planned)
        assert told.returncode == code, told.stdout
        assert ('add "outsider.example/gate: shut" to spec.template.metadata.annotations' in told.stdout) == (code == 3)


def test_run_follows_what_an_outsider_brings(folder: Folder) -> None:
    """Who comes onto the roster gets a wall; a roster that is gone takes no wall away."""
    with running(folder, "--accept", "outsider.no-door") as hub:
        hub.until("plan_applied", mesh="walls")
        (folder.root / "people.txt").write_text("shop/api shop/web shop/db\n", encoding="utf-8")
        hub.until("plan_applied", mesh="walls")
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


FILES = CONFIG.replace("sink: {place: standing.json}", "sink: {kind: directory, path: rendered}")
ACCEPT = ("--yes", "--accept", "outsider.no-door")
API_FILE = """\
# Generated by smihub for mesh "walls". Do not edit: the next apply writes it anew.
# unit: access/shop/api
"""


def wall(folder: Folder, name: str = "api") -> Path:
    """The file of a wall."""
    return folder.root / "rendered" / "objects" / f"shop_{name}.toml"


def test_the_directory_sink_writes_what_an_outsider_brings(folder: Folder) -> None:
    """In its own form, under its own names, listed, with our mark; what `render` shows is what stands there."""
    folder.config(FILES)
    rendered = folder.process("render", "walls")
    assert "# Wall/shop/api\n# unit: access/shop/api\n" in rendered.stdout
    assert rendered.stdout.count("colour: red\n") == 2
    assert folder.process("apply", *ACCEPT).returncode == 0
    text = wall(folder).read_text()
    assert text.startswith(API_FILE)
    assert 'name = "api"\nnamespace = "shop"\n[wall]\ncolour = "red"\n[smihub]\ndigest = "sha256:' in text
    listed = (folder.root / "rendered" / "list.yaml").read_text().splitlines()[1:]
    assert listed == [
        "objects:",
        "- objects/shop_api.toml # guard access/shop/api",
        "- objects/shop_web.toml # guard access/shop/web",
    ]
    assert folder.process("plan", *ACCEPT[1:]).returncode == 0
    wall(folder).write_text(text.replace('"red"', '"pink"'))
    assert "colour: pink -> red" in folder.process("plan", "--verbose", *ACCEPT[1:]).stdout
    assert folder.process("apply", *ACCEPT).returncode == 0
    assert wall(folder).read_text() == text


def test_what_an_outsider_brings_is_paused_released_and_adopted(folder: Folder) -> None:
    """By our mark in its files: what is paused or released stays byte for byte as it is, and what is adopted is ours again."""
    folder.config(FILES)
    assert folder.process("apply", *ACCEPT).returncode == 0
    before = wall(folder).read_text()
    assert folder.process("pause", "walls", "Wall/shop/api").returncode == 0
    paused = wall(folder).read_text()
    assert paused == before.replace("paused = false", "paused = true")
    folder.config(FILES.replace("colour: red", "colour: blue"))
    assert folder.process("apply", *ACCEPT).returncode == 0
    assert wall(folder).read_text() == paused
    assert 'colour = "blue"' in wall(folder, "web").read_text()
    folder.config(FILES)
    assert folder.process("resume", "walls", "Wall/shop/api").returncode == 0
    assert folder.process("apply", *ACCEPT).returncode == 0
    assert wall(folder).read_text() == before

    folder.write("access.yaml", ROUTES)
    (folder.root / "people.txt").write_text("shop/web\n", encoding="utf-8")
    assert folder.process("release", "walls", "access/shop/api", "--yes").returncode == 0
    assert wall(folder).read_text() == 'name = "api"\nnamespace = "shop"\n[wall]\ncolour = "red"\n'
    assert "- objects/shop_api.toml\n" in (folder.root / "rendered" / "list.yaml").read_text()
    (folder.root / "people.txt").write_text("shop/api shop/web\n", encoding="utf-8")
    refused = folder.process("plan")
    assert refused.returncode == 3
    assert "guard.foreign-owner" in refused.stdout
    assert "same content, can be adopted" in folder.process("adopt", "walls").stdout
    assert folder.process("adopt", "walls", "Wall/shop/api", "--yes").returncode == 0
    assert "[smihub]" in wall(folder).read_text()
    assert folder.process("plan").returncode == 0


@pytest.mark.parametrize(
    "theirs",
    [
        'name = "api"\nnamespace = "shop"\n[wall]\ncolour = "green"\n',
        'name = "api"\nnamespace = "shop"\n[wall]\ncolour = "red"\n[smihub]\nmesh = "other"\nunit = "access/shop/api"\nrole = "guard"\n',
        'name = "api"\nnamespace = "shop"\n[wall]\ncolour = "red"\n[smihub]\nmesh = "walls"\nowner = "1"\nunit = "access/shop/api"\nrole = "guard"\n',
        "a wall\n",
    ],
)
def test_what_others_have_where_an_outsiders_object_belongs_stays(folder: Folder, theirs: str) -> None:
    """Whatever it is, and whoever marked it: the unit is refused, the file stays as it is, and is not adopted."""
    folder.config(FILES)
    wall(folder).parent.mkdir(parents=True)
    wall(folder).write_text(theirs, encoding="utf-8")
    planned = folder.process("plan", *ACCEPT[1:])
    assert planned.returncode == 3, planned
    assert folder.process("apply", *ACCEPT).returncode == 3
    assert folder.process("adopt", "walls", "Wall/shop/api", "--yes").returncode != 0
    assert wall(folder).read_text() == theirs


def test_a_broken_file_of_an_outsiders_object_stops_the_mesh(folder: Folder) -> None:
    """It is ours, and nobody can tell what it says: nothing is written until somebody looks."""
    folder.config(FILES)
    assert folder.process("apply", *ACCEPT).returncode == 0
    broken = wall(folder).read_text().replace("[wall]", "[wall")
    wall(folder).write_text(broken)
    planned = folder.process("plan", *ACCEPT[1:])
    assert planned.returncode == 1
    assert '"objects/shop_api.toml" is managed by smihub and cannot be read: it is not a wall' in planned.stderr
    assert wall(folder).read_text() == broken

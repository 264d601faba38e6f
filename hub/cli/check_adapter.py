"""The conformance suite on an installed adapter, in a process of its own: pytest on a file that asks for nothing but the adapter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct, json

from hub.errors import ConfigError

_KIT = "hub.testing.conformance.plugin"
_NEEDED = ("pytest", "hypothesis")
_FILE = """\
from pathlib import Path

import pytest

from hub.plugins import installed_plugins
from hub.testing.conformance.judged_file import read_judged

PLUGINS = installed_plugins()
ADAPTER = PLUGINS.adapter({name!r})


@pytest.fixture
def smihub_adapter():
    return ADAPTER


@pytest.fixture
def smihub_requests():
    return read_judged(Path({requests!r}), PLUGINS.family(ADAPTER)) if {requests!r} else ()


@pytest.fixture
def smihub_version():
    return {version!r}
"""


class AdapterCheck(Struct, frozen=True):
    """What is asked of which adapter: how many random worlds, without which checks, and the file of judged requests ("": none)."""

    name: str
    version: str
    worlds: int
    left_out: tuple[str, ...]
    requests: str = ""


class CheckedAdapter(Struct, frozen=True):
    """The certificate of a run, as the kit writes it for people and for programs.

    `failed`: something that was asked does not hold. `passed`: everything was asked, and holds.
    """

    text: str
    data: Mapping[str, Any]
    failed: bool

    @property
    def passed(self) -> bool:
        """What the certificate says."""
        return bool(self.data["passed"]) and not self.failed


def run_suite(check: AdapterCheck) -> CheckedAdapter:
    """Run the suite. Raises ConfigError where it cannot run here."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        raise ConfigError(f"the conformance suite needs {names}; install with: {sys.executable} -m pip install {names}")
    with TemporaryDirectory(prefix="smihub-") as made:
        folder = Path(made)
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        text = _FILE.format(name=check.name, version=check.version, requests=check.requests)
        (folder / "test_adapter.py").write_text(text, encoding="utf-8")
        command, environment = _command(check), _environment()
        # Our own interpreter, on a file of ours, in a folder in which nobody else has put a module.
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        return _read(folder, check.name, done)


def _read(folder: Path, name: str, done: subprocess.CompletedProcess[str]) -> CheckedAdapter:
    try:
        data = json.decode((folder / f"{name}.json").read_bytes(), type=dict[str, Any])
        text = (folder / f"{name}.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        last = (done.stdout + done.stderr).strip().rpartition("\n")[2]
        raise ConfigError(f"the conformance suite did not run (exit code {done.returncode}): {last}") from None
    return CheckedAdapter(text, data, failed=done.returncode != 0)


def _command(check: AdapterCheck) -> Sequence[str]:
    """Nothing but the file is read: no settings and plugins of whatever project this is called in."""
    left_out = [f"--deselect=test_adapter.py::test_conformance[{name}]" for name in check.left_out]
    return (
        *(sys.executable, "-m", "pytest", "-q", "-p", _KIT, "-p", "no:cacheprovider", "-c", "pytest.ini"),
        *(f"--smihub-worlds={check.worlds}", "--smihub-certificates=.", *left_out, "test_adapter.py"),
    )


def _environment() -> dict[str, str]:
    without = {key: text for key, text in os.environ.items() if key not in {"PYTEST_ADDOPTS", "PYTEST_PLUGINS"}}
    searched = [str(Path(each).absolute()) for each in without.get("PYTHONPATH", "").split(os.pathsep) if each]
    return without | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(searched)}

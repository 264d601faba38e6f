"""Loading plugins: each by itself, each failure by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distribution
from pathlib import Path

import pytest

from hub.errors import ConfigError
from hub.plugins import LoadProblem, installed_plugins, load_plugins
from tests.servers.folder import shop

GOOD = """\
from hub.api import AdapterSpec, hookimpl
from msgspec import Struct

class Config(Struct, frozen=True): ...

@hookimpl
def smihub_adapters():
    return [AdapterSpec("{name}", "test", Config, {{}}, None, None)]
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to import from, forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("plug_"):
            del sys.modules[name]


def plugin(folder: Path, name: str, text: str) -> EntryPoint:
    """An entry point whose module has that text."""
    (folder / f"plug_{name}.py").write_text(text, encoding="utf-8")
    return EntryPoint(name, f"plug_{name}", "smihub")


def test_a_broken_plugin_stops_nobody_else(modules: Path) -> None:
    """Whatever a module raises, those before and after it load, and each failure says why."""
    points = [
        plugin(modules, "a", GOOD.format(name="a")),
        plugin(modules, "b", "raise RuntimeError('boom\\nand more')"),
        plugin(modules, "c", "from hub.api import hookimpl\n@hookimpl\ndef smihub_adapters(): return [5]"),
        plugin(modules, "d", GOOD.format(name="a")),
        plugin(modules, "e", "from hub.api import hookimpl\n@hookimpl\ndef smihub_adaptors(): return []"),
        plugin(modules, "f", "import no_such_library"),
        plugin(modules, "z", GOOD.format(name="z")),
    ]
    plugins = load_plugins(points)
    assert sorted(plugins.adapters) == ["a", "z"]
    causes = {problem.plugin: problem.cause for problem in plugins.problems}
    assert causes["b"] == "RuntimeError: boom"
    assert 'returned a "int"' in causes["c"]
    assert 'an adapter named "a" exists already' in causes["d"]
    assert "smihub_adaptors" in causes["e"]
    assert causes["f"] == "ModuleNotFoundError: No module named 'no_such_library'"


SOURCE = """\
from hub.api import SourceSpec, hookimpl
from msgspec import Struct

class Config(Struct, frozen=True): ...

@hookimpl
def smihub_sources():
    return [SourceSpec("{name}", Config, None)]
"""


def test_a_source_comes_by_its_hook(modules: Path) -> None:
    """One of a name that is taken is left out and named; without the plugin there is no source at all."""
    points = [
        plugin(modules, each, SOURCE.format(name=name)) for each, name in (("a", "git"), ("b", "git"), ("c", "s3"))
    ]
    plugins = load_plugins(points)
    assert sorted(plugins.sources) == ["git", "s3"]
    assert [(each.plugin, each.cause) for each in plugins.problems] == [
        ("b", 'ConfigError: a source named "git" exists already')
    ]
    assert load_plugins([]).sources == {}


def test_a_missing_adapter_says_why(modules: Path) -> None:
    """Either what is installed, or what went wrong."""
    plugins = load_plugins([plugin(modules, "a", GOOD.format(name="a")), plugin(modules, "b", "raise OSError('no')")])
    assert plugins.adapter("a").name == "a"
    with pytest.raises(ConfigError, match='unknown adapter "x"; use adapter: a'):
        plugins.adapter("x")
    with pytest.raises(ConfigError, match='plugin "b" of "unknown" did not load: OSError: no; repair or uninstall it'):
        plugins.adapter("b")


def test_a_missing_extra_is_one_line(modules: Path) -> None:
    """Our own adapter without its libraries names the extra to install; a lost module of ours is another matter."""
    ours = distribution("smihub")
    library = plugin(modules, "vm", "import no_such_library.part")
    module = plugin(modules, "x", "import hub.no_such_module")
    for point in (points := [library, module]):
        vars(point)["dist"] = ours
    assert load_plugins(points).problems == (
        LoadProblem(
            "vm",
            "smihub",
            '"no_such_library" is missing',
            f"install the extra \"vm\": {sys.executable} -m pip install 'smihub[vm]'",
        ),
        LoadProblem(
            "x", "smihub", "ModuleNotFoundError: No module named 'hub.no_such_module'", "repair or uninstall it"
        ),
    )


def test_the_vm_mesh_registers_like_anybody() -> None:
    """The installed entry points give the adapters, the sinks of their families, and the kinds of sources."""
    plugins = installed_plugins()
    assert plugins.problems == ()
    assert plugins.source("directory").name == "directory"
    with pytest.raises(ConfigError, match='unknown kind of source "git"; use kind: directory'):
        plugins.source("git")
    assert plugins.sink(plugins.adapter("vm").family).name == "xds"
    assert plugins.sink(plugins.adapter("istio").family, "directory").name == "directory"
    with pytest.raises(ConfigError, match='sink kind "xds" does not support "kubernetes"; use kind: directory'):
        plugins.sink("kubernetes", "xds")


@pytest.mark.thorough
@pytest.mark.parametrize("library", ["grpc", "google.protobuf", "envoy", "cryptography"])
def test_the_vm_mesh_without_its_extra_names_it(library: str) -> None:
    """Whatever library is missing, the answer is one line, and the rest of the hub works."""
    script = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from hub.plugins import installed_plugins\n"
        "plugins = installed_plugins()\n"
        "print(*plugins.adapters, *plugins.problems, sep='|')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith('consul|consul-k8s|istio|linkerd|plugin "vm" of "smihub" did not load: ')
    assert done.stdout.endswith(f"; install the extra \"vm\": {sys.executable} -m pip install 'smihub[vm]'\n")
    assert done.stdout.count("\n") == 1


@pytest.mark.thorough
@pytest.mark.parametrize("verb", [("check",), ("init", "--adapter", "vm", "--config", "other.yaml")])
def test_a_mesh_without_its_extra_is_one_line_that_can_be_pasted(tmp_path: Path, verb: tuple[str, ...]) -> None:
    """Of check, and of init, which is told to use it; pip takes the command in it."""
    folder = shop(tmp_path)
    script = "import sys; sys.modules['grpc'] = None; from hub.cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", script, *verb], cwd=folder.root, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.stderr
    place = "smihub.yaml:5: meshes[0].adapter: " if verb == ("check",) else ""
    assert result.stderr.startswith(f'error: {place}plugin "vm" of "smihub" did not load: ')
    command = f"{sys.executable} -m pip install 'smihub[vm]'"
    assert result.stderr.endswith(f'; install the extra "vm": {command}\n')
    subprocess.run(["bash", "-c", f"{command} --quiet --dry-run --no-index"], check=True)  # everything is here already

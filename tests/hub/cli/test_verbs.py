"""Verbs that plugins bring: beside the hub's own, never in the place of one, and each failure by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.plugins import installed_plugins
from tests.servers.folder import Folder

Install = Callable[..., None]
GOOD = '''\
from pathlib import Path
from typing import Annotated

import typer
from hub.api import CommandContext, CommandSpec, ConfigError, RefusedError, hookimpl


async def greet(
    hub: CommandContext,
    who: Annotated[str, typer.Argument(help="Who is greeted.")],
    config: Path = Path("smihub.yaml"),
    wrong: str = "",
) -> None:
    """Greet somebody from every mesh."""
    if wrong == "config":
        raise ConfigError("nobody can be greeted; be nicer")
    if wrong == "refused":
        raise RefusedError("no greetings today")
    if wrong:
        raise typer.Exit(int(wrong))
    async with hub.meshes(config) as meshes:
        for mesh in meshes:
            typer.echo(f"{who}: {mesh.title} has {len((await mesh.sink.observe()).objects)}")
    hub.note("done")


@hookimpl
def smihub_commands() -> list[CommandSpec]:
    return [CommandSpec(NAME, greet, "Example: [bold]smihub greet you[/bold]")]
'''


@pytest.fixture(name="install")
def installer(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs a distribution of one plugin with this text, as pip would before smihub starts."""
    site = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(site)
    installed_plugins.cache_clear()

    def install(name: str, text: str) -> None:
        made = site / f"{name}-1.0.dist-info"
        made.mkdir()
        (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (made / "entry_points.txt").write_text(f"[smihub]\n{name} = plug_{name}\n", encoding="utf-8")
        (site / f"plug_{name}.py").write_text(text, encoding="utf-8")

    yield install
    installed_plugins.cache_clear()
    for name in [name for name in sys.modules if name.startswith("plug_")]:
        del sys.modules[name]


@pytest.fixture
def greeter(install: Install) -> None:
    """The verb `greet`."""
    install("greeter", GOOD.replace("NAME", '"greet"'))


@pytest.mark.thorough
@pytest.mark.usefixtures("greeter")
def test_a_plugins_verb_is_a_verb_like_any_other(folder: Folder) -> None:
    """It is listed, has help with its example, and gets the meshes of the configuration with their sinks."""
    folder.run("apply", "--yes")
    assert " greet " in folder.run("--help").stdout
    shown = folder.run("greet", "--help").stdout
    assert "Greet somebody from every mesh." in shown
    assert "Who is greeted." in shown
    assert "Example: smihub greet you" in shown
    assert "hub" not in shown.replace("smihub", "")
    result = folder.run("greet", "you")
    assert (result.exit_code, result.stderr) == (0, "note: done\n")
    assert result.stdout.startswith("you: vms has ")
    assert result.stdout != "you: vms has 0\n"


@pytest.mark.thorough
@pytest.mark.usefixtures("greeter")
@pytest.mark.parametrize(
    ("wrong", "ended"),
    [
        ("config", (1, "error: nobody can be greeted; be nicer\n")),
        ("refused", (3, "refused: no greetings today; nothing was written\n")),
        ("3", (3, "")),
    ],
)
def test_a_plugins_verb_ends_as_any_other(folder: Folder, wrong: str, ended: tuple[int, str]) -> None:
    """In one line, with the exit code of its error or its own."""
    result = folder.run("greet", "you", "--wrong", wrong)
    assert (result.exit_code, result.stderr) == ended


@pytest.mark.usefixtures("greeter")
def test_a_plugins_verb_tells_what_is_wrong_with_the_configuration(folder: Folder) -> None:
    """As every verb does, before the plugin gets anything."""
    folder.config("domain: {}\n")
    assert "domain.trustDomain: is missing" in folder.run("greet", "you").stderr


@pytest.mark.usefixtures("greeter")
def test_a_plugins_verb_is_suggested(folder: Folder) -> None:
    """Where one is misspelt."""
    assert "greet" in folder.run("graet", "you").stderr.partition("Did you mean")[2]


SYNC = """\
from hub.api import CommandSpec, hookimpl

def verb(hub) -> None: ...

@hookimpl
def smihub_commands(): return [CommandSpec('sync', verb)]
"""
UNTYPED = SYNC.replace("def verb(hub)", "async def verb(hub, what: int | str)").replace("'sync'", "'untyped'")


@pytest.mark.thorough
def test_a_verb_that_cannot_be_used_stops_no_other(folder: Folder, install: Install) -> None:
    """One that would take the place of a verb of the hub, two of one name, and those of which typer makes nothing: all are named."""
    install("greeter", GOOD.replace("NAME", '"greet"'))
    install("later", GOOD.replace("NAME", '"greet"'))
    install("thief", GOOD.replace("NAME", '"plan"'))
    install("loud", GOOD.replace("NAME", '"Greet"'))
    install("sync", SYNC)
    install("untyped", UNTYPED)
    install("broken", "raise OSError('gone')")
    shown = folder.run("--help")
    assert shown.exit_code == 0
    told = shown.stderr.splitlines()
    for plugin, said in {
        "broken": "OSError: gone",
        "later": 'a command named "greet" exists already',
        "loud": '"Greet" is not a valid command name',
        "sync": 'command "sync": run is not an async function',
        "thief": '"plan" is a command of smihub itself',
        "untyped": 'command "untyped": Typer currently',
    }.items():
        assert [line for line in told if f'plugin "{plugin}" of "{plugin}" did not load: ' in line and said in line], (
            plugin
        )
    assert len(told) == 6
    assert folder.run("plan").exit_code == 2
    assert folder.run("greet", "you").exit_code == 0


def test_an_unknown_verb_names_the_plugins_that_failed(folder: Folder, install: Install) -> None:
    """It may be that of one of them."""
    install("broken", "raise OSError('gone')")
    result = folder.run("greet", "you")
    assert result.exit_code != 0
    assert 'plugin "broken" of "broken" did not load: OSError: gone; repair or uninstall it' in result.stderr
    assert folder.run("plan").stderr.count("broken") == 0


@pytest.mark.thorough
def test_completion_says_nothing_of_plugins_that_failed(folder: Folder, install: Install, tmp_path: Path) -> None:
    """A shell would print that into the middle of a line."""
    install("broken", "raise OSError('gone')")
    asked = {
        "_SMIHUB_COMPLETE": "complete_bash",
        "COMP_WORDS": "smihub e",
        "COMP_CWORD": "1",
        "PYTHONPATH": sys.path[0],
    }
    done = folder.process(env=asked)
    assert ("explain" in done.stdout, done.stderr) == (True, "")

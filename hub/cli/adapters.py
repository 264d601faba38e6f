"""`smihub adapters`: which adapters are installed, and what each one can do and takes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct, json
from rich.text import Text

from hub.api import AdapterSpec, Support
from hub.cli import completion
from hub.cli.check_adapter import AdapterCheck, CheckedAdapter, run_suite
from hub.cli.context import (
    ConfigOption,
    Exit,
    Output,
    OutputOption,
    emit,
    ending,
    line,
    note,
    print_lines,
    progress,
)
from hub.cli.data import SCHEMA
from hub.cli.features import COLOURS, declared
from hub.cli.new_adapter import check_name, write_package
from hub.cli.schema import Schema, resolved
from hub.cli.show import table
from hub.cli.verbs import VerbGroup
from hub.config.file import DEFAULT_FILE, load_configs
from hub.config.settings import nearest
from hub.errors import ConfigError
from hub.plugins import Package, Plugins, installed_plugins
from hub.testing.conformance.judged_file import read_judged

NameArgument = Annotated[
    str, typer.Argument(help="The adapter, as smihub.yaml names it.", autocompletion=completion.adapters)
]
_HEAD = ("adapter", "package", "version", "family", "meshes")
_WORDS = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "mapping",
    "null": "nothing",
}


def register(app: typer.Typer) -> None:
    """Add the group and its verbs."""
    group = typer.Typer(cls=VerbGroup, no_args_is_help=True, rich_markup_mode="rich")
    group.command("list", epilog="Example: [bold]smihub adapters list -o json[/bold]")(ending(list_adapters))
    group.command("show", epilog="Example: [bold]smihub adapters show istio[/bold]")(ending(show))
    group.command("new", epilog="Example: [bold]smihub adapters new mymesh[/bold], then what it prints")(ending(new))
    group.command("check", epilog="Example: [bold]smihub adapters check istio --worlds 200[/bold]")(ending(check))
    app.add_typer(
        group,
        name="adapters",
        help="What is installed for each kind of mesh: adapters with their package, features and settings.",
        epilog="Examples: [bold]smihub adapters list[/bold], [bold]smihub adapters show istio[/bold]",
    )


class Installed(Struct, frozen=True):
    """An adapter, who brings it, and the meshes of smihub.yaml that use it."""

    spec: AdapterSpec[Any]
    package: Package
    meshes: tuple[str, ...]


def list_adapters(config: ConfigOption = Path(DEFAULT_FILE), output: OutputOption = Output.TEXT) -> Exit:
    """List the installed adapters with package and version, and the meshes of smihub.yaml that use them."""
    plugins = installed_plugins()
    _report(plugins)
    found = _installed(plugins, _meshes(config))
    if output is Output.TEXT:
        print_lines(table([_HEAD, *map(_cells, found)]))
    else:
        emit({"schema": SCHEMA, "adapters": [_row(each) for each in found]}, output)
    return Exit.ERROR if plugins.problems else Exit.SAME


def show(name: NameArgument, config: ConfigOption = Path(DEFAULT_FILE), output: OutputOption = Output.TEXT) -> Exit:
    """Show what one adapter supports, its settings, and the sinks that write its objects."""
    plugins = installed_plugins()
    spec = _known(name, plugins)
    (found,) = (each for each in _installed(plugins, _meshes(config)) if each.spec is spec)
    data = _data(found, plugins)
    if output is Output.TEXT:
        print_lines(_lines(found, data))
    else:
        emit({"schema": SCHEMA, **data}, output)
    return Exit.SAME


def new(
    name: Annotated[str, typer.Argument(help="The adapter's name: lowercase letters, digits and dashes.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where to write it; by default smihub-NAME. It must be empty, or not there."
        ),
    ] = None,
) -> Exit:
    """Write an installable package for a new adapter, whose tests fail and say what to write next."""
    check_name(name, _taken(installed_plugins()))
    place = folder or Path(f"smihub-{name}")
    written = write_package(name, place)
    note(f"wrote {len(written)} files to {place}; next, as its README.md says:")
    print_lines(line(each) for each in _next_steps(place))
    return Exit.SAME


def _taken(plugins: Plugins) -> set[str]:
    """The names of all adapters, also of those that did not load."""
    return {*plugins.adapters, *(problem.plugin for problem in plugins.problems)}


def check(
    name: NameArgument,
    worlds: Annotated[int, typer.Option(metavar="N", min=1, help="Random worlds of the agreement search.")] = 2000,
    requests: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Requests judged by hand from the vendor's documents, as YAML."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> Exit:
    """Run the conformance suite on an installed adapter. Exit code 0 if the certificate says that it passes, else 1."""
    plugins = installed_plugins()
    spec = _known(name, plugins)
    family = plugins.family(spec)
    left_out = {} if requests else {"judged": "it needs requests that were judged by hand (--requests FILE)"}
    version = plugins.packages.get(name, Package("unknown")).version
    if requests is not None:
        read_judged(requests, family)
    asked = AdapterCheck(name, version, worlds, tuple(left_out), str(requests.absolute()) if requests else "")
    with progress("running the conformance suite"):
        checked = run_suite(asked)
    if output is Output.TEXT:
        print_lines(map(line, checked.text.splitlines()))
    else:
        emit(dict(checked.data), output)
    for one, why in left_out.items():
        note(f"{one} is not asked here, because {why}")
    note(_outcome(checked))
    return Exit.SAME if checked.passed else Exit.ERROR


def _outcome(checked: CheckedAdapter) -> str:
    if checked.failed:
        return "some of what was asked does not hold"
    if checked.passed:
        return "everything holds"
    why = [
        *checked.data.get("doubts", ()),
        *(["it passes only if everything is asked"] if "missing" in checked.data else []),
    ]
    return "; ".join(["what was asked holds", *why])


def _next_steps(place: Path) -> tuple[str, ...]:
    install = f"{shlex.quote(sys.executable)} -m pip install -e '.[test]'"
    return f"cd {shlex.quote(str(place))}", install, f"{shlex.quote(sys.executable)} -m pytest -x"


def _known(name: str, plugins: Plugins) -> AdapterSpec[Any]:
    """The adapter of that name. Raises ConfigError that says why it did not load, or which name is near."""
    if name not in _taken(plugins):
        raise ConfigError(f'unknown adapter "{name}"; {nearest(name, plugins.adapters)}')
    return plugins.adapter(name)


def _report(plugins: Plugins) -> None:
    for problem in plugins.problems:
        note(str(problem))


def _meshes(config: Path) -> dict[str, list[str]]:
    """The meshes of smihub.yaml by adapter; none where there is no such file. Raises ConfigError."""
    if config == Path(DEFAULT_FILE) and not config.exists():
        return {}
    found: dict[str, list[str]] = {}
    for one in load_configs(config):
        for mesh in one.meshes:
            found.setdefault(mesh.adapter, []).append(one.title_of(mesh.name))
    return found


def _installed(plugins: Plugins, meshes: Mapping[str, list[str]]) -> list[Installed]:
    return [
        Installed(spec, plugins.packages.get(name, Package("unknown")), tuple(meshes.get(name, ())))
        for name, spec in sorted(plugins.adapters.items())
    ]


# ------------------------------------------------------------------------------------------------------------- the list


def _row(one: Installed) -> dict[str, Any]:
    return {
        "adapter": one.spec.name,
        "package": one.package.name,
        "version": one.package.version,
        "family": one.spec.family,
        "meshes": list(one.meshes),
    }


def _cells(one: Installed) -> tuple[str, ...]:
    return one.spec.name, one.package.name, one.package.version, one.spec.family, ", ".join(one.meshes) or "none"


# ---------------------------------------------------------------------------------------------------------- one of them


def _data(one: Installed, plugins: Plugins) -> dict[str, Any]:
    spec = one.spec
    sinks = {name: _fields(sink.config) for name, sink in plugins.sinks_of(spec.family).items()}
    return {
        **_row(one),
        "governs": list(spec.governs),
        "features": declared(spec),
        "narrowings": {each.code: each.message for each in spec.narrowings},
        "config": _fields(spec.config),
        "sinks": sinks,
    }


def _fields(kind: type) -> list[dict[str, Any]]:
    """The settings of a type: name, what is written there, and the default (absent: it must be written)."""
    schema = json.schema(kind)
    definitions = schema.get("$defs", {})
    top = resolved(schema, definitions)
    return [
        {
            "field": name,
            "type": _word(each, definitions),
            **({} if name in top.get("required", ()) else {"default": each.get("default")}),
        }
        for name, each in top.get("properties", {}).items()
    ]


def _word(written: Schema, definitions: Mapping[str, Schema]) -> str:
    """What may be written, in words."""
    schema = resolved(written, definitions)
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_word(each, definitions) for each in schema["anyOf"]))
    word = _WORDS.get(schema.get("type", ""), "anything")
    return f"{word} of {_word(schema['items'], definitions)}" if schema.get("items") else word


def _lines(one: Installed, data: Mapping[str, Any]) -> Iterator[Text]:
    yield line((one.spec.name, "bold"), f"  package {one.package.name} {one.package.version}".rstrip())
    yield line(f"family: {one.spec.family}")
    yield line(f"governed: {', '.join(one.spec.governs)}")
    yield line(f"meshes: {', '.join(one.meshes) or 'none'}")
    yield line(("features", "bold"))
    wide = max(map(len, data["features"])) + 2
    for feature, support in data["features"].items():
        yield line(f"  {feature:{wide}}", (support, COLOURS.get(Support(support), "red")))
    if data["narrowings"]:
        yield line(("refused whatever the policy says", "bold"))
        yield from (line(f"  {code}: {message}") for code, message in data["narrowings"].items())
    yield line(("config", "bold"), "" if data["config"] else "  nothing to set")
    yield from map(_field_line, data["config"])
    for name, fields in data["sinks"].items():
        yield line(("sink", "bold"), f"  kind: {name}")
        yield from map(_field_line, fields)


def _field_line(one: Mapping[str, Any]) -> Text:
    if "default" not in one:
        return line(f"  {one['field']}: {one['type']}; required")
    return line(f"  {one['field']}: {one['type']}; default {json.encode(one['default']).decode()}")

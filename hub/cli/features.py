"""`smihub features`: what SMI can ask for, and how well each installed mesh carries it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer
from rich.text import Text

from hub.api import AdapterSpec
from hub.cli.context import Exit, Output, OutputOption, clean_errors, emit, line, note, print_lines
from hub.cli.data import SCHEMA
from hub.features import Feature, Support
from hub.plugins import installed_plugins

COLOURS = {Support.FULL: "green", Support.PARTIAL: "yellow", Support.APPROXIMATE: "yellow"}
_MEANING = {
    Support.FULL: "exactly",
    Support.PARTIAL: "exactly, or refused with a code and an example request",
    Support.APPROXIMATE: "approximately, for splits only; each difference is reported",
    Support.NOT_YET: "refused; not implemented yet",
    Support.NEVER: "refused; the mesh cannot do it",
}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Example: [bold]smihub features -o json[/bold]")(features)


def features(output: OutputOption = Output.TEXT) -> None:
    """Show how well each installed mesh supports the features of SMI. What a mesh does not support is refused and reported."""
    with clean_errors():
        plugins = installed_plugins()
        for problem in plugins.problems:
            note(str(problem))
        if output is Output.TEXT:
            print_lines(_lines(plugins.adapters))
        else:
            adapters = {name: declared(spec) for name, spec in sorted(plugins.adapters.items())}
            emit({"schema": SCHEMA, "adapters": adapters}, output)
    raise typer.Exit(Exit.ERROR if plugins.problems else Exit.SAME)


def declared(spec: AdapterSpec[Any]) -> dict[str, str]:
    """Every feature, and how well the adapter supports it."""
    return {feature.value: spec.features.get(feature, Support.NOT_YET).value for feature in Feature}


def _lines(adapters: Mapping[str, AdapterSpec[Any]]) -> Iterator[Text]:
    names = sorted(adapters)
    wide = max(map(len, Feature)) + 2
    cell = max((*map(len, names), *map(len, Support))) + 2
    yield line((f"{'':{wide}}" + "".join(f"{name:{cell}}" for name in names), "bold"))
    for feature in Feature:
        levels = [adapters[name].features.get(feature, Support.NOT_YET) for name in names]
        yield line(f"{feature:{wide}}", *((f"{each:{cell}}", COLOURS.get(each, "red")) for each in levels))
    yield line("")
    yield from (line(f"{support:{wide}}", meaning) for support, meaning in _MEANING.items())
    for name in (name for name in names if adapters[name].routes_only):
        yield line(
            f"{name:{wide}}", "only routes calls: access that it does not support is not refused, it is not enforced"
        )

"""`smihub features`: what SMI can ask for, and how well each installed adapter, and each configured mesh, carries it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from hub.api import AdapterSpec
from hub.cli.context import (
    ConfigOption,
    Exit,
    MarkdownOutput,
    MarkdownOutputOption,
    Output,
    emit,
    emit_text,
    line,
    note,
    print_lines,
)
from hub.cli.data import SCHEMA
from hub.cli.support import MEANING, limits_of, reason, support_page
from hub.config.file import DEFAULT_FILE, load_configs
from hub.config.own import adapter_config, placed
from hub.features import Feature, Support
from hub.plugins import Plugins, installed_plugins

Declared = Mapping[Feature, Support]

COLOURS = {Support.FULL: "green", Support.PARTIAL: "yellow", Support.APPROXIMATE: "yellow"}


def features(
    config: ConfigOption = Path(DEFAULT_FILE),
    output: MarkdownOutputOption = MarkdownOutput.TEXT,
) -> Exit:
    """Show how well each installed adapter supports the features of SMI. What a mesh does not support is refused and reported.

    Meshes of smihub.yaml whose settings change that have columns of their own.
    """
    plugins = installed_plugins()
    for problem in plugins.problems:
        note(str(problem))
    if output is MarkdownOutput.TEXT:
        print_lines(_lines(plugins.adapters, _meshes(plugins, config)))
    elif output is MarkdownOutput.MARKDOWN:
        emit_text(support_page(plugins.adapters))
    else:
        emit(_data(plugins, config), Output(output))
    return Exit.ERROR if plugins.problems else Exit.SAME


def _data(plugins: Plugins, config: Path) -> dict[str, Any]:
    adapters = sorted(plugins.adapters.items())
    return {
        "schema": SCHEMA,
        "adapters": {name: declared(spec) for name, spec in adapters},
        "limits": {
            name: {str(each): list(codes) for each, codes in limits_of(spec).items()} for name, spec in adapters
        },
        "meshes": {name: _words(found) for name, (found, _) in _meshes(plugins, config).items()},
    }


def declared(spec: AdapterSpec[Any]) -> dict[str, str]:
    """Every feature, and how well the adapter supports it with the default settings."""
    return _words(spec.features)


def _words(supports: Declared) -> dict[str, str]:
    return {feature.value: supports.get(feature, Support.NOT_YET).value for feature in Feature}


def _meshes(plugins: Plugins, config: Path) -> dict[str, tuple[Declared, bool]]:
    """What each mesh of smihub.yaml supports, and whether its settings change that; none without such a file. Raises ConfigError."""
    if config == Path(DEFAULT_FILE) and not config.exists():
        return {}
    found: dict[str, tuple[Declared, bool]] = {}
    for one in load_configs(config):
        for index, mesh in enumerate(one.meshes):
            spec = plugins.adapter(mesh.adapter)
            with placed(one, f"meshes[{index}]"):
                supports = spec.supports(adapter_config(mesh, spec.config))
            found[one.title_of(mesh.name)] = supports, supports != spec.features
    return found


def _lines(adapters: Mapping[str, AdapterSpec[Any]], meshes: Mapping[str, tuple[Declared, bool]]) -> Iterator[Text]:
    columns: list[tuple[str, Declared]] = [(name, spec.features) for name, spec in sorted(adapters.items())]
    columns += [(f"mesh {name}", supports) for name, (supports, changed) in sorted(meshes.items()) if changed]
    names = [name for name, _ in columns]
    wide = max(map(len, Feature)) + 2
    cell = max((*map(len, names), *map(len, Support))) + 2
    yield line((f"{'':{wide}}" + "".join(f"{name:{cell}}" for name in names), "bold"))
    for feature in Feature:
        levels = [supports.get(feature, Support.NOT_YET) for _, supports in columns]
        yield line(f"{feature:{wide}}", *((f"{each:{cell}}", COLOURS.get(each, "red")) for each in levels))
    yield line("")
    yield from (line(f"{support:{wide}}", meaning) for support, meaning in MEANING.items())
    yield from _reasons(adapters)
    for name in (name for name in sorted(adapters) if adapters[name].routes_only):
        yield line(
            f"{name:{wide}}", "only routes calls: access that it does not support is not refused, it is not enforced"
        )


def _reasons(adapters: Mapping[str, AdapterSpec[Any]]) -> Iterator[Text]:
    """The codes of what is not supported, by adapter and feature, and what they mean."""
    codes: set[str] = set()
    for name, spec in sorted(adapters.items()):
        for feature, found in limits_of(spec).items():
            if found:
                codes.update(found)
                yield line(f"{name} {feature}: {', '.join(found)}")
    yield from (line(f"{code}: {reason(code)}") for code in sorted(codes))

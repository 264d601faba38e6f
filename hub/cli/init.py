"""`smihub init`: a commented configuration file to start from, for what the folder holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from hub.api import FILES
from hub.cli.context import Exit, note
from hub.cli.schema import Shown, schema_of
from hub.config.settings import nearest
from hub.config.template import RENDERED, RENDERING, SCHEMA_FILE, template
from hub.errors import ConfigError, SourceError
from hub.events import Upsert
from hub.plugins import Plugins, installed_plugins
from hub.sources.directory import DirectorySource
from hub.sources.selection import Selection

_SMIHUB = "smihub.io/"
_SMI = "smi-spec.io/"
_KNATIVE = "serving.knative.dev/"
_KUBERNETES = frozenset(
    ("CronJob", "DaemonSet", "Deployment", "DeploymentConfig", "Job", "Pod", "ReplicaSet", "Rollout", "StatefulSet")
)


class _FolderContents(Struct, frozen=True):
    """What a folder holds: the adapters of what runs there, whether there is any SMI, and whether it can be read at all."""

    adapters: tuple[str, ...] = ()
    smi: bool = False
    unreadable: str = ""


def init(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The file to write.")] = Path(
        "smihub.yaml"
    ),
    source: Annotated[str, typer.Option(metavar="FOLDER", help="The folder of SMI YAML, relative to the file.")] = ".",
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter",
            metavar="NAME",
            help="A mesh of this kind; can be repeated. By default, the workloads in the folder decide:  "
            "Workloads (vm), Deployments and other Pods (istio), or both; consul and linkerd by this option alone.",
        ),
    ] = None,
) -> Exit:
    """Write a commented smihub.yaml for the objects in a folder; an existing file is never overwritten."""
    folder, plugins = config.parent / source, installed_plugins()
    contents = _contents_of(folder, config)
    adapters = _chosen(adapter, plugins) if adapter else (contents.adapters or _default(plugins))
    rendered = {name for name in adapters if name in RENDERING or _is_rendered(name, plugins)}
    reads_rendered = bool(rendered) and _within(config.parent / RENDERED, folder)
    _write(config, template(source, adapters, rendered, reads_rendered=reads_rendered))
    _write_schema(config.parent / SCHEMA_FILE, plugins)
    _report(config, source, adapters, contents)
    for name in adapters:
        plugins.adapter(name)  # one that is not installed is told, once the file is there
    return Exit.SAME


def _default(plugins: Plugins) -> tuple[str, ...]:
    """The mesh of a folder that tells nothing: one for VMs, unless only others are installed."""
    return ("vm",) if "vm" in plugins.adapters or not plugins.adapters else (min(plugins.adapters),)


def _chosen(wanted: Sequence[str], plugins: Plugins) -> tuple[str, ...]:
    for name in wanted:
        if name in {problem.plugin for problem in plugins.problems}:
            plugins.adapter(name)  # installed, and not usable: what is missing
        if name not in plugins.adapters:
            raise ConfigError(f'--adapter "{name}": unknown adapter; {nearest(name, plugins.adapters)}')
    return tuple(dict.fromkeys(wanted))


def _is_rendered(name: str, plugins: Plugins) -> bool:
    """Whether only sinks that write files take the objects of this adapter."""
    if name not in plugins.adapters:
        return False
    sinks = plugins.sinks_of(plugins.adapters[name].family).values()
    return bool(sinks) and all(sink.family == FILES for sink in sinks)


def _contents_of(folder: Path, config: Path) -> _FolderContents:
    source = DirectorySource("", folder, selection=Selection(skip=config))
    try:
        found = set(_kinds(source))
    except SourceError as error:
        return _FolderContents(unreadable=str(error))
    workloads = any(kind == "Workload" and api.startswith(_SMIHUB) for api, kind in found)
    pods = any(kind in _KUBERNETES for _, kind in found) or any(api.startswith(_KNATIVE) for api, _ in found)
    adapters = (*(["vm"] if workloads else []), *(["istio"] if pods else []))
    if not adapters and any((api, kind) == ("v1", "Service") for api, kind in found):
        adapters = ("istio",)
    return _FolderContents(adapters, any(_SMI in api for api, _ in found))


def _kinds(source: DirectorySource) -> Iterator[tuple[str, str]]:
    """The apiVersion and kind of every object."""
    for event in source.read():
        for document in event.documents if isinstance(event, Upsert) else ():
            value = document.value if isinstance(document.value, dict) else {}
            api, kind = value.get("apiVersion"), value.get("kind")
            yield api if isinstance(api, str) else "", kind if isinstance(kind, str) else ""


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _write(config: Path, text: str) -> None:
    try:
        # "x" and no check before it: between a check and a write somebody else could make the file.
        with config.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f'"{config}" exists already; edit it, or choose another file with --config') from None
    except OSError as error:
        raise ConfigError(f'cannot write "{config}": {error.strerror}') from None


def _write_schema(path: Path, plugins: Plugins) -> None:
    """Beside the file, for editors; one that is there stays, and nothing depends on it."""
    try:
        with path.open("xb") as file:
            file.write(schema_of(Shown.CONFIG, plugins))
    except FileExistsError:
        pass
    except OSError as error:
        note(f'"{path}", the schema that editors use for this file, cannot be written: {error.strerror}')


def _report(config: Path, source: str, adapters: Sequence[str], contents: _FolderContents) -> None:
    """What was written and why, and what to do next."""
    note(f"wrote {config} with {' and '.join(f'a mesh for {name}' for name in adapters)}")
    if not contents.adapters:
        note(
            "nothing in the folder shows which mesh it is for; --adapter NAME selects another one (see smihub features)"
        )
    if contents.unreadable:
        note(f"{contents.unreadable}: add SMI objects there first, with their Services and Workloads (or Deployments)")
    elif not contents.smi:
        note(f'there is no SMI in "{source}" yet: governed workloads accept no request until a TrafficTarget allows it')
    note("next: smihub check, then smihub plan")

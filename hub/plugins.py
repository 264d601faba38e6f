"""Loading adapters from the entry-point group `smihub`; a plugin that fails to load stops nobody else.

In-tree adapters are found the same way as anybody's. Hooks hand over records (hub.hookspec); the hub calls them itself.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any

import pluggy
from msgspec import Struct, field

from hub import hookspec
from hub.api import AdapterSpec, SinkSpec, SourceSpec
from hub.errors import ConfigError
from hub.hookspec import GROUP
from hub.sources.directory import DIRECTORY

BUILT_IN: Mapping[str, SourceSpec[Any]] = {DIRECTORY.name: DIRECTORY}
"""The sources that the hub brings itself."""


class LoadProblem(Struct, frozen=True, order=True):
    """A plugin that could not be used: its entry-point name, its distribution, why, and what to do."""

    plugin: str
    distribution: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f'plugin "{self.plugin}" of "{self.distribution}" did not load: {self.cause}; {self.remedy}'


class Plugins(Struct, frozen=True):
    """The adapters, sinks and sources by name, and the plugins that failed."""

    adapters: Mapping[str, AdapterSpec[Any]] = field(default_factory=dict)
    sinks: Mapping[str, SinkSpec[Any]] = field(default_factory=dict)
    problems: tuple[LoadProblem, ...] = ()
    sources: Mapping[str, SourceSpec[Any]] = field(default_factory=lambda: dict(BUILT_IN))

    def adapter(self, name: str) -> AdapterSpec[Any]:
        """The adapter of that name. Raises ConfigError that says what is installed, or why it did not load."""
        if name in self.adapters:
            return self.adapters[name]
        failed = next((problem for problem in self.problems if problem.plugin == name), None)
        if failed is not None:
            raise ConfigError(str(failed))
        have = ", ".join(f'"{known}"' for known in sorted(self.adapters)) or "none"
        raise ConfigError(f'there is no adapter "{name}"; installed: {have}')

    def sink(self, family: str, kind: str = "") -> SinkSpec[Any]:
        """The sink that writes native objects of this family: the one named, or the only one. Raises ConfigError."""
        fitting = {name: sink for name, sink in self.sinks.items() if (sink.family or sink.name) == family}
        if not fitting:
            raise ConfigError(f'no sink for "{family}" is installed; install the extra of the adapter that needs it')
        if kind in fitting or (not kind and len(fitting) == 1):
            return fitting[kind or min(fitting)]
        known = ", ".join(f'"{name}"' for name in sorted(fitting))
        raise ConfigError(f'sink.kind: "{kind}" will not do for "{family}"; write {known}')

    def source(self, kind: str) -> SourceSpec[Any]:
        """The kind of source of that name. Raises ConfigError that says what is installed."""
        if kind in self.sources:
            return self.sources[kind]
        have = ", ".join(f'"{known}"' for known in sorted(self.sources))
        raise ConfigError(f'there is no kind of source "{kind}"; installed: {have}')


def load_plugins(entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> Plugins:
    """Load every plugin of the group (or those given) and ask each for its adapters and sinks."""
    found = importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    adapters: dict[str, AdapterSpec[Any]] = {}
    sinks: dict[str, SinkSpec[Any]] = {}
    problems: list[LoadProblem] = []
    for entry_point in sorted(found, key=lambda point: (point.name, point.value)):
        try:
            manager = _manager(entry_point)
            for adapter in (each for given in manager.hook.smihub_adapters() for each in given):
                _add(adapter, adapters)
            for sink in (each for given in manager.hook.smihub_sinks() for each in given):
                _add_sink(sink, sinks)
        except Exception as error:  # noqa: BLE001 - one of three doors: a stranger's module may raise anything
            problems.append(_problem(entry_point, error))
    return Plugins(adapters, sinks, tuple(sorted(problems)))


def _manager(entry_point: importlib.metadata.EntryPoint) -> pluggy.PluginManager:
    """One plugin manager per plugin: with a shared one a hook that raises would silence those after it."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspec)
    manager.register(entry_point.load(), name=entry_point.name)
    manager.check_pending()
    return manager


def _add(adapter: object, adapters: dict[str, AdapterSpec[Any]]) -> None:
    if not isinstance(adapter, AdapterSpec):
        raise ConfigError(f'smihub_adapters handed over a "{type(adapter).__name__}" instead of an AdapterSpec')
    if adapter.name in adapters:
        raise ConfigError(f'an adapter named "{adapter.name}" is there already')
    adapters[adapter.name] = adapter


def _add_sink(sink: object, sinks: dict[str, SinkSpec[Any]]) -> None:
    if not isinstance(sink, SinkSpec):
        raise ConfigError(f'smihub_sinks handed over a "{type(sink).__name__}" instead of a SinkSpec')
    if sink.name in sinks:
        raise ConfigError(f'a sink named "{sink.name}" is there already')
    sinks[sink.name] = sink


def _problem(entry_point: importlib.metadata.EntryPoint, error: Exception) -> LoadProblem:
    distribution = entry_point.dist.name if entry_point.dist is not None else "unknown"
    if isinstance(error, ModuleNotFoundError) and distribution == "smihub" and _is_foreign(error):
        return LoadProblem(
            entry_point.name, distribution, f'"{error.name}" is missing', f"pip install 'smihub[{entry_point.name}]'"
        )
    cause = f"{type(error).__name__}: {error}".splitlines()[0]
    return LoadProblem(entry_point.name, distribution, cause, "repair or uninstall it")


def _is_foreign(error: ModuleNotFoundError) -> bool:
    """Whether a library is missing, rather than one of our own modules (which no extra would bring)."""
    return (error.name or "").partition(".")[0] not in {"", "hub", "adapters"}

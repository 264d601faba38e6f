"""Loading plugins from the entry-point group `smihub`; one that fails to load stops nobody else.

Those of this distribution are found the same way as anybody's. Hooks hand over records (hub.hookspec); the hub calls them itself.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pluggy
from msgspec import Struct, field

from hub import hookspec
from hub.api import FILES, AdapterSpec, CommandSpec, FamilySpec, SinkSpec, SourceSpec
from hub.errors import ConfigError
from hub.hookspec import GROUP

_RECORDS: Mapping[str, type[Any]] = {
    "adapter": AdapterSpec,
    "family": FamilySpec,
    "sink": SinkSpec,
    "source": SourceSpec,
    "command": CommandSpec,
}
"""What plugins may bring; the hook of each is `smihub_<these>`."""
_PLURAL = {kind: f"{kind}s" for kind in _RECORDS} | {"family": "families"}
_VERB = re.compile("[a-z][a-z0-9-]*")


class LoadProblem(Struct, frozen=True, order=True):
    """A plugin that could not be used: its entry-point name, its distribution, why, and what to do."""

    plugin: str
    distribution: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f'plugin "{self.plugin}" of "{self.distribution}" did not load: {self.cause}; {self.remedy}'


class PluginCommand(Struct, frozen=True):
    """A verb, and the plugin that brings it."""

    spec: CommandSpec
    plugin: str
    distribution: str

    def problem(self, cause: str) -> LoadProblem:
        """What to tell of a verb that cannot be used."""
        return LoadProblem(self.plugin, self.distribution, cause, "repair or uninstall it")


class Package(Struct, frozen=True):
    """The distribution that brings a plugin, and its version ("": not known)."""

    name: str
    version: str = ""


class Plugins(Struct, frozen=True):
    """The adapters, families, sinks, sources and verbs by name, the plugins that failed, and by adapter whose it is."""

    adapters: Mapping[str, AdapterSpec[Any]] = field(default_factory=dict)
    families: Mapping[str, FamilySpec] = field(default_factory=dict)
    sinks: Mapping[str, SinkSpec[Any]] = field(default_factory=dict)
    sources: Mapping[str, SourceSpec[Any]] = field(default_factory=dict)
    commands: Mapping[str, PluginCommand] = field(default_factory=dict)
    problems: tuple[LoadProblem, ...] = ()
    packages: Mapping[str, Package] = field(default_factory=dict)

    def adapter(self, name: str) -> AdapterSpec[Any]:
        """The adapter of that name. Raises ConfigError that says what is installed, or why it did not load."""
        if name in self.adapters:
            return self.adapters[name]
        failed = next((problem for problem in self.problems if problem.plugin == name), None)
        if failed is not None:
            raise ConfigError(str(failed))
        raise ConfigError(f'unknown adapter "{name}"; {_choice("adapter", self.adapters)}')

    def family(self, spec: AdapterSpec[Any]) -> FamilySpec:
        """The family of an adapter's objects. Raises ConfigError where no plugin brings it."""
        if spec.family in self.families:
            return self.families[spec.family]
        raise ConfigError(
            f'adapter "{spec.name}" makes objects of family "{spec.family}", which no plugin brings (smihub_families); '
            "install what brings it, or report this to the author of the adapter"
        )

    def sinks_of(self, family: str) -> Mapping[str, SinkSpec[Any]]:
        """The sinks that write native objects of this family, those for it alone first."""
        named = {name: sink for name, sink in self.sinks.items() if (sink.family or name) == family}
        known = self.families.get(family)
        filed = known is not None and known.files is not None
        return named | {name: sink for name, sink in self.sinks.items() if filed and sink.family == FILES}

    def sink(self, family: str, kind: str = "") -> SinkSpec[Any]:
        """The sink that writes native objects of this family: the one named, or the first. Raises ConfigError."""
        fitting = self.sinks_of(family)
        if not fitting:
            raise ConfigError(f'no sink for "{family}" is installed; install the extra of that adapter')
        own = [name for name, sink in fitting.items() if sink.family != FILES] or list(fitting)
        if kind in fitting or (not kind and len(own) == 1):
            return fitting[kind or own[0]]
        raise ConfigError(f'sink kind "{kind}" does not support "{family}"; {_choice("kind", fitting)}')

    def source(self, kind: str) -> SourceSpec[Any]:
        """The kind of source of that name. Raises ConfigError that says what is installed."""
        if kind in self.sources:
            return self.sources[kind]
        raise ConfigError(f'unknown kind of source "{kind}"; {_choice("kind", self.sources)}')


def _choice(field_name: str, known: Iterable[str]) -> str:
    """What to write instead."""
    return f"use {' or '.join(f'{field_name}: {name}' for name in sorted(known))}" if known else "install one"


@cache
def installed_plugins() -> Plugins:
    """Every plugin that is installed, loaded once per process: a module that is loaded stays as it is."""
    return load_plugins(importlib.metadata.entry_points(group=GROUP))


def load_plugins(found: Iterable[importlib.metadata.EntryPoint]) -> Plugins:
    """Load the plugins of these entry points, and ask each for what it brings."""
    brought: dict[str, dict[str, Any]] = {kind: {} for kind in _RECORDS}
    packages: dict[str, Package] = {}
    problems: list[LoadProblem] = []
    for entry_point in sorted(found, key=lambda point: (point.name, point.value)):
        try:
            manager = _manager(entry_point)
            for kind, known in brought.items():
                for given in getattr(manager.hook, f"smihub_{_PLURAL[kind]}")():
                    for record in given:
                        _add(kind, record, known, entry_point)
                        if kind == "adapter":
                            packages[record.name] = _package(entry_point)
        except Exception as error:  # noqa: BLE001 - one of three doors: a stranger's module may raise anything
            problems.append(_problem(entry_point, error))
    records = {_PLURAL[kind]: known for kind, known in brought.items()}
    return Plugins(**records, problems=tuple(sorted(problems)), packages=packages)


def _manager(entry_point: importlib.metadata.EntryPoint) -> pluggy.PluginManager:
    """One plugin manager per plugin: with a shared one a hook that raises would silence those after it."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspec)
    manager.register(entry_point.load(), name=entry_point.name)
    manager.check_pending()
    return manager


def _add(kind: str, record: Any, known: dict[str, Any], entry_point: importlib.metadata.EntryPoint) -> None:
    """Take a record over under its name. Raises ConfigError for one that is none of this kind, or whose name is taken."""
    a, wanted = "an" if kind == "adapter" else "a", _RECORDS[kind]
    if not isinstance(record, wanted):
        raise ConfigError(
            f'smihub_{_PLURAL[kind]} returned a "{type(record).__name__}" instead of {a} {wanted.__name__}'
        )
    if record.name in known:
        raise ConfigError(f'{a} {kind} named "{record.name}" exists already')
    known[record.name] = _plugin_command(record, entry_point) if isinstance(record, CommandSpec) else record


def _plugin_command(spec: CommandSpec, entry_point: importlib.metadata.EntryPoint) -> PluginCommand:
    if not _VERB.fullmatch(spec.name):
        raise ConfigError(f'"{spec.name}" is not a valid command name; use lowercase letters, digits and dashes')
    return PluginCommand(spec, entry_point.name, _distribution(entry_point))


def _package(entry_point: importlib.metadata.EntryPoint) -> Package:
    dist = entry_point.dist
    return Package("unknown") if dist is None else Package(dist.name, dist.version)


def _distribution(entry_point: importlib.metadata.EntryPoint) -> str:
    return _package(entry_point).name


def _problem(entry_point: importlib.metadata.EntryPoint, error: Exception) -> LoadProblem:
    distribution = _distribution(entry_point)
    if isinstance(error, ModuleNotFoundError) and distribution == "smihub" and _is_foreign(error):
        extra = entry_point.name
        remedy = f"install the extra \"{extra}\": {sys.executable} -m pip install 'smihub[{extra}]'"
        return LoadProblem(entry_point.name, distribution, f'"{error.name}" is missing', remedy)
    cause = f"{type(error).__name__}: {error}".splitlines()[0]
    return LoadProblem(entry_point.name, distribution, cause, "repair or uninstall it")


def _is_foreign(error: ModuleNotFoundError) -> bool:
    """Whether a library is missing, rather than one of our own modules (which no extra would bring)."""
    return (error.name or "").partition(".")[0] not in {"", "hub", "adapters"}

"""The sources of a smihub.yaml: what each may say beside the settings of its own kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hub.config.settings import LABEL, ConfigSection, FieldError, cluster_name, convert, match, path_text
from hub.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._/]{0,62}")
_LONGEST = 255
STDIN = "-"
"""How standard input is written where a source is asked for."""
DIRECTORY = "directory"
"""The kind of a source that says nothing of it."""


class SourceConfig(Struct, frozen=True):
    """One source: the `name` that its origins carry, its kind, and that kind's own settings as written.

    The name of a folder (or file) is its path as written; `path` is the absolute one (None: it is no folder).
    Facts (Pods, Services, accounts, ...) count in meshes of the same `cluster` alone. Of SMI objects in `namespaces` those of
    other sources do not count.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    path: Path | None = None
    cluster: str = ""
    namespaces: tuple[str, ...] = ()


class WrittenSource(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What every source may say; what else it says is its kind's own."""

    kind: str = DIRECTORY
    name: str = ""
    cluster: str = ""
    namespaces: tuple[str, ...] = ()


class WrittenFolder(WrittenSource, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A folder, or a file."""

    path: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


_OURS = frozenset(info.encode_name for info in msgspec.structs.fields(WrittenSource))


def instead_of(sources: tuple[SourceConfig, ...], path: str) -> tuple[SourceConfig, ...]:
    """What a verb is told to read in place of these: a folder, a file, or `-` for standard input. Raises ConfigError.

    It counts for the cluster of these; where they are of several, nobody can tell which.
    """
    clusters = {each.cluster for each in sources}
    if len(clusters) > 1:
        raise ConfigError(
            "--source: the sources are in several clusters; list the folder under sources in smihub.yaml instead"
        )
    cluster = min(clusters, default="")
    if path == STDIN:
        return (SourceConfig(STDIN, "stdin", {}, None, cluster),)
    absolute = str(Path(path).absolute())
    return (SourceConfig(path, DIRECTORY, {"path": absolute}, Path(absolute), cluster),)


def sources_in(written: tuple[dict[str, Any], ...], folder: Path) -> tuple[SourceConfig, ...]:
    """Every source of a file that lies in `folder`. Raises FieldError."""
    if not written:
        raise FieldError("sources", 'is empty; add "- path: FOLDER"')
    found: list[SourceConfig] = []
    for index, each in enumerate(written):
        source = _source(each, f"sources[{index}]", folder)
        for other in found:
            _check_apart(source, other, f"sources[{index}]")
        found.append(source)
    return tuple(found)


def _check_apart(source: SourceConfig, other: SourceConfig, place: str) -> None:
    """Refuse two sources that are one, whose parts would have one name in what is remembered, or that both rule a namespace."""
    if _same_path(source, other):
        raise FieldError(f"{place}.path", f'"{source.name}" is listed twice; remove one of them')
    if source.name == other.name:
        raise FieldError(f"{place}.name", f'"{source.name}" is also the name of another source; give each its own name')
    if source.name.startswith(f"{other.name}:") or other.name.startswith(f"{source.name}:"):
        message = f'the name "{source.name}" and "{other.name}" cannot be told apart; change the "name" of one'
        raise FieldError(place, message)
    if both := {*source.namespaces} & {*other.namespaces}:
        message = f'"{min(both)}" is also listed by "{other.name}"; only one source can be the authority on a namespace'
        raise FieldError(f"{place}.namespaces", message)


def _source(raw: dict[str, Any], place: str, folder: Path) -> SourceConfig:
    kind = raw.get("kind", DIRECTORY)
    own = {name: value for name, value in raw.items() if name not in _OURS}
    if kind != DIRECTORY:
        ours = convert({name: raw[name] for name in raw.keys() & _OURS}, WrittenSource, place)
        return SourceConfig(_name(ours, ours.kind, place), ours.kind, own, None, *_scope(ours, place))
    written = convert(raw, WrittenFolder, place)
    path = folder / path_text(written.path, f"{place}.path")
    return SourceConfig(_name(written, written.path, place), DIRECTORY, own, path, *_scope(written, place))


def _name(written: WrittenSource, otherwise: str, place: str) -> str:
    """What a source is called. It is remembered with every object, and stands in lines of logs."""
    if written.name:
        match(_NAME, written.name, f"{place}.name", "at most 63 letters, digits and -._/, such as name: policies")
    elif len(otherwise) > _LONGEST or not otherwise.isprintable():
        raise FieldError(
            f"{place}.name",
            f"is missing, and the path cannot be used as the name (at most {_LONGEST} printable characters); add name: ...",
        )
    return written.name or otherwise


def _scope(written: WrittenSource, place: str) -> tuple[str, tuple[str, ...]]:
    cluster_name(written.cluster, f"{place}.cluster")
    for index, name in enumerate(written.namespaces):
        match(LABEL, name, f"{place}.namespaces[{index}]", "a namespace name")
    return written.cluster, tuple(sorted(set(written.namespaces)))


def _same_path(one: SourceConfig, other: SourceConfig) -> bool:
    return one.path is not None and other.path is not None and one.path.resolve() == other.path.resolve()

"""What plugins read of a smihub.yaml for themselves, as their own types; every mistake has its file and line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.config.examples import with_example
from hub.config.file import Config, MeshConfig
from hub.config.settings import ConfigT, FieldError, convert
from hub.config.sources import SourceConfig
from hub.errors import ConfigError
from hub.sources.locate import Locator


def mistake(config: Config, place: str, message: str) -> ConfigError:
    """What to raise for a field of a domain's part of the file, with its line if the file is still there."""
    place = place_in(config, place)
    return ConfigError(f"{shown(config.file)}:{line_of(config, place)}: {place}: {with_example(place, message)}")


def shown(file: Path) -> Path:
    """The file as one can open it from here."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def place_in(config: Config, place: str) -> str:
    """The path in the whole file of a field of a domain's part."""
    return f"{config.place}.{place}".removeprefix(".")


def line_of(config: Config, place: str) -> int:
    """The line of a field, by its path in the whole file; 1 if the file is gone."""
    try:
        return Locator(config.file.read_bytes()).line(0, place)
    except OSError:
        return 1


@contextmanager
def placed(config: Config, place: str) -> Iterator[None]:
    """Raise what is wrong with a part of the file, of whomever it is told, with file, line and field."""
    try:
        yield
    except FieldError as error:
        raise mistake(config, f"{place}.{error.field}", error.message) from None
    except ConfigError as error:
        raise mistake(config, place, str(error)) from None


def adapter_config(mesh: MeshConfig, kind: type[ConfigT]) -> ConfigT:
    """A mesh's `config` as its adapter's own type. Raises FieldError."""
    return convert(mesh.config, kind, "config")


def source_config(source: SourceConfig, kind: type[ConfigT]) -> ConfigT:
    """A source's own settings as the type of its kind. Raises FieldError."""
    return convert(source.settings, kind, "")


def sink_kind(mesh: MeshConfig) -> str:
    """Which sink a mesh asks for by name; "" where it leaves that to its adapter. Raises FieldError."""
    kind = mesh.sink.get("kind", "")
    if not isinstance(kind, str):
        raise FieldError("sink.kind", "must be a string, such as kind: directory")
    return kind


def sink_config(mesh: MeshConfig, kind: type[ConfigT]) -> ConfigT:
    """A mesh's `sink` as its sink's own type, without its `kind`. Raises FieldError."""
    return convert({name: value for name, value in mesh.sink.items() if name != "kind"}, kind, "sink")

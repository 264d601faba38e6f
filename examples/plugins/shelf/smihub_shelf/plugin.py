"""What this distribution brings to smihub: the sink `shelf` and the source `lines`."""

from __future__ import annotations

from collections.abc import Iterable

from hub.api import SinkSpec, SourceSpec, hookimpl
from smihub_shelf.sink import SHELF, ShelfConfig
from smihub_shelf.source import LINES, LinesConfig


@hookimpl
def smihub_sinks() -> Iterable[SinkSpec[ShelfConfig]]:
    """The sink `shelf`."""
    return [SHELF]


@hookimpl
def smihub_sources() -> Iterable[SourceSpec[LinesConfig]]:
    """The source `lines`."""
    return [LINES]

"""Registration of the sources that the hub brings itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hub.api import SourceSpec, hookimpl
from hub.sources.directory import DIRECTORY
from hub.sources.stream import STREAM


@hookimpl
def smihub_sources() -> Iterable[SourceSpec[Any]]:
    """The kinds `directory`, a folder of YAML and JSON files or one of them, and `stdin`."""
    return [DIRECTORY, STREAM]

"""Standard input as a source: what kustomize or Helm writes, read once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

from msgspec import Struct

from hub.errors import SourceError
from hub.events import Event, Synced, Upsert
from hub.model import Origin, Problem
from hub.sources.limits import DEFAULT_LIMITS, YamlError
from hub.sources.locate import Locator
from hub.sources.yaml import load
from hub.spec import SourceContext, SourceSpec

PART = "stdin"


class StreamSource:
    """The documents of standard input, as the one part `stdin`."""

    def __init__(self, name: str) -> None:
        """Read nothing yet; `name` is the source's name in every origin."""
        self._name = name
        self._data: bytes | None = None

    @property
    def name(self) -> str:
        """The name that origins carry."""
        return self._name

    def read(self) -> Iterator[Event]:
        """See hub.events.ObjectSource. Raises SourceError if it holds no object, or is no YAML: there is nothing else to read."""
        if self._data is None:
            self._data = sys.stdin.buffer.read(DEFAULT_LIMITS.file_bytes + 1)
        try:
            documents = load(self._data, Origin(self._name))
        except YamlError as error:
            raise SourceError(f"standard input: {error} ({error.fault.code})") from None
        if not documents:
            raise SourceError("standard input has no object")
        yield Upsert(PART, documents)
        yield Synced()

    async def watch(self) -> AsyncIterator[tuple[Event, ...]]:
        """See hub.events.ObjectSource; nothing ever changes."""
        yield tuple(self.read())
        await asyncio.Event().wait()

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """See hub.events.ObjectSource."""
        locator = Locator(self._data or b"")
        return tuple(locator.pinpointed(each) if each.origin.source == self._name else each for each in problems)


class NoSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to set."""


def _open(context: SourceContext, config: NoSettings) -> StreamSource:
    return StreamSource(context.name)


STREAM = SourceSpec(name="stdin", config=NoSettings, open=_open)

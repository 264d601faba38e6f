"""The smallest source: a text file with a `NAMESPACE/ACCOUNT` on each line, each of which is a service account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from hub.api import (
    Delete,
    Document,
    Event,
    ObjectRef,
    Origin,
    Problem,
    SourceContext,
    SourceError,
    SourceSpec,
    Synced,
    Unread,
    Upsert,
)

_LOOK_S = 0.2


class RosterConfig(Struct, frozen=True):
    """Settings of the source in smihub.yaml: the file, relative to it."""

    path: str


class Roster:
    """A `hub.api.ObjectSource`; its parts are the lines."""

    def __init__(self, context: SourceContext, config: RosterConfig) -> None:
        self._name = context.name
        self._file = Path(context.file.parent / config.path)
        self._said: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name that origins carry."""
        return self._name

    def read(self) -> Iterator[Event]:
        """What changed since it was said last. Raises SourceError if there is no file, or nobody in it."""
        lines = self._lines()
        yield from (Upsert(line, (self._account(line),)) for line in sorted(lines - self._said))
        yield from (Delete(line) for line in sorted(self._said - lines))
        self._said = lines
        yield Synced()

    async def watch(self) -> AsyncIterator[tuple[Event, ...]]:
        """Look now and then; say what is new."""
        last: tuple[Event, ...] = ()
        while True:
            try:
                found = tuple(self.read())
            except SourceError as error:
                found = (Unread("", self._problem(str(error))),)
            if found != last:
                yield found
            last = found
            await asyncio.sleep(_LOOK_S)

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """A line says it all."""
        return tuple(problems)

    def _lines(self) -> frozenset[str]:
        try:
            lines = frozenset(line for line in self._file.read_text(encoding="utf-8").split() if line.count("/") == 1)
        except (OSError, ValueError) as error:
            raise SourceError(f'roster "{self._file}" cannot be read: {error}') from error
        if not lines:
            raise SourceError(f'roster "{self._file}" names nobody')
        return lines

    def _account(self, line: str) -> Document:
        namespace, _, name = line.partition("/")
        head = {"namespace": namespace, "name": name}
        return Document({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": head}, Origin(self._name, line))

    def _problem(self, text: str) -> Problem:
        return Problem("outsider.roster", ObjectRef("", "Source", "", self._name), "", text, "restore it")


ROSTER = SourceSpec("roster", RosterConfig, Roster)

"""The source `lines`: a file with an object in JSON on each line. Its parts are the objects, so one bad line holds up no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

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

_LOOK_S = 0.5


class LinesConfig(Struct, frozen=True):
    """Settings of the source in smihub.yaml: the file, relative to it."""

    file: str


class Lines:
    """A `hub.api.ObjectSource`."""

    def __init__(self, context: SourceContext, config: LinesConfig) -> None:
        self._name = context.name
        self._path = context.file.parent / config.file
        self._said: dict[str, str] = {}  # the text of each part that was said
        self._was_unread = False

    @property
    def name(self) -> str:
        """The name that origins carry."""
        return self._name

    def read(self) -> Iterator[Event]:
        """What changed since it was said last. Raises SourceError for a file that is absent or empty."""
        found, problem = self._parts()
        for part, (text, value, line) in found.items():
            if self._said.get(part) != text:
                yield Upsert(part, (Document(value, Origin(self._name, self._path.name, line)),))
        if problem is None:
            yield from (Delete(part) for part in self._said.keys() - found.keys())
            self._said = {}
        self._said |= {part: text for part, (text, _, _) in found.items()}
        # A line that cannot be read may be any object: none is said to be deleted, and the source as a whole is unread.
        yield Synced() if problem is None else Unread("", problem)

    async def watch(self) -> AsyncIterator[tuple[Event, ...]]:
        """Look twice a second; say what is new. A file that is gone is unread, and is looked for again."""
        seen: object = None
        while True:
            now = self._stamp()
            if now != seen:
                seen = now
                try:
                    yield tuple(self.read())
                except SourceError as error:
                    yield (Unread("", self._problem(str(error), 0)),)
            await asyncio.sleep(_LOOK_S)

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """The line of an object is as near as it gets."""
        return tuple(problems)

    def _parts(self) -> tuple[Mapping[str, tuple[str, dict[str, Any], int]], Problem | None]:
        """By part its text, object and line; and the first line that is no object."""
        found, problem = dict[str, tuple[str, dict[str, Any], int]](), None
        for number, text in enumerate(self._text().splitlines(), 1):
            try:
                value = json.loads(text)
                head = value["metadata"]
                found[f"{value['kind']}/{head.get('namespace', '')}/{head['name']}"] = (text, value, number)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                problem = problem or self._problem("it is not a Kubernetes object in JSON", number)
        return found, problem

    def _text(self) -> str:
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise SourceError(f'"{self._path}" cannot be read: {error}') from error
        if not text.strip():
            raise SourceError(f'"{self._path}" is empty')
        return text

    def _stamp(self) -> object:
        try:
            status = self._path.stat()
        except OSError:
            return None, 0
        return status.st_mtime_ns, status.st_size

    def _problem(self, text: str, line: int) -> Problem:
        ref, origin = ObjectRef("", "Source", "", self._name), Origin(self._name, self._path.name, line)
        return Problem("lines.unreadable", ref, "", text, "correct it; until then nobody gains access", origin)


LINES = SourceSpec("lines", LinesConfig, Lines)

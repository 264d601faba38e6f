"""A source in memory, as a cluster would be one: each object is a part, a kind can fail to be listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import yaml
from msgspec import Struct

from hub.api import (
    Delete,
    Document,
    Event,
    Listed,
    ObjectRef,
    Origin,
    Problem,
    SourceContext,
    SourceSpec,
    Synced,
    Unread,
    Upsert,
)
from hub.errors import SourceError
from hub.events import covers, lost
from hub.testing.memory_mesh import nothing


class MemorySourceConfig(Struct, frozen=True):
    """Nothing is to be set."""


class MemorySource:
    """Holds objects under parts `kind/namespace/name`; says them when it is read or watched."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._objects: dict[str, object] = {}
        self._failing: set[str] = set()
        self._reported: dict[str, object] = {}
        self._unread: set[str] = set()
        self._changed = asyncio.Event()
        self.slow = False  # who watches is told nothing
        self.said: Callable[[], None] = nothing  # called before who watches is told what changed

    @property
    def name(self) -> str:
        """See hub.api.ObjectSource."""
        return self._name

    def put(self, text: str) -> None:
        """Add or replace every object of a YAML text."""
        for value in yaml.load_all(text, yaml.CSafeLoader):
            head = value["metadata"]
            self._objects[f"{value['kind']}/{head['namespace']}/{head['name']}"] = value
        self._changed.set()

    def remove(self, part: str) -> None:
        """Delete one object. Raises KeyError if it is not there."""
        del self._objects[part]
        self._changed.set()

    def fail(self, *scopes: str) -> None:
        """From now on these parts and scopes ("" = all) cannot be read, and no others."""
        self._failing = set(scopes)
        self._changed.set()

    def hurry(self) -> None:
        """It is not slow any more."""
        self.slow = False
        self._changed.set()

    def restarted(self) -> MemorySource:
        """The same source for a hub that has not been told anything."""
        fresh = MemorySource(self._name)
        fresh._objects, fresh._failing = dict(self._objects), set(self._failing)
        fresh.slow, fresh.said = self.slow, self.said
        return fresh

    def read(self) -> Iterator[Event]:
        """See hub.api.ObjectSource; what cannot be read is said as `Unread`, and stays as it was said last."""
        if "" in self._failing:
            raise SourceError(f'source "{self._name}" cannot be read')
        for part, value in self._objects.items():
            if not self._hidden(part) and (part in self._unread or self._reported.get(part) != value):
                self._reported[part] = value
                yield Upsert(part, (Document(value, Origin(self._name)),))
        for part in [part for part in self._reported if part not in self._objects and not self._hidden(part)]:
            del self._reported[part]
            yield Delete(part)
        hidden = {part for part in self._unread - self._failing if self._hidden(part)}  # by itself, and by a scope now
        read = sorted(self._unread - self._failing - hidden)
        yield from (Delete(part) for part in read if part and not part.endswith("/") and part not in self._objects)
        yield from (Unread(scope, self._problem(scope)) for scope in sorted(self._failing))
        yield from (Listed(scope) for scope in read if scope.endswith("/"))
        self._unread = self._failing | hidden
        yield Synced()

    async def watch(self) -> AsyncIterator[tuple[Event, ...]]:
        """See hub.api.ObjectSource."""
        while True:
            self._changed.clear()
            if not self.slow:
                self.said()
                yield self._news()
            await self._changed.wait()

    def _news(self) -> tuple[Event, ...]:
        try:
            return tuple(self.read())
        except SourceError as error:
            return (lost(self._name, error),)

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """See hub.api.ObjectSource; objects of a cluster have no lines."""
        return tuple(problems)

    def _hidden(self, part: str) -> bool:
        return any(covers(scope, part) for scope in self._failing)

    def _problem(self, scope: str) -> Problem:
        ref = ObjectRef("", "Source", "", self._name)
        return Problem("source.unreadable", ref, "", f'"{scope}" cannot be read', "wait", Origin(self._name))


class MemorySources:
    """The kind of source `memory`; `opened` are those that a hub opened, by name."""

    def __init__(self) -> None:
        self.opened: dict[str, MemorySource] = {}
        self.spec = SourceSpec("memory", MemorySourceConfig, self._open)

    def _open(self, context: SourceContext, config: MemorySourceConfig) -> MemorySource:
        return self.opened.setdefault(context.name, MemorySource(context.name))

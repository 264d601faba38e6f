"""Results and what they were made from: a changed key forgets exactly the results that read it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from hub.store.index import Key

Job = TypeVar("Job", bound=Hashable)
Result = TypeVar("Result")


class Memo(Generic[Job, Result]):
    """Remembers results per job, and per key the jobs that read it."""

    def __init__(self) -> None:
        self._results: dict[Job, tuple[Result, frozenset[Key]]] = {}
        self._readers: dict[Key, set[Job]] = {}

    def get(self, job: Job) -> Result | None:
        """The remembered result, None if there is none."""
        found = self._results.get(job)
        return found[0] if found is not None else None

    def keep(self, job: Job, result: Result, keys: Iterable[Key]) -> None:
        """Remember a result and every key that it was made from."""
        self.forget(job)
        read = frozenset(keys)
        self._results[job] = (result, read)
        for key in read:
            self._readers.setdefault(key, set()).add(job)

    def forget(self, job: Job) -> None:
        """Drop a result, if there is one."""
        found = self._results.pop(job, None)
        if found is None:
            return
        for key in found[1]:
            readers = self._readers[key]
            readers.discard(job)
            if not readers:
                del self._readers[key]

    def readers(self, key: Key) -> frozenset[Job]:
        """The jobs whose remembered result read this key."""
        return frozenset(self._readers.get(key, ()))

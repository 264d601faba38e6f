"""Results and what they were made from: a changed key forgets exactly the results that read it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from hub.model import ObjectRef
from hub.store.index import Key
from hub.store.multimap import Multimap

Read = Key | ObjectRef
"""What a result was made from: the members of a key, or an object."""
Job = TypeVar("Job", bound=Hashable)
Result = TypeVar("Result")


class Memo(Generic[Job, Result]):
    """Remembers results per job, and per key the jobs that read it."""

    def __init__(self) -> None:
        self._results: dict[Job, tuple[Result, tuple[Read, ...]]] = {}
        self._readers: Multimap[Read, Job] = Multimap()

    def __bool__(self) -> bool:
        """Whether anything is remembered."""
        return bool(self._results)

    def get(self, job: Job) -> Result | None:
        """The remembered result, None if there is none."""
        found = self._results.get(job)
        return None if found is None else found[0]

    def keep(self, job: Job, result: Result, keys: tuple[Read, ...]) -> None:
        """Remember a result and every key that it was made from, each once."""
        self.forget(job)
        self._results[job] = (result, keys)
        for key in keys:
            self._readers.add(key, job)

    def forget(self, job: Job) -> None:
        """Drop a result, if there is one."""
        found = self._results.pop(job, None)
        if found is None:
            return
        for key in found[1]:
            self._readers.discard(key, job)

    def readers(self, key: Read) -> frozenset[Job]:
        """The jobs whose remembered result read this key."""
        return frozenset(self._readers.get(key))

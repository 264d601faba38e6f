"""What plugins do wrong beyond raising an Exception: they end the process or a task, or never answer. It must stay their own trouble."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

from hub.errors import TransientError

_T = TypeVar("_T")
HANGS_S = 10.0
"""So long one call of an adapter may take, for all meshes of a domain wait for it; twice as long each time that one was slow only."""
_MOST_S, _NEXT_S = 80.0, 1.0
"""The longest that may become, and how long another call may take while one hangs."""
_MOST_HANGING = 4
"""So many calls of one mesh's adapter may hang until nothing more is asked of it."""


class PluginError(Exception):
    """A plugin raised what is no Exception: SystemExit, or a panic of a library that is not written in Python."""


class AbandonedError(BaseException):
    """Nobody waits for this computation any more; it must touch nothing that it shares with others."""


class HangingError(TransientError):
    """An adapter does not answer."""


def is_ending() -> bool:
    """Whether the task that asks was told to end. What a plugin cancels by itself is a bug like any other."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # in a thread
        return False
    return task is not None and task.cancelling() > 0


@contextmanager
def contained(*kinds: type[BaseException]) -> Iterator[None]:
    """Raise PluginError for what is no Exception (of these kinds; none: of any), unless the task is to end."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if is_ending() or not isinstance(error, kinds or BaseException):
            raise
        raise PluginError(f"{type(error).__name__}: {error}") from error


async def in_task(work: Callable[[], Awaitable[_T]]) -> _T:
    """The same where it is a task of its own: by these two errors asyncio ends its loop, whoever waits for the task.

    The work is begun by the task: one that is cancelled before leaves no coroutine behind that nobody awaited.
    """
    with contained(SystemExit, KeyboardInterrupt):
        return await work()


class Calls:
    """The calls of one mesh's adapter while it is planned: one that hangs is given up, and not asked the same again while it hangs.

    A plan is made in a thread; `hanging` is asked outside of it.
    """

    def __init__(self, mesh: str) -> None:
        self._mesh = mesh
        self._lock = threading.Lock()
        self._running: dict[int, tuple[float, object, object]] = {}  # thread -> since when, for what, about what
        self._hung: dict[int, tuple[object, object]] = {}
        self._limit_s = HANGS_S
        self._late = False  # a call that was given up has ended after all

    def ask(self, key: object, subject: object, call: Callable[[], _T]) -> _T:
        """What a call gives that is about `subject`. Raises HangingError if the same hangs still, or too much does."""
        me = threading.get_ident()
        with self._lock:
            self._refuse(key, subject)
            self._running[me] = (monotonic(), key, subject)
        try:
            return call()
        finally:
            with self._lock:
                del self._running[me]
                if self._hung.pop(me, None) is not None:
                    self._late, self._limit_s = True, min(2 * self._limit_s, _MOST_S)
                    raise AbandonedError

    def hanging(self) -> bool:
        """Give up a call that takes too long; its thread does nothing more of its plan. Gives whether there was one."""
        with self._lock:
            limit_s = _NEXT_S if self._hung else self._limit_s
            late = [me for me, (since, *_) in self._running.items() if monotonic() - since > limit_s]
            fresh = [me for me in late if me not in self._hung]
            self._hung |= {me: self._running[me][1:] for me in fresh}
            return bool(fresh)

    @property
    def hung(self) -> bool:
        """Whether a call that was given up goes on still, or ended since `pop_ended`."""
        return bool(self._hung) or self._late

    def pop_ended(self) -> bool:
        """Whether one of them has ended after all, since this was asked last: then it may be asked again."""
        ended, self._late = self._late, False
        return ended

    def _refuse(self, key: object, subject: object) -> None:
        """Raise HangingError where asking would only make one thread more that hangs."""
        if (key, subject) in self._hung.values() or len(self._hung) >= _MOST_HANGING:
            raise HangingError(f'the adapter of mesh "{self._mesh}" does not answer; report this to its author')

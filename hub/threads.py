"""Threads for what takes long or blocks, beside the event loop, which goes on serving meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from hub.contained import AbandonedError

_T = TypeVar("_T")
_LOOK_S = 0.5
_Inbox = SimpleQueue[Callable[[], None]]
_idle: list[_Inbox] = []
"""The threads that have nothing to do. On a busy machine a new one may have to wait milliseconds for its first turn."""
os.register_at_fork(after_in_child=_idle.clear)  # the child has none of them


async def run_in_thread(work: Callable[[], _T], hangs: Callable[[], bool] | None = None) -> _T:
    """The result of a computation in another thread, or what it raises. It never waits for that of somebody else.

    Whoever awaits it must leave alone what it works on. A caller that is cancelled does not wait for its end, and neither does
    the end of the process: `smihub run` must stop when it is told to (a thread of asyncio's own pool would be waited for).
    Raises AbandonedError once `hangs`, which is asked now and then, has made sure that the thread touches nothing any more.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()
    _idle_or_new().put(partial(_run, partial(copy_context().run, work), loop, done))
    if hangs is not None:
        loop.call_later(_LOOK_S, _look, loop, done, hangs)
    return await done


def _run(work: Callable[[], _T], loop: asyncio.AbstractEventLoop, done: asyncio.Future[_T]) -> None:
    try:
        found = work()
    except StopIteration as error:
        # A future takes none, and whoever awaits it would wait for ever.
        end = partial(done.set_exception, RuntimeError(f"StopIteration: {error}"))
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
        end = partial(done.set_exception, error)
    else:
        end = partial(done.set_result, found)
    with suppress(RuntimeError):  # the loop has ended, nobody is there any more
        loop.call_soon_threadsafe(lambda: None if done.done() else end())


def _look(loop: asyncio.AbstractEventLoop, done: asyncio.Future[_T], hangs: Callable[[], bool]) -> None:
    if done.done():
        return
    if hangs():
        done.set_exception(AbandonedError())
    else:
        loop.call_later(_LOOK_S, _look, loop, done, hangs)


def _idle_or_new() -> _Inbox:
    with suppress(IndexError):
        return _idle.pop()
    inbox: _Inbox = SimpleQueue()
    threading.Thread(target=_serve, args=(inbox,), name="smihub-thread", daemon=True).start()
    return inbox


def _serve(inbox: _Inbox) -> None:
    while True:
        inbox.get()()
        _idle.append(inbox)


async def run_to_end(work: Callable[[], _T]) -> _T:
    """The same for a step that must not be left halfway: who is cancelled waits for its end first."""
    running = asyncio.ensure_future(run_in_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((running,))
        raise

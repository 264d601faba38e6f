"""Whether one HTTP match lets through nothing that another does not.

Pure. Plans compare permits by it, so that a pattern that became wider takes nothing from anybody. It is proven or not claimed:
patterns of paths are compared as languages, conditions on headers as they are written (of several lines of one name one is enough).
"""

from __future__ import annotations

from functools import lru_cache

from hub.model import HttpMatch
from hub.regex.algebra import excess
from hub.regex.automaton import language
from hub.regex.bounds import RegexRefusedError, bounded

_MOST_STEPS = 10_000
"""What one comparison may take, about 3 ms; beyond it nothing is claimed."""


@lru_cache(maxsize=1024)
def covers(outer: HttpMatch | None, inner: HttpMatch | None) -> bool:
    """Whether each request that `inner` matches is known to match `outer` too; of raw bytes (None) nothing is known."""
    if outer is None or inner is None:
        return False
    if outer.methods is not None and (inner.methods is None or not {*inner.methods} <= {*outer.methods}):
        return False
    return {*outer.headers} <= {*inner.headers} and _covers_path(outer.path, inner.path)


def _covers_path(outer: str | None, inner: str | None) -> bool:
    if outer is None or outer == inner:
        return True
    if inner is None:
        return False
    try:
        with bounded(_MOST_STEPS):
            return excess(language(inner), language(outer)) is None
    except RegexRefusedError:
        return False

"""What the engine may spend, and how it says that it will not: every operation ends, in a result or in a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hub.errors import SmihubError

MAX_STATES = 2000
"""Most states of an automaton, before and after it is made minimal."""
MAX_NODES = 8000
"""Most nodes of the nondeterministic program of one pattern; counted repetitions are written out."""
MAX_DEPTH = 100
"""Deepest nesting of groups."""
MAX_STEPS = 120_000
"""Most elementary steps of one operation (a state set member moved, a transition followed); about 30 ms."""


class RegexRefusedError(SmihubError):
    """The engine cannot or will not decide this pattern.

    `code` is `regex.invalid` (RE2 refuses the pattern; `reason` is RE2's own text), `regex.too-large` (more than
    `MAX_PATTERN` characters) or `regex.too-complex` (beyond a bound of this module, or bytes below characters).
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def too_complex(reason: str) -> RegexRefusedError:
    """The refusal of a pattern that is beyond a bound."""
    return RegexRefusedError("regex.too-complex", reason)


class StepBudget:
    """What several operations may take together, and what they took."""

    def __init__(self, steps: int) -> None:
        self.limit = steps
        self.spent = 0

    def spend(self, steps: int) -> None:
        """Count steps; raise `RegexRefusedError` once there are more than the limit."""
        self.spent += steps
        if self.spent > self.limit:
            raise too_complex(f"needs more than {self.limit} steps to analyse")


# A context variable, not a global: translations run in threads and tasks side by side, each with a budget of its own.
_OPEN: ContextVar[StepBudget | None] = ContextVar("_OPEN", default=None)


@contextmanager
def bounded(steps: int) -> Iterator[StepBudget]:
    """All operations within the block take at most so many steps together, and its account tells how many they took.

    Equal operations take equally many steps: inside of a block nothing is remembered from earlier ones. Beyond the limit an
    operation raises `RegexRefusedError` (`regex.too-complex`). Blocks do not nest: the inner one counts alone.
    """
    account = StepBudget(steps)
    before = _OPEN.set(account)
    try:
        yield account
    finally:
        _OPEN.reset(before)


def is_bounded() -> bool:
    """Whether a block of `bounded` is open."""
    return _OPEN.get() is not None


def charge(steps: int) -> None:
    """Count what a block takes outside of any single operation's meter."""
    account = _OPEN.get()
    if account is not None:
        account.spend(steps)


class Meter:
    """Counts the steps of one operation, for the block of `bounded` that it is in as well."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps
        self._account = _OPEN.get()

    def spend(self, steps: int = 1) -> None:
        """Count steps; raise `RegexRefusedError` when none are left."""
        self._left -= steps
        if self._left < 0:
            raise too_complex(f"needs more than {MAX_STEPS} steps to analyse")
        # Both limits count: that of the operation, and that of the block around it.
        if self._account is not None:
            self._account.spend(steps)

    def hold(self, states: int) -> None:
        """Raise `RegexRefusedError` when an automaton has more states than it may."""
        if states > MAX_STATES:
            raise too_complex(f"needs more than {MAX_STATES} states")

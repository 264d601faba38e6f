"""What the engine may spend, and how it says that it will not: every operation ends, in a result or in a refusal."""

from __future__ import annotations

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


class Meter:
    """Counts the steps of one operation."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int = 1) -> None:
        """Count steps; raise `RegexRefusedError` when none are left."""
        self._left -= steps
        if self._left < 0:
            raise too_complex(f"takes more than {MAX_STEPS} steps to decide")

    def hold(self, states: int) -> None:
        """Raise `RegexRefusedError` when an automaton has more states than it may."""
        if states > MAX_STATES:
            raise too_complex(f"needs more than {MAX_STATES} states")

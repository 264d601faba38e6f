"""Faults: the units of a plan on which an adapter raised. Each stays as it stands; the others are planned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hub.model import UnitKey


class Faults:
    """The units on which an adapter, or what compiles them, raised: one of them does not cost its mesh the whole plan."""

    def __init__(self) -> None:
        self.found: dict[UnitKey, Exception] = {}

    @contextmanager
    def of(self, key: UnitKey) -> Iterator[None]:
        """Note what is raised for a unit, and go on with the others."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is the unit's outcome
            self.found.setdefault(key, error)

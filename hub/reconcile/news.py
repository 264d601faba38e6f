"""What became known of units since they were planned: they gain nothing more by that plan, and the next one decides."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from hub.model import UnitKey


class News:
    """The units that may be other than they were when a plan was made."""

    def __init__(self) -> None:
        self._units: set[UnitKey] = set()
        self._told = asyncio.Event()

    def tell(self, units: Collection[UnitKey]) -> None:
        """These may be other than they were."""
        self._units.update(units)
        self._told.set()

    def of(self, units: Collection[UnitKey]) -> frozenset[UnitKey]:
        """Those of these units of which there is news."""
        return frozenset(self._units.intersection(units))

    async def wait(self, units: Collection[UnitKey]) -> None:
        """Wait until there is news of one of these units."""
        while not self.of(units):
            self._told.clear()
            await self._told.wait()

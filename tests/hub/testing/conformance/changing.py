"""Adapters that translate as the good one does, after a part of the unit became another one; a fresh process finds them by name."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from hub.api import Access, Grant, HttpMatch, Route, Split, Translation, Unit
from tests.hub.testing.conformance import gate_mesh
from tests.hub.testing.conformance.gate_mesh import GateConfig


class OfGrants(Struct, frozen=True):
    """Translates as the good adapter does, after each grant became another one."""

    change: Callable[[Grant], Grant]

    def __call__(self, unit: Unit, config: GateConfig) -> Translation:
        """Translate a unit."""
        if isinstance(unit, Access):
            unit = replace(unit, grants=tuple(map(self.change, unit.grants)))
        return gate_mesh.translate(unit, config)


class OfMatches(Struct, frozen=True):
    """The same of each match of a grant."""

    change: Callable[[HttpMatch], HttpMatch]

    def __call__(self, unit: Unit, config: GateConfig) -> Translation:
        """Translate a unit."""
        return OfGrants(self._changed)(unit, config)

    def _changed(self, grant: Grant) -> Grant:
        return grant if grant.http is None else replace(grant, http=tuple(map(self.change, grant.http)))


class OfSplits(Struct, frozen=True):
    """The same of each split."""

    change: Callable[[Split], Split]

    def __call__(self, unit: Unit, config: GateConfig) -> Translation:
        """Translate a unit."""
        if isinstance(unit, Route):
            ports = (replace(port, splits=tuple(map(self.change, port.splits))) for port in unit.ports)
            unit = replace(unit, ports=tuple(ports))
        return gate_mesh.translate(unit, config)

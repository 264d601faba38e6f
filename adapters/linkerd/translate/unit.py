"""Translate one unit of intent into Linkerd objects. Pure: no clock, no network, no order dependence."""

from __future__ import annotations

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.translate.access import translate_access
from adapters.linkerd.translate.routes import translate_route
from hub.api import Access, Route, Translation, Unit


def translate(unit: Unit, config: LinkerdConfig) -> Translation:
    """The native objects of a unit, sorted by ref, and what Linkerd cannot carry out of it (never wider, splits aside)."""
    if isinstance(unit, Access):
        return translate_access(unit, config)
    return translate_route(unit, config) if isinstance(unit, Route) else Translation()

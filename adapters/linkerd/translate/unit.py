"""Translate one unit of intent into Linkerd objects. Pure: no clock, no network, no order dependence."""

from __future__ import annotations

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.translate.access import translate_access
from hub.api import Access, Translation, Unit


def translate(unit: Unit, config: LinkerdConfig) -> Translation:
    """The native objects of a unit, sorted by ref, and what Linkerd cannot carry out of it (never wider, splits aside)."""
    return translate_access(unit, config) if isinstance(unit, Access) else Translation()

"""Translate one unit of intent into Linkerd objects. Pure: no clock, no network, no order dependence."""

from __future__ import annotations

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.safety.check import check
from adapters.linkerd.translate.access import translate_access
from adapters.linkerd.translate.routes import translate_route
from hub.api import Access, Route, Translation, Unit


def translate(unit: Unit, config: LinkerdConfig) -> Translation:
    """The native objects of a unit, sorted by ref, and what Linkerd cannot carry out of it (never wider, splits aside).

    Raises UnsafeResourceError rather than return a body that Linkerd might read as more than it says, or not at all.
    """
    if isinstance(unit, Access):
        translation = translate_access(unit, config)
    else:
        translation = translate_route(unit, config) if isinstance(unit, Route) else Translation()
    for item in translation.objects:
        check(item.body)
    return translation

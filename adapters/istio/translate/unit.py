"""Translate one unit of intent into Istio objects. Pure: no clock, no network, no order dependence."""

from __future__ import annotations

from adapters.istio.config import IstioConfig
from adapters.istio.safety.check import check
from adapters.istio.translate.access import translate_access
from adapters.istio.translate.routes import translate_route
from hub.api import Access, Route, Translation, Unit


def translate(unit: Unit, config: IstioConfig) -> Translation:
    """The native objects of a unit, sorted by ref, and what Istio cannot carry out of it (never wider, splits aside).

    Raises UnsafeResourceError rather than return a body that Istio might read as more than it says.
    """
    if isinstance(unit, Access):
        translation = translate_access(unit, config)
    else:
        translation = translate_route(unit, config) if isinstance(unit, Route) else Translation()
    for item in translation.objects:
        check(item.body, config.root_namespace)
    return translation

"""Translate one unit of intent into config entries. Pure: no clock, no network, no order dependence."""

from __future__ import annotations

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.safety.check import check_entry, check_resource
from adapters.consul.translate.access import translate_access
from adapters.consul.translate.baseline import translate_baseline
from adapters.consul.translate.objects import Form
from adapters.consul.translate.routes import translate_route
from hub.api import Access, Route, Translation, Unit


def translate_entries(unit: Unit, config: ConsulConfig) -> Translation:
    """The config entries of a unit, sorted by ref, and what Consul cannot carry out of it (never wider, splits aside).

    Raises UnsafeResourceError rather than return a body that Consul or an Envoy might read as more than it says, or not at all.
    """
    translation = _translated(unit, Form(config, resources=False))
    for item in translation.objects:
        check_entry(item.body)
    return translation


def translate_resources(unit: Unit, config: ConsulK8sConfig) -> Translation:
    """The same as custom resources of consul-k8s."""
    translation = _translated(unit, Form(config, resources=True))
    for item in translation.objects:
        check_resource(item.body)
    return translation


def _translated(unit: Unit, form: Form) -> Translation:
    if isinstance(unit, Access):
        return translate_access(unit, form)
    return translate_route(unit, form) if isinstance(unit, Route) else translate_baseline(unit, form)

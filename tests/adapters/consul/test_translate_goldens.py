"""Golden pairs: intent in YAML, and the config entries, and custom resources, that it becomes, as people read them.

`SMIHUB_UPDATE_GOLDENS=1 pytest tests/adapters/consul/test_translate_goldens.py` writes the second half anew; read the diff.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.files import FAMILY
from adapters.consul.translate.unit import translate_entries, translate_resources
from hub.model import NativeObject
from hub.sinks.kubernetes import KUBERNETES
from tests.adapters.goldens import cases_of, hold, shown, unit_of

GOLDENS = Path(__file__).parent / "goldens"
CASES = cases_of(GOLDENS)
_WILDCARDS = {"wildcards": ("shop_web", "shop_prom", "old_batch")}


def _entry(item: NativeObject) -> dict[str, Any]:
    return {"role": item.role.value, **FAMILY.view(item.body, item.ref.kind)}


def _resource(item: NativeObject) -> dict[str, Any]:
    return {"role": item.role.value, **KUBERNETES.view(item.body, item.ref.kind)}


@pytest.mark.parametrize("case", CASES)
def test_entries_when_intent_is_translated(case: str) -> None:
    """Every entry of a case, field by field, with its losses."""
    made = translate_entries(unit_of(GOLDENS, case), ConsulConfig(wildcard_sources=_WILDCARDS.get(case, ())))
    assert [item.ref for item in made.objects] == sorted(item.ref for item in made.objects)
    hold(GOLDENS / f"{case}.consul.yaml", shown(made, _entry))


@pytest.mark.parametrize("case", ["http-access", "split"])
def test_resources_when_intent_is_translated(case: str) -> None:
    """The same as custom resources."""
    made = translate_resources(unit_of(GOLDENS, case), ConsulK8sConfig())
    hold(GOLDENS / f"{case}.consul-k8s.yaml", shown(made, _resource))


@pytest.mark.parametrize("case", CASES)
def test_both_forms_say_the_same(case: str) -> None:
    """As many objects, of the same kinds, and the same losses."""
    unit = unit_of(GOLDENS, case)
    names = "{namespace}--{name}"
    entries = translate_entries(unit, ConsulConfig(names=names))
    resources = translate_resources(unit, ConsulK8sConfig(names=names))
    assert [loss.code for loss in entries.losses] == [loss.code for loss in resources.losses]
    assert {one.ref.name for one in entries.objects} == {one.ref.name for one in resources.objects}
    assert len(entries.objects) == len(resources.objects)

"""Golden pairs: intent in YAML, and the Istio objects that it becomes, as people read them.

`SMIHUB_UPDATE_GOLDENS=1 pytest tests/adapters/istio/test_translate_goldens.py` writes the second half anew; read the diff.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.istio.config import IstioConfig
from adapters.istio.translate.unit import translate
from hub.model import NativeObject
from hub.sinks.kubernetes import KUBERNETES
from tests.adapters.goldens import cases_of, hold, shown, unit_of

GOLDENS = Path(__file__).parent / "goldens"
CASES = cases_of(GOLDENS)


PATTERNS = "patterns"
"""Cases whose mesh has EnvoyFilters begin with this."""


def _config(case: str) -> IstioConfig:
    return IstioConfig(patterns="envoyfilter" if case.startswith(PATTERNS) else "refuse")


def _shown(item: NativeObject) -> dict[str, Any]:
    return {"role": item.role.value, **KUBERNETES.view(item.body, item.ref.kind)}


@pytest.mark.parametrize("case", CASES)
def test_objects_when_intent_is_translated(case: str) -> None:
    """Every object of a case, field by field, with its losses."""
    hold(GOLDENS / f"{case}.istio.yaml", shown(translate(unit_of(GOLDENS, case), _config(case)), _shown))


@pytest.mark.parametrize("case", CASES)
def test_refs_when_intent_is_translated(case: str) -> None:
    """Every object is named by its ref, and they are sorted."""
    made = translate(unit_of(GOLDENS, case), _config(case)).objects
    assert [item.ref for item in made] == sorted(item.ref for item in made)
    for item in made:
        manifest = KUBERNETES.view(item.body, item.ref.kind)
        version = "v1alpha3" if item.ref.kind == "EnvoyFilter" else "v1"
        assert manifest["apiVersion"] == f"{item.ref.group}/{version}"
        assert manifest["metadata"] == {"name": item.ref.name, "namespace": item.ref.namespace}


def test_cases_when_collected() -> None:
    """The folder is not empty, and holds no half pair."""
    halves = [path.name.split(".")[0] for path in GOLDENS.iterdir()]
    assert len(CASES) >= 5
    assert sorted(halves) == sorted([*CASES, *CASES])

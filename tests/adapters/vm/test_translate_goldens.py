"""Golden pairs: intent in YAML, and the resources that it becomes, as people read them.

`SMIHUB_UPDATE_GOLDENS=1 pytest tests/adapters/vm/test_translate_goldens.py` writes the second half anew; read the diff.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.vm import wire
from adapters.vm.config import VmConfig
from adapters.vm.safety.check import check
from adapters.vm.translate.unit import translate
from adapters.vm.view import name, view
from hub.model import NativeObject
from tests.adapters.goldens import cases_of, hold, shown, unit_of

GOLDENS = Path(__file__).parent / "goldens"
CASES = cases_of(GOLDENS)


def _shown(item: NativeObject) -> dict[str, Any]:
    return {
        "ref": str(item.ref),
        "role": item.role.value,
        "needs": [str(need) for need in item.needs],
        "body": view(item.body, item.ref.kind),
    }


@pytest.mark.parametrize("case", CASES)
def test_resources_when_intent_is_translated(case: str) -> None:
    """Every resource of a case, field by field, with its losses."""
    hold(GOLDENS / f"{case}.xds.yaml", shown(translate(unit_of(GOLDENS, case), VmConfig()), _shown))


@pytest.mark.parametrize("case", CASES)
def test_final_bytes_when_intent_is_translated(case: str) -> None:
    """Every resource is named by its ref, canonical, survives the way through JSON, and passes the structural check."""
    for item in translate(unit_of(GOLDENS, case), VmConfig()).objects:
        assert name(item.ref.kind, item.body) == item.ref.name
        if item.ref.kind in wire.KINDS:
            assert wire.pack(wire.from_json(item.ref.kind, view(item.body, item.ref.kind))) == item.body
            check(item.ref.kind, item.body)


def test_cases_when_collected() -> None:
    """The folder is not empty, and holds no half pair."""
    halves = {path.name.split(".")[0] for path in GOLDENS.iterdir()}
    assert len(CASES) >= 5
    assert halves == set(CASES)

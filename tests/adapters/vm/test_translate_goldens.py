"""Golden pairs: intent in YAML, and the resources that it becomes, as people read them.

`SMIHUB_UPDATE_GOLDENS=1 pytest tests/adapters/vm/test_translate_goldens.py` writes the second half anew; read the diff.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from adapters.vm import wire
from adapters.vm.config import VmConfig
from adapters.vm.safety import check
from adapters.vm.translate import translate
from adapters.vm.view import name, view
from hub.model import Access, NativeObject, Route, Translation, Unit

GOLDENS = Path(__file__).parent / "goldens"
CASES = sorted(path.name.removesuffix(".intent.yaml") for path in GOLDENS.glob("*.intent.yaml"))
_KINDS: dict[str, type[Access | Route]] = {"access": Access, "route": Route}


def unit_of(case: str) -> Unit:
    """The unit of a case: one key, `access` or `route`."""
    ((kind, value),) = yaml.safe_load((GOLDENS / f"{case}.intent.yaml").read_text()).items()
    return msgspec.convert(value, _KINDS[kind], dec_hook=_fraction)


def _fraction(kind: type, value: Any) -> Any:
    if kind is Fraction:
        return Fraction(str(value))
    raise NotImplementedError(kind)


def shown(translation: Translation) -> str:
    """A translation as YAML."""
    objects = [_shown(item) for item in translation.objects]
    losses = [msgspec.to_builtins(loss) for loss in translation.losses]
    return yaml.safe_dump({"objects": objects, "losses": losses}, sort_keys=False, width=120, allow_unicode=True)


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
    text = shown(translate(unit_of(case), VmConfig()))
    golden = GOLDENS / f"{case}.xds.yaml"
    if os.environ.get("SMIHUB_UPDATE_GOLDENS"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("case", CASES)
def test_final_bytes_when_intent_is_translated(case: str) -> None:
    """Every resource is named by its ref, canonical, survives the way through JSON, and passes the structural check."""
    for item in translate(unit_of(case), VmConfig()).objects:
        assert name(item.ref.kind, item.body) == item.ref.name
        if item.ref.kind in wire.KINDS:
            assert wire.pack(wire.from_json(item.ref.kind, view(item.body, item.ref.kind))) == item.body
            check(item.ref.kind, item.body)


def test_cases_when_collected() -> None:
    """The folder is not empty, and holds no half pair."""
    halves = {path.name.split(".")[0] for path in GOLDENS.iterdir()}
    assert len(CASES) >= 5
    assert halves == set(CASES)

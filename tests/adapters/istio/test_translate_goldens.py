"""Golden pairs: intent in YAML, and the Istio objects that it becomes, as people read them.

`SMIHUB_UPDATE_GOLDENS=1 pytest tests/adapters/istio/test_translate_goldens.py` writes the second half anew; read the diff.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from adapters.istio.config import IstioConfig
from adapters.istio.translate import translate
from adapters.istio.view import view
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
    return {"role": item.role.value, **view(item.body, item.ref.kind)}


@pytest.mark.parametrize("case", CASES)
def test_objects_when_intent_is_translated(case: str) -> None:
    """Every object of a case, field by field, with its losses."""
    text = shown(translate(unit_of(case), IstioConfig()))
    golden = GOLDENS / f"{case}.istio.yaml"
    if os.environ.get("SMIHUB_UPDATE_GOLDENS"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("case", CASES)
def test_refs_when_intent_is_translated(case: str) -> None:
    """Every object is named by its ref, and they are sorted."""
    made = translate(unit_of(case), IstioConfig()).objects
    assert [item.ref for item in made] == sorted(item.ref for item in made)
    for item in made:
        manifest = view(item.body, item.ref.kind)
        assert manifest["apiVersion"] == f"{item.ref.group}/v1"
        assert manifest["metadata"] == {"name": item.ref.name, "namespace": item.ref.namespace}


def test_cases_when_collected() -> None:
    """The folder is not empty, and holds no half pair."""
    halves = [path.name.split(".")[0] for path in GOLDENS.iterdir()]
    assert len(CASES) >= 5
    assert sorted(halves) == sorted([*CASES, *CASES])

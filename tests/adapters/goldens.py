"""Golden pairs of an adapter: a unit of intent in one YAML file, what it becomes in another, as people read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hub.model import Access, NativeObject, Route, Translation, Unit

_KINDS: dict[str, type[Access | Route]] = {"access": Access, "route": Route}


def cases_of(folder: Path) -> list[str]:
    """The names of all pairs of a folder."""
    return sorted(path.name.removesuffix(".intent.yaml") for path in folder.glob("*.intent.yaml"))


def unit_of(folder: Path, case: str) -> Unit:
    """The unit of a case: one key, `access` or `route`."""
    ((kind, value),) = yaml.load((folder / f"{case}.intent.yaml").read_text(), yaml.CSafeLoader).items()
    return msgspec.convert(value, _KINDS[kind], dec_hook=_fraction)


def _fraction(kind: type, value: Any) -> Any:
    if kind is Fraction:
        return Fraction(str(value))
    raise NotImplementedError(kind)


def shown(translation: Translation, show: Callable[[NativeObject], dict[str, Any]]) -> str:
    """A translation as YAML, each object as `show` says."""
    objects = [show(item) for item in translation.objects]
    losses = [msgspec.to_builtins(loss) for loss in translation.losses]
    assert [loss.pop("unit") for loss in losses] == [None] * len(losses)  # the hub's to say
    return yaml.safe_dump({"objects": objects, "losses": losses}, sort_keys=False, width=120, allow_unicode=True)


def hold(golden: Path, text: str) -> None:
    """Fail where a golden says something else; with SMIHUB_UPDATE_GOLDENS set it is written anew."""
    if os.environ.get("SMIHUB_UPDATE_GOLDENS"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()

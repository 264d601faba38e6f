"""The JSON Schemas of what the command prints, made strict: a field that is not described is a mistake of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastjsonschema

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"


def check_strictly(name: str, data: Any) -> None:
    """Raise unless the data has the form of this schema, and no field that it does not describe."""
    _strict(name)(data)


def _strict(name: str) -> Any:
    return fastjsonschema.compile(_closed(json.loads((FOLDER / name).read_text(encoding="utf-8"))))


def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _closed(value) for key, value in part.items()}
    typed = "object" in (part.get("type") or ())
    return {**found, "additionalProperties": False} if typed and isinstance(part.get("properties"), dict) else found

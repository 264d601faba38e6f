"""The table of hcl_entries.yaml: config entries in HCL, each with what the API shows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_ROWS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
ENTRIES: dict[str, tuple[str, dict[str, Any]]] = {row["case"]: (row["hcl"], row["entry"]) for row in _ROWS}

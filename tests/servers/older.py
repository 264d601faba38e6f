"""Installations as an older smihub left them (`tests/fixtures`), put in place so that this one may be tried on them."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

FIXTURES = Path(__file__).parents[1] / "fixtures" / "f44faaa"
_OCTET = "127.200."


def install(base: Path, kind: Literal["vm", "istio"], octet: int = 200) -> Path:
    """Put smihub.yaml, sources and what was applied of them under `base`; gives the path of smihub.yaml.

    `octet` (three digits) takes the place of 200 in every address 127.200.x.y, so that it fits beside other tests.
    """
    if not 100 <= octet <= 255:
        raise ValueError("only an octet of three digits keeps the lengths that stand in stored bodies")
    shutil.copytree(FIXTURES / kind, base, dirs_exist_ok=True)
    if kind == "istio":
        return base / "smihub.yaml"
    for file in base.glob("folder/*.yaml"):
        file.write_text(file.read_text().replace(_OCTET, f"127.{octet}."))
    script = base / "hub.sql"
    _restore(script.read_text(), octet, base / ".smihub")
    script.unlink()
    return base / "smihub.yaml"


def _restore(script: str, octet: int, folder: Path) -> None:
    """Make the state file from its SQL text; bodies in it are hexadecimal."""
    fresh = f"127.{octet}."
    script = script.replace(_OCTET, fresh).replace(_OCTET.encode().hex().upper(), fresh.encode().hex().upper())
    folder.mkdir(mode=0o700)
    file = folder / "hub.sqlite"
    file.touch(mode=0o600)
    with closing(sqlite3.connect(file)) as db:
        db.executescript(script)

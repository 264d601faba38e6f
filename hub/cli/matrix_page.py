"""A matrix as one HTML page that asks no server: to look at, to filter, to attach to a report.

The page runs its own script alone (its digest is in the Content-Security-Policy) and shows what users wrote as text only.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

from msgspec import json

import hub.cli
from hub.cli.matrix_data import matrix_data
from hub.matrix import Matrix


def page_of(matrices: Mapping[str, Matrix]) -> str:
    """The page."""
    page, script = (files(hub.cli).joinpath(f"matrix.{kind}").read_text("utf-8") for kind in ("html", "js"))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    data = json.encode(matrix_data(matrices)).decode().replace("<", "\\u003c")
    return page.replace("@HASH@", digest).replace("@SCRIPT@", script).replace("@DATA@", data)

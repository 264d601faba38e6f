"""docs/support.md is what the adapters declare."""

from __future__ import annotations

import os
from pathlib import Path

from hub.cli.codes import documented
from hub.cli.support import limits_of, support_page
from hub.plugins import installed_plugins

PAGE = Path(__file__).parents[2] / "docs" / "support.md"


def test_the_page_says_what_the_adapters_declare() -> None:
    """Of all that come with smihub; `make goldens` writes it again."""
    found = support_page(installed_plugins().adapters)
    if os.environ.get("SMIHUB_UPDATE_GOLDENS"):
        PAGE.write_text(found, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == found


def test_every_limit_has_a_code_and_a_reason() -> None:
    """What is not supported wholly has a code, and each code a meaning in docs/problems.md."""
    for spec in installed_plugins().adapters.values():
        for feature, codes in limits_of(spec).items():
            assert codes, (spec.name, feature)
            assert all(documented()[code][0] for code in codes), (spec.name, feature)

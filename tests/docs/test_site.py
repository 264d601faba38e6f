"""The site of `make docs`, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.servers.browser import Page, browser

SITE = Path(__file__).parents[2] / "build" / "site"
LISTEN = """
document.addEventListener("copy", () => { window.copied = document.activeElement.value; });
window.buttons = [...document.querySelectorAll(".language-console button[data-clipboard-target]")];
return buttons.length;
"""


@pytest.fixture(name="shown", scope="module")
def shown_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser; the site is there."""
    assert (SITE / "index.html").is_file(), "make docs builds the site"
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def copied(page: Page) -> list[str]:
    """What the button of each console block copies, without empty lines."""
    texts = []
    for index in range(page.run(LISTEN)):
        page.run(f"buttons[{index}].focus()")
        page.press("enter")
        text = cast("str", page.run("return window.copied"))
        texts.append("\n".join(line for line in text.splitlines() if line.strip()))
    return texts


@pytest.mark.browser
def test_button_copies_what_one_types(shown: Page) -> None:
    """Neither the prompt nor the answer of a command can be pasted."""
    shown.open(SITE / "docs" / "cli.html")
    found = copied(shown)
    assert found[0] == "smihub plan --save review.plan\nsmihub apply review.plan --yes"
    assert "smihub explain --from w/who-client --to w/who:80" in found
    assert [text for text in found if "$ " in text or "note:" in text] == []

"""Links between pages, and from pages to files, lead somewhere in the repository; `make docs` also holds their anchors."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
FOREIGN = re.compile(r"<(?:script|link|img|iframe|source)[^>]* (?:src|href)=.?(?:https?:)?//[^>]*>")
DIAGRAMS = re.compile(r"<script src=\S*mermaid\.min\.js\S* defer>")
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted(
        page
        for top in ("adapters", "examples/adapters", "examples/plugins")
        for page in (ROOT / top).glob("*/README.md")
    ),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    """Relative to its page."""
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_of_docs_is_in_the_navigation() -> None:
    """A page that no reader can find is not there."""
    navigation = (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [str(page.relative_to(ROOT)) for page in PAGES]
    assert [page for page in pages if f": {page}\n" not in navigation] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_code_has_an_escaped_bar(page: Path) -> None:
    """In a table GitHub removes the backslash from code, and the site shows it."""
    assert re.findall(r"`[^`\n]*\\\|[^`\n]*`", page.read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_the_site_is_built() -> None:
    """Strictly: every warning is an error. Needs the network once; a browser that shows the site needs no other server."""
    done = subprocess.run(["make", "-C", str(ROOT), "docs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    site = ROOT / "build" / "site"
    assert (site / "docs" / "first-hour-vm.html").is_file()
    assert (site / "docs" / "mermaid.min.js").is_file()
    pages = [page.read_text(encoding="utf-8") for page in site.rglob("*.html")]
    assert [found for page in pages for found in FOREIGN.findall(page)] == []
    assert all(DIAGRAMS.search(page) for page in pages)

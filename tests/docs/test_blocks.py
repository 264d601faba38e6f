"""Every block of the pages is run by a test that tests/docs/blocks.yaml names, or stands there with the reason why not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.docs.page_blocks import PAGES, ROOT, Entry, block, blocks_of, entry_of, prints, registry

ENTRIES = registry()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_has_an_entry_and_every_entry_a_block(page: Path) -> None:
    """Whoever adds a block says who runs it."""
    name = str(page.relative_to(ROOT))
    found = [(each, entry_of(each, ENTRIES.get(name, ()))) for each in blocks_of(page)]
    assert [f"{each.kind}: {each.first}" for each, entry in found if entry is None] == []
    used = [entry for _, entry in found]
    assert [entry for entry in ENTRIES.get(name, ()) if entry not in used] == []


def test_no_entry_is_of_a_page_that_is_gone() -> None:
    """Or of a page without blocks."""
    assert ENTRIES.keys() <= {str(page.relative_to(ROOT)) for page in PAGES}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("page", "entry"), [(page, entry) for page, entries in ENTRIES.items() for entry in entries], ids=str
)
def test_an_entry_names_a_test_of_its_page_or_a_reason(page: str, entry: Entry) -> None:
    """The test is there, and its file speaks of the page."""
    assert bool(entry.test) != bool(entry.why)
    assert bool(entry.kinds) != bool(entry.begins)
    if entry.test:
        file, _, name = entry.test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert name in {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
        assert Path(page).name in text


def test_one_block_is_found_by_how_it_begins() -> None:
    """And only one."""
    assert block("docs/cli.md", "$ smihub test").kind == "console"
    with pytest.raises(ValueError, match="unpack"):
        block("docs/cli.md", "$ smihub explain")


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("a\n...\nd e\n", True),
        ("a\n...\nd ...\n", True),
        ("a\nd e\n", False),
        ("...\nd ...f\n", False),
        ("a\nb\nc\nd e\n", True),
    ],
)
def test_what_is_left_out_is_any_text(written: str, same: bool) -> None:  # noqa: FBT001 - a column
    """And nothing else may differ."""
    assert prints(written, "a\nb\nc\nd e\n") == same

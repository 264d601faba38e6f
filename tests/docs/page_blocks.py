"""The blocks of the pages, where each is run (tests/docs/blocks.yaml), and whether a block prints what its page says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

ROOT = Path(__file__).parents[2]
REGISTRY = Path(__file__).parent / "blocks.yaml"
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "adapters/*/README.md",
        "examples/*/*/README.md",
        "deploy/**/README.md",
    )
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
_BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


class Block(Struct, frozen=True):
    """A fenced block: its page (from the root of the repository), its kind ("" if none is written), its text."""

    page: str
    kind: str
    text: str

    @property
    def first(self) -> str:
        """Its first line, by which the registry names it."""
        return self.text.partition("\n")[0].strip()


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """Some blocks of a page: all of these kinds, or the one that begins so; the test that runs them, or why none does."""

    kinds: tuple[str, ...] = ()
    begins: str = ""
    test: str = ""
    why: str = ""

    def covers(self, block: Block) -> bool:
        """Whether a block is one of them."""
        return block.first.startswith(self.begins) if self.begins else block.kind in self.kinds


def blocks_of(page: Path) -> list[Block]:
    """Every block of a page, in order."""
    name = str(page.relative_to(ROOT))
    return [Block(name, kind, body) for kind, body in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def block(page: str, begins: str) -> Block:
    """The one block of a page that begins so."""
    (found,) = (each for each in blocks_of(ROOT / page) if each.first.startswith(begins))
    return found


def registry() -> dict[str, tuple[Entry, ...]]:
    """The entries of every page; an entry by `begins` comes before those by kind."""
    return msgspec.yaml.decode(REGISTRY.read_bytes(), type=dict[str, tuple[Entry, ...]])


def entry_of(found: Block, entries: Sequence[Entry]) -> Entry | None:
    """The entry of a block; one by its first line counts more than one by its kind."""
    ordered = sorted(entries, key=lambda entry: not entry.begins)
    return next((entry for entry in ordered if entry.covers(found)), None)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block (after `$`), with what the page says that it prints."""
    for part in re.split(r"(?m)^\$ ", text)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def prints(written: str, printed: str) -> bool:
    """Whether a command printed what a page says: a line `...` is any number of lines, `...` in a line is any text."""
    lines = (
        r"(?:.*\n)*?" if line.strip() == "..." else f"{'.*'.join(map(re.escape, line.split('...')))}\n"
        for line in written.splitlines()
    )
    return re.fullmatch("".join(lines), printed) is not None

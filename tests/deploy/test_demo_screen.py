"""What `make demo` prints fits a terminal of 100 columns, shows red only for a failure, and ends with commands that work."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

ROOT = Path(__file__).parents[2]
RED = "\x1b[1;31m"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The demo's modules, by name."""
    folder = ROOT / "deploy" / "demo"
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    yield import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(f"{folder}/"):
            del sys.modules[name]


def new_console() -> Console:
    """A terminal of 100 columns that is not shown."""
    return Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard", highlight=False)


def text(console: Console) -> str:
    """What was printed, with its colours."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_introduction_is_six_lines_of_at_most_100_columns(demo: Any) -> None:
    """Its drawing included."""
    lines = demo("screen").INTRODUCTION.splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) <= 100


def printed_table(demo: Any, rows: Sequence[Any]) -> list[str]:
    """The table of these rows, with the longest answer that an Envoy gives."""
    story, console = demo("story"), new_console()
    shown = story.new_table()
    for row in rows:
        story.add_row(shown, row, "allow", "200 by catalog-1", agrees=True)
    story.print_table(console, shown)
    return text(console).splitlines()


def test_ten_rows_are_shown_on_a_line_each(demo: Any) -> None:
    """Below one line of headings."""
    rows = demo("rows")
    assert len(rows.BRIEF) == 10
    assert len(printed_table(demo, rows.BRIEF)) == 1 + 10


def test_the_full_table_cuts_nothing(demo: Any) -> None:
    """A long cell goes on in the next line, between words."""
    rows, story = demo("rows").ROWS, demo("story")
    lines = "\n".join(printed_table(demo, rows))
    words = {word for row in rows for word in (*row.title.split(), *story.request_text(row).split())}
    assert [word for word in words if word not in lines] == []


@pytest.mark.parametrize(("verdict", "agrees"), [("allow", True), ("deny", True), ("deny", False)])
def test_only_a_difference_is_red(demo: Any, verdict: str, agrees: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A denial that SMI asks for is none."""
    story, console = demo("story"), new_console()
    shown = story.new_table()
    story.add_row(shown, demo("rows").ROWS[0], verdict, "403", agrees=agrees)
    console.print(shown)
    assert (RED in text(console)) is not agrees


@pytest.mark.parametrize("holds", [True, False])
def test_an_act_ends_with_one_verdict(demo: Any, holds: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """PASS, or FAIL with what differed."""
    screen, console = demo("screen"), new_console()
    story = demo("story").Story(None, None, None, console)

    async def play(story: Any) -> str:
        story.check("first", True)
        story.check("second", holds)
        return "it was proved"

    asyncio.run(screen.perform(story, 1, screen.Act("An act", play)))
    screen.last_screen(console, story.failures, 1.0)
    printed = text(console)
    assert (printed.count("PASS"), printed.count("FAIL")) == ((1, 0) if holds else (0, 1))
    assert ("not as SMI says" in printed, RED in printed) == (not holds, not holds)


@pytest.mark.thorough
def test_every_mesh_is_in_the_last_table(demo: Any, tmp_path: Path) -> None:
    """None allows what SMI denies; Linkerd, which has regular expressions, denies nothing of the example besides.

    Consul does: one account of the example has two ports, and is behind several Services.
    """
    console, story = new_console(), demo("story")
    told = story.Story(demo("world").World.make(tmp_path), None, None, console)
    proved = asyncio.run(demo("meshes").meshes(told))
    assert told.failures == []
    rows = [line.split() for line in text(console).splitlines()[-4:]]
    allowed = str(sum(int(each) for each in rows[0][1:2]))
    assert [row[0] for row in rows] == ["vm", "istio", "linkerd", "consul"]
    assert rows[0][1:] == rows[2][1:] == [allowed, str(len(demo("rows").ROWS) - int(allowed)), "0", "0"]
    assert min(int(rows[1][3]), int(rows[3][3])) > 0
    assert rows[1][4] == rows[3][4] == "0"
    assert proved == f"{len(demo('rows').ROWS)} requests to 4 meshes; what SMI denies, all deny"
    assert max(len(re.sub("\x1b[^m]*m", "", line)) for line in text(console).splitlines()) <= 100


@pytest.mark.thorough
def test_the_next_commands_work_when_pasted(demo: Any) -> None:
    """At the root of the repository, in one shell."""
    script = "\n".join(("set -e", *demo("screen").NEXT)).replace(".venv/bin/activate", f"{sys.prefix}/bin/activate")
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "all passed" in done.stdout
    assert "except for its methods" in done.stdout
    assert max(map(len, demo("screen").NEXT)) <= 98

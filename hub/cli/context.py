"""What every verb shares: where the configuration is, how to print, how an error ends the command."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
import yaml
from msgspec import json
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from hub.cli import completion
from hub.errors import ConfigError, RefusedError, SmihubError
from hub.model import printable


class Exit(IntEnum):
    """Exit codes of every verb (docs/cli.md)."""

    SAME = 0
    ERROR = 1
    CHANGES = 2
    REFUSED = 3
    DENIED = 4


class Output(StrEnum):
    """`-o`: how data is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


class MarkdownOutput(StrEnum):
    """`-o` of plans and of the table of features."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"


class SarifOutput(StrEnum):
    """`-o` of what is wrong."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    SARIF = "sarif"


YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
MeshArgument = Annotated[
    str, typer.Argument(help="The mesh, as smihub.yaml names it.", autocompletion=completion.meshes)
]
ConfigOption = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]
MeshOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mesh",
        metavar="NAME",
        help="Only this mesh; can be repeated.",
        autocompletion=completion.meshes,
    ),
]


def named(text: str) -> str:
    """A path that somebody wrote; an empty one, which a variable that is not set leaves, would be this folder. Raises BadParameter."""
    if not text:
        raise typer.BadParameter("is empty; name a folder or a file (. is this folder)")
    return text


SourceOption = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", parser=named, help="Read this folder or file instead of the sources; - for standard input."
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", metavar="text|json|yaml", help="Output format.")]
MarkdownOutputOption = Annotated[MarkdownOutput, typer.Option("--output", "-o", help="Output format.")]
SarifOutputOption = Annotated[SarifOutput, typer.Option("--output", "-o", help="Output format.")]

OUT = Console(soft_wrap=True, highlight=False, emoji=False, markup=False)
"""Data. rich honours NO_COLOR and turns colours off where stdout is no terminal."""
ERR = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False, markup=False)
"""Notices, progress and errors."""

_FURTHER_IN = 4
_WORD = re.compile(r"\S+")
T = TypeVar("T")
P = ParamSpec("P")
Part = str | tuple[str, str]
"""A piece of a line: text, or text and its style."""


def line(*parts: Part) -> Text:
    """One line to print. What would move the cursor, colour, break or turn the line around is written as an escape."""
    return Text.assemble(
        *(printable(part) if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts)
    )


def emit(data: Any, output: Output) -> None:
    """Print JSON-like data on stdout as JSON (one document) or YAML."""
    if output is Output.JSON:
        text = json.format(json.encode(data), indent=2).decode() + "\n"
    else:
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1_000_000)
    emit_text(text)


def emit_text(text: str) -> None:
    """Print text on stdout as it is; data is UTF-8 whatever the terminal speaks."""
    # Data goes past Python's text layer; without the flush, lines printed before would come out after it.
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())


def print_lines(lines: Iterable[Text], console: Console = OUT) -> None:
    """Print lines on stdout, or on another console; on a terminal, what is wider goes on below, further in."""
    # No colours and no width: as it is, which is what thousands of lines take least time for.
    if not console.is_terminal:
        for each in lines:
            console.file.write(f"{each.plain}\n")
        return
    for each in lines:
        for part in wrapped(each, console.width):
            console.print(part)


def wrapped(text: Text, width: int) -> Iterable[Text]:
    """A line as lines of at most so many columns, broken between words; all but the first are further in.

    A word that is longer, such as a name, stays whole, so that it can be copied.
    """
    if text.cell_len <= width:
        return (text,)
    begin = len(text.plain) - len(text.plain.lstrip(" "))
    indent = min(begin + _FURTHER_IN, width // 2)
    parts = text.divide(_breaks(text.plain, begin, width, indent))
    for part in parts:
        part.rstrip()
    return (parts[0], *(Text(" " * indent) + part for part in parts[1:]))


def _breaks(plain: str, begin: int, width: int, indent: int) -> Iterator[int]:
    """Where the words are that go on below."""
    start, room = 0, width
    for word in _WORD.finditer(plain, begin):
        if word.start() > begin and cell_len(plain[start : word.end()]) > room:
            yield word.start()
            start, room = word.start(), width - indent


def note(text: str) -> None:
    """Say something beside the data, on stderr."""
    print_lines([line(("note", "yellow"), f": {text}")], ERR)


def fail(text: str) -> None:
    """Say on stderr what went wrong."""
    print_lines([line(("error", "red"), f": {text}")], ERR)


def agreed(question: str, otherwise: str) -> bool:
    """Ask on the terminal. Raises ConfigError that says what to do otherwise, where nobody is there to ask."""
    if not sys.stdin.isatty():
        raise ConfigError(f"stdin is not a terminal; {otherwise}")
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


@contextmanager
def clean_errors() -> Iterator[None]:
    """Turn what a user can cause into one line on stderr and exit code 1, a refusal 3; a bug of ours keeps its traceback."""
    try:
        yield
        sys.stdout.flush()
    except RefusedError as error:
        print_lines([line(("refused", "red"), f": {error}; nothing was written")], ERR)
        raise typer.Exit(Exit.REFUSED) from None
    except SmihubError as error:
        fail(str(error))
        raise typer.Exit(Exit.ERROR) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except OSError as error:  # a full disk, a terminal that went away
        fail(f"{error.filename or 'output'}: {(error.strerror or str(error)).lower()}")
        raise typer.Exit(Exit.ERROR) from None


def ending(verb: Callable[P, Exit]) -> Callable[P, None]:
    """The verb as a command: it ends with the exit code that it gives, or that of what it raises."""

    @wraps(verb)
    def run(*given: P.args, **named: P.kwargs) -> None:
        with clean_errors():
            code = verb(*given, **named)
        raise typer.Exit(code)

    return run


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """Run a verb to its end. Ctrl-C ends it at once: asyncio alone would only note it until the next wait is over.

    (https://docs.python.org/3/library/asyncio-runner.html#handling-keyboard-interruption)
    """
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        return asyncio.run(work)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on a terminal while something takes long; the yielded function changes its text."""
    with ERR.status(what) as status:
        yield status.update

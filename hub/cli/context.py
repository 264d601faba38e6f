"""What every verb shares: where the configuration is, how to print, how an error ends the command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from typing import Any

import typer
import yaml
from msgspec import json
from rich.console import Console

from hub.errors import SmihubError


class Exit(IntEnum):
    """Exit codes of every verb (docs/cli.md)."""

    SAME = 0
    ERROR = 1
    CHANGES = 2
    REFUSED = 3


class Output(StrEnum):
    """`-o`: how data is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


OUT = Console(soft_wrap=True, highlight=False)
"""Data. rich honours NO_COLOR and turns colours off where stdout is no terminal."""
ERR = Console(stderr=True, soft_wrap=True, highlight=False)
"""Notices, progress and errors."""


def emit(data: Any, output: Output) -> None:
    """Print JSON-like data on stdout as JSON (one document) or YAML."""
    if output is Output.JSON:
        sys.stdout.write(json.format(json.encode(data), indent=2).decode() + "\n")
    else:
        yaml.safe_dump(data, sys.stdout, sort_keys=False, allow_unicode=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print rich markup lines on stdout."""
    for line in lines:
        OUT.print(line)


@contextmanager
def clean_errors() -> Iterator[None]:
    """Turn what a user can cause into one line on stderr and exit code 1; a bug of ours keeps its traceback."""
    try:
        yield
    except SmihubError as error:
        ERR.print(f"[red]error[/red]: {error}", markup=True)
        raise typer.Exit(Exit.ERROR) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(Exit.ERROR) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on a terminal while something takes long; the yielded function changes its text."""
    with ERR.status(what) as status:
        yield status.update

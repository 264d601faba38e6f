"""`smihub explain --batch`: JSON lines in, JSON lines out, one for one and in order."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from hub.cli.context import Exit
from hub.errors import ConfigError
from hub.explain import Explainer
from hub.requests import MAX_LINE_BYTES, RequestError, decode_line, reply_to_json

Explainers = Mapping[str, Explainer]
"""By cluster."""


def answer_lines(explainers: Explainers, where: str) -> Exit:
    """Answer every line of a file, or (`-`) of standard input, each at once; `ERROR` if one could not be read.

    Empty lines at the end are no lines. Raises ConfigError if the file cannot be read.
    """
    if where == "-":
        return _answer_all(explainers, sys.stdin.buffer)
    try:
        file = Path(where).open("rb")  # noqa: SIM115 - opened apart, so that what fails later is not taken for it
    except OSError as error:
        raise ConfigError(
            f'"{where}" cannot be read: {(error.strerror or "unreadable").lower()}; name a file, or -'
        ) from None
    with file:
        return _answer_all(explainers, file)


def _answer_all(explainers: Explainers, file: BinaryIO) -> Exit:
    code = Exit.SAME
    out = sys.stdout.buffer
    for each in _lines(file):
        answer, readable = _answer(explainers, each)
        code = code if readable else Exit.ERROR
        out.write(answer + b"\n")
        out.flush()  # a program that waits for this answer before it asks again must not wait for ever
    return code


def _answer(explainers: Explainers, asked: bytes) -> tuple[bytes, bool]:
    """The answer to one line, and whether the line could be read."""
    try:
        request = decode_line(asked)
    except RequestError as error:
        return msgspec.json.encode(error.to_json()), False
    answers = {name: each.explain(request.request) for name, each in explainers.items()}
    return msgspec.json.encode(reply_to_json(answers, request.id)), True


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, the empty ones at the end left out; of a line that is too long only as much as shows that."""
    empty = 0
    while each := file.readline(MAX_LINE_BYTES + 2):
        _skip_rest(file, each)
        if not each.strip():
            empty += 1
            continue
        yield from [b""] * empty
        empty = 0
        yield each.removesuffix(b"\n")


def _skip_rest(file: BinaryIO, begun: bytes) -> None:
    while begun and not begun.endswith(b"\n"):
        begun = file.readline(MAX_LINE_BYTES)

"""`smihub explain --batch`: JSON lines in, JSON lines out, one for one and in order."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from hub.cli.context import Exit
from hub.cli.data import SCHEMA
from hub.errors import ConfigError
from hub.explain import Explainer
from hub.model import Request
from hub.requests import MAX_LINE_BYTES, RequestError, decode_line, reply_to_json

Explainers = Mapping[str, Explainer]
"""By cluster."""


class Answering(Struct, frozen=True):
    """Who answers, and whether with what nearly grants a denied request, which costs more than its verdict."""

    explainers: Explainers
    near: bool = False

    def line(self, asked: bytes) -> tuple[bytes, bool]:
        """The answer to one line, and whether the line could be read."""
        try:
            request = decode_line(asked)
        except RequestError as error:
            return msgspec.json.encode({"schema": SCHEMA, **error.to_json()}), False
        return msgspec.json.encode({"schema": SCHEMA, **self.reply(request.request, request.id)}), True

    def reply(self, request: Request, id_: object = None) -> dict[str, Any]:
        """The answer to one request."""
        answers = {name: each.explain(request) for name, each in self.explainers.items()}
        near = {name: each.near(request) for name, each in self.explainers.items()} if self.near else None
        return reply_to_json(answers, id_, near)


def answer_lines(answering: Answering, where: str) -> Exit:
    """Answer every line of a file, or (`-`) of standard input, each at once; `ERROR` if one could not be read.

    Empty lines at the end are no lines. Raises ConfigError if the file cannot be read.
    """
    if where == "-":
        return _answer_all(answering, sys.stdin.buffer)
    try:
        file = Path(where).open("rb")  # noqa: SIM115 - opened apart, so that what fails later is not taken for it
    except OSError as error:
        raise ConfigError(
            f'"{where}" cannot be read: {(error.strerror or "unreadable").lower()}; use a file, or -'
        ) from None
    with file:
        return _answer_all(answering, file)


def _answer_all(answering: Answering, file: BinaryIO) -> Exit:
    code = Exit.SAME
    out = sys.stdout.buffer
    for each in _lines(file):
        answer, readable = answering.line(each)
        code = code if readable else Exit.ERROR
        out.write(answer + b"\n")
        out.flush()  # a program that waits for this answer before it asks again must not wait for ever
    return code


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

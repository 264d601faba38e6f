"""What a plain YAML scalar means: the YAML 1.2 core schema, minus everything that two YAML versions read differently.

The rule, in one sentence: a scalar is null, a boolean or a number only if YAML 1.2 says so, no YAML 1.1 reader takes it
for another number, and it has a JSON form; everything else stays the text that was written. So `yes`, `on`, `010`,
`0o17`, `1:30`, `1_000`, `2024-01-01`, `.inf` and `.nan` are texts; where a number is due, the schema then says so.
Source: YAML 1.2.2, section 10.3 "Core Schema"; YAML 1.1 type repository (int, float, bool, timestamp).
"""

from __future__ import annotations

import math
import re

_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMERIC_START = frozenset("-+.0123456789")
_MAX_DIGITS = 64
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)


def plain(text: str) -> str | int | float | bool | None:
    """Read one unquoted scalar; numbers of more than 64 characters, infinities and NaN stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START or len(text) > _MAX_DIGITS:
        return text
    return _number(text)


def is_read_as(text: str, value: object) -> bool:
    """Whether this text, written without quotes, is read as this value; a value that is text is only itself."""
    found = text if isinstance(value, str) else plain(text)
    return type(found) is type(value) and found == value


def _number(text: str) -> str | int | float:
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if not _FLOAT.fullmatch(text):
        return text
    value = float(text)
    return value if math.isfinite(value) else text

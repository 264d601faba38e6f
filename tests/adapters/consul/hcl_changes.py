"""Texts in HCL that differ a little from those of the table: as people write them, and as they break them."""

from __future__ import annotations

import re
from random import Random

from tests.adapters.consul.hcl_entries import ENTRIES

_TEXTS = [text for text, _ in ENTRIES.values()]
_SIGNS = '{}[]"=,<\\#/*\n -._$é\x00\t'
_NAME = re.compile(r"\b[A-Za-z_]+\b(?=\s*[={])")


def changed(random: Random) -> str:
    """One of the table's texts, changed in one to three places."""
    text: str = random.choice(_TEXTS)
    for _ in range(random.randint(1, 3)):
        text = random.choice((_lines, _signs, _names, _blocks))(text, random) or "{"
    return text


def _lines(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            lines.insert(other, lines[at])
        case 1:
            del lines[at]
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            lines[at] = lines[at].rstrip("\n") + random.choice((" ", ",\n", " # }\n", " /* { */ "))
    return "".join(lines)


def _signs(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    sign: str = random.choice([*_SIGNS, ""])
    return text[:at] + sign + text[at + random.randint(0, 1) :]


def _names(text: str, random: Random) -> str:
    def other(found: re.Match[str]) -> str:
        name = str(found[0])
        if random.random() < 0.7:
            return name
        return random.choice((name.upper(), name.lower(), f'"{name}"', name.replace("_", ""), f"{name} {name}"))

    return _NAME.sub(other, text)


def _blocks(text: str, random: Random) -> str:
    old, new = random.choice((("= {", "{"), (" {", " = {"), ("[{", "{"), ("}]", "}"), ('"', '"\\u0061'), (" ", "\n")))
    return text.replace(old, new, random.randint(1, 3))

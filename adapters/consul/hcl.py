"""HCL 1 as config entries are written in it, as a tree. Pure. What this reader does not know exactly it refuses.

Source: https://github.com/hashicorp/hcl/tree/v1.0.0 (hcl/scanner, hcl/parser, hcl/strconv, and `unindentHeredoc` in hcl/token), by which
`consul config write` reads a file. Refused although Consul takes it: `${`, hexadecimal, octal and exponents, one name assigned twice, names and
marks of heredocs beyond ASCII, and an assignment at the end of the file that has no value, which HCL 1 drops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

MAX_DEPTH, MAX_TOKENS = 32, 100_000
_SKIPPED = re.compile(r"(?:[ \t\n]+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)
    |(?P<number>-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?)(?![A-Za-z0-9_.-])
    |(?P<text>"(?:[^"\\\n]|\\[^\n])*")
    |(?P<heredoc><<-?[A-Za-z0-9_]+\n)
    |(?P<sign>[][{},=])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:(?P<short>[abfnrtv\\\"])|(?P<octal>[0-7]{3})|x(?P<x>[0-9A-Fa-f]{2})|u(?P<u>[0-9A-Fa-f]{4})|U(?P<U>[0-9A-Fa-f]{8})|(?P<other>.))"
)
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_NEVER = re.compile("[\x00\r\v\f\ue123\ufeff]")


class HclError(Exception):
    """What is wrong in a text, and where (`at`: how many characters stand before it)."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


class Value(Struct, frozen=True):
    """A value and where it stands.

    An object is `Blocks`, also one alone and one behind `=`: to HCL 1 it is a list of all blocks of one name. A tuple is a list in brackets.
    """

    at: int
    data: Data


Fields = Mapping[str, Value]


class Blocks(Struct, frozen=True):
    """The objects of one name, in the order of the text; `assigned` where it stands behind `=`, so that there is one."""

    objects: tuple[Fields, ...]
    assigned: bool = False
    labelled: bool = False


Data = str | bool | int | float | Blocks | tuple[Value, ...]


class _Token(Struct, frozen=True):
    at: int
    kind: str
    text: str


def parse(text: str) -> Fields:
    """The names and values of a text. Raises HclError."""
    text = text.replace("\r\n", "\n")
    if found := _NEVER.search(text):
        raise HclError(found.start(), f"the character U+{ord(found[0]):04X} is not read here")
    return _Parser(text).file()


class _Parser:
    """One text, read once from its beginning; `_next` is the token that was not taken yet."""

    def __init__(self, text: str) -> None:
        self._text, self._depth, self._taken = text, 0, 0
        self._tokens = self._scan()
        self._next = next(self._tokens)

    def file(self) -> Fields:
        """All of it."""
        return self._fields("")

    # ----------------------------------------------------------------------- tokens

    def _scan(self) -> Iterator[_Token]:
        at = 0
        while (at := self._skip(at)) < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None or found.lastgroup is None:
                raise HclError(at, f"{self._text[at : at + 1]!r} is not expected here")
            at = found.end()
            if found.lastgroup == "heredoc":
                body, at = self._heredoc(found)
                yield _Token(found.start(), "text", body)
            elif found.lastgroup == "text":
                yield _Token(found.start(), "text", _unquoted(found))
            else:
                yield _Token(found.start(), found[0] if found.lastgroup == "sign" else found.lastgroup, found[0])
        yield _Token(len(self._text), "end", "the end")

    def _skip(self, at: int) -> int:
        found = _SKIPPED.match(self._text, at)
        return found.end() if found else at

    def _heredoc(self, head: re.Match[str]) -> tuple[str, int]:
        """What stands before the line of the mark, which after `<<-` is indented; as far as all lines are, that is taken off."""
        mark = head[0].strip().removeprefix("<<")
        # hcl/scanner compares the length of the line with that of the mark and its `-`: one that is not indented does not end it.
        last = rf"^([ \t]+){mark[1:]}\n" if mark.startswith("-") else rf"^(){mark}\n"
        found = re.compile(last, re.MULTILINE).search(self._text, head.end())
        if found is None:
            raise HclError(head.start(), f"no line ends the text that begins with <<{mark}")
        lines = self._text[head.end() : found.start()].split("\n")[:-1]
        indent = found[1] if all(line.startswith(found[1]) for line in lines) else ""
        body = "".join(f"{line.removeprefix(indent)}\n" for line in lines)
        stray = None if mark.startswith("-") else re.search(rf"^[ \t]+{mark}[ \t]*$", body, re.MULTILINE)
        if stray is not None:
            raise HclError(
                head.start(), f"a line has {mark} with blanks, which HCL 1 takes for the end; write <<-{mark}"
            )
        return body, found.end()

    def _take(self, *kinds: str) -> _Token:
        """The next token, which has to be one of these."""
        token = self._next
        if token.kind not in kinds:
            wanted = " or ".join(f'"{kind}"' if len(kind) == 1 else f"a {kind}" for kind in kinds)
            raise HclError(token.at, f"found {token.text[:40]!r}, expected {wanted}")
        self._taken += 1
        if self._taken > MAX_TOKENS:
            raise HclError(token.at, f"there are more than {MAX_TOKENS} names, values and signs")
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    # ----------------------------------------------------------------------- names and values

    def _fields(self, end: str) -> Fields:
        """Assignments and blocks, up to a sign or to the end of the text."""
        found: dict[str, list[Value]] = {}
        while self._next.kind != (end or "end"):
            name = self._take("name", "text")
            if name.text in {"true", "false"} and name.kind == "name":
                raise HclError(name.at, f'"{name.text}" is not a name; quote it')
            value = self._value_of(name)
            before = found.setdefault(name.text, [])
            if before:
                _check_repeated(name, before[0].data, value.data)
            before.append(value)
            if self._next.kind == ",":
                self._take(",")
        return {name: _together(values) for name, values in found.items()}

    def _value_of(self, name: _Token) -> Value:
        if self._next.kind == "=":
            self._take("=")
            return self._value()
        if self._next.kind not in {"name", "text"}:
            return Value(name.at, Blocks((self._object(),)))
        label = self._take("name", "text")
        return Value(name.at, Blocks(({label.text: Value(label.at, Blocks((self._object(),)))},), labelled=True))

    def _value(self) -> Value:
        token = self._next
        if token.kind == "{":
            return Value(token.at, Blocks((self._object(),), assigned=True))
        if token.kind == "[":
            return Value(token.at, self._list())
        token = self._take("text", "number", "name")
        if token.kind == "name" and token.text not in {"true", "false"}:
            raise HclError(token.at, f'"{token.text[:40]}" is not a value; quote it')
        if token.kind == "name":
            return Value(token.at, token.text == "true")
        if token.kind == "number":
            return Value(token.at, float(token.text) if "." in token.text else int(token.text))
        return Value(token.at, token.text)

    def _object(self) -> Fields:
        self._enter(self._take("{"))
        found = self._fields("}")
        self._leave("}")
        return found

    def _list(self) -> tuple[Value, ...]:
        self._enter(self._take("["))
        found: list[Value] = []
        while self._next.kind != "]":
            found.append(self._value())
            if self._next.kind != "]":
                self._take(",")
        self._leave("]")
        return tuple(found)

    def _enter(self, token: _Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise HclError(token.at, f"values are nested deeper than {MAX_DEPTH}")

    def _leave(self, sign: str) -> None:
        self._take(sign)
        self._depth -= 1


def _check_repeated(name: _Token, old: Data, new: Data) -> None:
    """A name that is assigned is so once, and blocks of one name have all a label, or none. Raises HclError."""
    if not isinstance(old, Blocks) or not isinstance(new, Blocks) or old.assigned or new.assigned:
        raise HclError(name.at, f'"{name.text[:40]}" is assigned twice')
    if old.labelled != new.labelled:
        raise HclError(name.at, f'blocks "{name.text[:40]}" with and without a label')


def _together(values: Sequence[Value]) -> Value:
    """The only value of a name, or its blocks as one."""
    first, blocks = values[0], [one.data for one in values if isinstance(one.data, Blocks)]
    if len(values) == 1 or not isinstance(first.data, Blocks):
        return first
    return replace(first, data=replace(first.data, objects=tuple(one for each in blocks for one in each.objects)))


def _unquoted(found: re.Match[str]) -> str:
    text, start = found[0][1:-1], found.start()
    if "${" in text:
        raise HclError(start, '"${" in a text is not read here')

    def char(escape: re.Match[str]) -> str:
        if escape["short"]:
            return _SHORT[escape["short"]]
        narrow = escape["octal"] or escape["x"]
        code = int(narrow, 8 if escape["octal"] else 16) if narrow else int(escape["u"] or escape["U"] or "-1", 16)
        # HCL 1 makes a byte of octal and \x escapes; beyond ASCII that is no text.
        if not 0 <= code <= (0x7F if narrow else 0x10FFFF) or 0xD800 <= code <= 0xDFFF:
            raise HclError(start, f'the escape "{escape[0][:10]}" is not read here')
        return chr(code)

    return _ESCAPE.sub(char, text)


def line_of(text: str, at: int) -> int:
    """The line of a place in a text, from 1; that of `parse`, which counts no carriage returns."""
    return text.replace("\r\n", "\n").count("\n", 0, at) + 1

r"""The pattern of a language: from the automaton back to text that every engine reads alike.

Letters stand for themselves or in explicit classes, groups capture nothing, and there are no flags, lazy repetitions, named
classes or anchors. So RE2, Go and the Rust crate `regex` give it one meaning, where the whole text must match.
Theory: J. A. Brzozowski, E. J. McCluskey, "Signal flow graph techniques for sequential circuit state diagrams", 1963.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from hub.regex.automaton import Language
from hub.regex.bounds import Meter, charge
from hub.regex.chars import HIGHEST, SCALARS, CharSet, intersect, inverse, join
from hub.regex.definite import StateStructure

_META = frozenset("\\.+*?()|[]{}^$")
_IN_CLASS = frozenset("\\[]^-&~")


class _Piece(Struct, frozen=True):
    """Alternatives: single characters of a set, longer patterns, and perhaps nothing at all."""

    chars: CharSet = ()
    rows: tuple[str, ...] = ()
    optional: bool = False


_Edges = dict[tuple[int, int], _Piece]
_NOTHING = _Piece(optional=True)
_NEVER = _Piece()
_BEGIN, _END = -2, -3


def pattern_of(language: Language, most: int) -> str | None:
    """A pattern of exactly the language's texts; None if it is empty, or the pattern has more than `most` characters.

    Raises `RegexRefusedError` beyond the engine's bounds. Time: cubic in the number of states, in the worst case.
    """
    if language.is_empty():
        return None
    found = _solved(_edges(language, 0), most)
    text = None if found is None else _start(language) + _atom(found)
    return text if text is not None and len(text) <= most else None


def patterns_of(language: Language, most: int) -> tuple[str, ...] | None:
    """Patterns that together match exactly the language's texts: one if it is short enough, else one for each way into a loop.

    None if it is empty, or one of them has more than `most` characters. Raises `RegexRefusedError` as `pattern_of` does.
    """
    whole = pattern_of(language, most)
    if whole is not None or language.is_empty():
        return None if whole is None else (whole,)
    looping = StateStructure(language, Meter()).looping
    found = [] if 0 in looping else [_before(language, looping, None, most), *_through(language, looping, most)]
    texts = [text for text in found if text != ""]
    if not texts or any(text is None or len(text) > most for text in texts):
        return None
    return tuple(sorted(text for text in texts if text is not None))


def _through(language: Language, looping: Collection[int], most: int) -> Iterator[str | None]:
    """For each state at which texts enter a loop: a pattern of what leads there for the first time, and what follows."""
    entered = {to for at, row in enumerate(language.rows) if at not in looping for to in row if to in looping}
    for state in sorted(entered):
        begin, rest = _before(language, looping, state, most), _solved(_edges(language, state), most)
        # A loop that is only entered after another one is in what follows that.
        yield None if begin is None or rest is None else begin and begin + _atom(rest)


def _before(language: Language, looping: Collection[int], goal: int | None, most: int) -> str | None:
    """A pattern of what leads to the goal (None: to the end) without a loop; "" if nothing does."""
    edges = {
        (one, _END if to == goal else to): piece
        for (one, to), piece in _edges(language, 0).items()
        if one not in looping and (to == goal or (to not in looping and (goal is None or to != _END)))
    }
    found = _solved(edges, most)
    if found == _NEVER:
        return ""
    return None if found is None else _start(language) + _atom(found)


def _start(language: Language) -> str:
    return "".join(map(_letter, language.universe.start))


def _solved(edges: _Edges, most: int) -> _Piece | None:
    """What leads from the beginning to the end; None where it is too long."""
    meter, left = Meter(), {state for edge in edges for state in edge if state >= 0}
    while left:
        state = min(left, key=_Weights(edges).of)
        left.remove(state)
        meter.spend(2 * len(edges))
        if not _eliminate(edges, state, most):
            return None
    return edges.get((_BEGIN, _END), _NEVER)


def _edges(language: Language, start: int) -> _Edges:
    """The automaton with one more state before this one, where it begins, and one after all that accept."""
    ranges = language.classes.ranges()
    edges: _Edges = {(_BEGIN, start): _NOTHING}
    for state, row in enumerate(language.rows):
        for kind, target in enumerate(row):
            if target >= 0:
                edges[state, target] = _either(edges.get((state, target), _Piece()), _Piece(ranges[kind]))
        if language.accepting[state]:
            edges[state, _END] = _NOTHING
    return edges


class _Weights:
    """About how much text there is more once a state is gone."""

    def __init__(self, edges: _Edges) -> None:
        self._into: dict[int, list[int]] = {}
        self._out: dict[int, list[int]] = {}
        self._loop: dict[int, int] = {}
        for (one, to), piece in edges.items():
            if one == to:
                self._loop[one] = len(_atom(piece))
            else:
                self._out.setdefault(one, []).append(len(_atom(piece)))
                self._into.setdefault(to, []).append(len(_atom(piece)))

    def of(self, state: int) -> tuple[int, int]:
        into, out = self._into.get(state, []), self._out.get(state, [])
        more = sum(into) * (len(out) - 1) + sum(out) * (len(into) - 1)
        return more + self._loop.get(state, 0) * (len(into) * len(out) - 1), state


def _eliminate(edges: _Edges, state: int, most: int) -> bool:
    """Replace the ways through a state by direct ones; False where one of them becomes too long."""
    loop = edges.pop((state, state), None)
    into = [(one, edges.pop((one, to))) for one, to in list(edges) if to == state]
    out = [(to, edges.pop((one, to))) for one, to in list(edges) if one == state]
    for one, before in into:
        for to, after in out:
            way = _joined(before, loop, after)
            charge(len(_atom(way)) // 8)
            edges[one, to] = _either(edges[one, to], way) if (one, to) in edges else way
            if len(_atom(edges[one, to])) > most + 4:
                return False
    return True


def _either(one: _Piece, other: _Piece) -> _Piece:
    rows = tuple(sorted({*one.rows, *other.rows}))
    return _factored(_Piece(join(one.chars, other.chars), rows, one.optional or other.optional))


def _factored(piece: _Piece) -> _Piece:
    """`ba` beside `a` is `b?a`: the pattern does not repeat what alternatives end with."""
    for row in piece.rows:
        rest = _Piece(piece.chars, tuple(other for other in piece.rows if other != row))
        end = _atom(rest)
        if end and row.endswith(end) and (begin := row.removesuffix(end)) and _is_whole(begin):
            return _Piece((), (f"{_group(begin)}?{end}",), piece.optional)
    return piece


def _joined(before: _Piece, loop: _Piece | None, after: _Piece) -> _Piece:
    parts = [before, after] if loop is None else [before, _repeated(loop), after]
    parts = [part for part in parts if part != _NOTHING]
    if len(parts) < 2:
        return parts[0] if parts else _NOTHING
    return _Piece((), ("".join(map(_atom, parts)),))


def _repeated(loop: _Piece) -> _Piece:
    return _Piece((), (f"{_group(_atom(_Piece(loop.chars, loop.rows)))}*",))


def _atom(piece: _Piece) -> str:
    """The pattern of a piece, so that another one may stand beside it."""
    texts = [*([_char_class(piece.chars)] if piece.chars else []), *piece.rows]
    text = texts[0] if len(texts) == 1 else f"(?:{'|'.join(texts)})" if texts else ""
    return f"{_group(text)}?" if piece.optional and text else text


def _group(text: str) -> str:
    """The text as one unit, to which a repetition can be added."""
    return text if _is_unit(text) else f"(?:{text})"


def _is_unit(text: str) -> bool:
    """Whether it is one letter, one class or one group."""
    return _unit_end(text, 0) == len(text)


def _is_whole(text: str) -> bool:
    """Whether no group or class is cut through."""
    at = 0
    while at < len(text):
        at = _unit_end(text, at)
        if at < 0:
            return False
    return True


def _unit_end(text: str, at: int) -> int:
    """Where the unit that begins here ends; -1 if it does not."""
    if text[at] == "[":
        return _class_end(text, at)
    if text[at] == "(":
        return _group_end(text, at)
    if text[at] in ")]|":
        return -1
    if text.startswith("\\x{", at):
        return text.index("}", at) + 1
    return at + (2 if text[at] == "\\" else 1)


def _class_end(text: str, at: int) -> int:
    at += 1
    while at < len(text) and text[at] != "]":
        at += 2 if text[at] == "\\" else 1
    return at + 1 if at < len(text) else -1


def _group_end(text: str, at: int) -> int:
    at, depth = at + 1, 1
    while at < len(text) and depth:
        if text[at] == "[":
            at = _class_end(text, at)
        else:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 2 if text[at] == "\\" else 1
        if at < 0:
            return -1
    return at if not depth else -1


def _char_class(chars: CharSet) -> str:
    if len(chars) == 1 and chars[0][0] == chars[0][1]:
        return _letter(chr(chars[0][0]))
    missing = intersect(inverse(chars), SCALARS)
    if chars[-1][1] == HIGHEST and missing:
        return f"[^{''.join(_ranges(missing))}]"
    return f"[{''.join(_ranges(chars))}]"


def _ranges(chars: CharSet) -> Iterable[str]:
    for low, high in chars:
        ends = [_letter_in_class(low), _letter_in_class(high)]
        yield ends[0] if low == high else "".join(ends) if high == low + 1 else "-".join(ends)


def _letter(char: str) -> str:
    if char in _META:
        return f"\\{char}"
    return char if "!" <= char <= "~" or char == " " else f"\\x{{{ord(char):X}}}"


def _letter_in_class(code: int) -> str:
    char = chr(code)
    if char in _IN_CLASS:
        return f"\\{char}"
    return char if "!" <= char <= "~" or char == " " else f"\\x{{{code:X}}}"

"""From an object and a field path back to the line of the file, for messages; parses again, so only where needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

import yaml
from msgspec.structs import replace

from hub.model import Problem
from hub.sources.composed import compose_nodes
from hub.sources.limits import DEFAULT_LIMITS, ParseLimits, YamlError
from hub.sources.yaml import is_list_kind, load

_MOST_FILES = 100_000


class Locator:
    """The lines of one file's text; composes it once, for as many questions as follow."""

    def __init__(self, data: bytes, limits: ParseLimits = DEFAULT_LIMITS) -> None:
        """Read `data` as `load` does; a text that `load` refuses has no objects, and every answer is line 1."""
        self._roots = tuple(item for root in _nodes(data, limits) for item in _unwrap(root))
        self._starts = {_line(root): index for index, root in enumerate(self._roots)}

    def line(self, index: int, field: str) -> int:
        """The 1-based line of `field` (such as `spec.rules[0].name`) of the object `index` (`Document.index`).

        A field that is not there gives the line of the nearest enclosing one that is; "" gives the object's first line.
        """
        if not 0 <= index < len(self._roots):
            return 1
        return _descend(self._roots[index], field)

    def line_from(self, start: int, field: str) -> int | None:
        """The same for the object that starts at line `start` (`origin.line`); None if none starts there."""
        index = self._starts.get(start)
        return None if index is None else self.line(index, field)

    def pinpointed(self, problem: Problem) -> Problem:
        """The same problem with the line of its field, where an object starts at the line that it names."""
        return _at(problem, self.line_from(problem.origin.line, problem.field) if problem.field else None)


class KnownLines:
    """The lines of the fields that anybody asked for, by file; a file's text is composed again for new ones alone."""

    def __init__(self, limits: ParseLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._files: dict[str, tuple[bytes, dict[tuple[int, str], int | None]]] = {}

    def pinpointed(
        self, source: str, problems: Sequence[Problem], read: Callable[[str], bytes | None]
    ) -> tuple[Problem, ...]:
        """These problems; those of a source with the lines of their fields, where `read` gives the text of their file."""
        mine: dict[str, list[Problem]] = {}
        for problem in problems:
            if problem.origin.source == source:
                mine.setdefault(problem.origin.file, []).append(problem)
        lines = {file: self._lines(file, data, some) for file, some in mine.items() if (data := read(file)) is not None}
        return tuple(
            _at(each, lines.get(each.origin.file, {}).get((each.origin.line, each.field)))
            if each.origin.source == source
            else each
            for each in problems
        )

    def _lines(self, file: str, data: bytes, problems: Iterable[Problem]) -> Mapping[tuple[int, str], int | None]:
        digest = sha256(data).digest()
        if self._files.get(file, (b"",))[0] != digest:
            if len(self._files) >= _MOST_FILES:
                self._files.clear()  # most of them are gone
            self._files[file] = (digest, {})
        known = self._files[file][1]
        if new := {(each.origin.line, each.field) for each in problems if each.field} - known.keys():
            locator = Locator(data, self._limits)
            known.update({each: locator.line_from(*each) for each in new})
        return known


def _at(problem: Problem, line: int | None) -> Problem:
    return problem if line is None else replace(problem, origin=replace(problem.origin, line=line))


def locate(data: bytes, index: int, field: str) -> int:
    """The line of one field of one object in a file's text; see `Locator` for several questions about one text."""
    return Locator(data).line(index, field)


def _nodes(data: bytes, limits: ParseLimits) -> list[yaml.Node]:
    """The documents of a file as nodes, which carry the lines that plain values have lost; none where `load` refuses it."""
    try:
        text = data.decode("utf-8-sig")
        if (found := compose_nodes(text, limits)) is not None:
            return found
        load(data, limits=limits)  # first the bounds: composing recurses as deep as the text nests
    except (UnicodeDecodeError, YamlError):
        return []
    return [root for root in yaml.compose_all(text, Loader=yaml.CSafeLoader) if not _empty(root)]


def _descend(node: yaml.Node, field: str) -> int:
    line = _line(node)
    rest = field
    while rest:
        step = _step(node, rest)
        if step is None:
            return line
        line, node, rest = step
    return line


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULLS)


_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def _unwrap(root: yaml.Node) -> Iterator[yaml.Node]:
    kind, items = _child(root, "kind"), _child(root, "items")
    listed = items.value if isinstance(items, yaml.SequenceNode) else None
    if not isinstance(kind, yaml.ScalarNode) or not is_list_kind(kind.value, listed is not None):
        yield root
        return
    for item in listed or ():
        if not _empty(item):
            yield from _unwrap(item)


def _child(node: yaml.Node, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _step(node: yaml.Node, rest: str) -> tuple[int, yaml.Node, str] | None:
    """One step down: the line of the part found, its node, and the path that is left."""
    if rest.startswith("["):
        return _item(node, rest)
    if not isinstance(node, yaml.MappingNode):
        return None
    # A key may hold dots itself (app.kubernetes.io/name), so the longest key that fits wins.
    fitting = [
        pair
        for pair in node.value
        if rest == pair[0].value or rest.startswith((f"{pair[0].value}.", f"{pair[0].value}["))
    ]
    if not fitting:
        return None
    name, value = max(fitting, key=lambda pair: len(pair[0].value))
    return _line(name), value, rest[len(name.value) :].removeprefix(".")


def _item(node: yaml.Node, rest: str) -> tuple[int, yaml.Node, str] | None:
    number, closed, left = rest[1:].partition("]")
    if not closed or not number.isdecimal() or not isinstance(node, yaml.SequenceNode):
        return None
    if int(number) >= len(node.value):
        return None
    item = node.value[int(number)]
    return _line(item), item, left.removeprefix(".")

"""The ordinary YAML file, read fast: libyaml composes its nodes, and one pass turns them into values.

It reads what has no anchor, alias, tag or merge key, no key that is not text or is set twice, and is neither large nor deep. Of
anything else it says nothing: hub.sources.yaml then reads the file event by event, and knows what is wrong with it, and where.
Both read the same values (tests/hub/sources/test_composed.py). This one takes two thirds of the time, and most files are ordinary.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hub.sources.limits import ParseLimits
from hub.sources.scalars import plain

T = TypeVar("T")
ParsedDocument = tuple[Any, int, dict[int, int]]
"""A value, the line where it starts, and the lines of the entries of its `items`, by their ids."""
_UNUSUAL = ("&", "!", "<<", "\r", "\x85", "\u2028", "\u2029", "\ufeff")
"""Without these texts a file has no anchor (so no alias), no tag and no merge key, and every line of it begins after a line feed."""
# PyYAML composes recursively in C and overflows the stack at some 20 000 levels; a node takes a character at least. These bounds
# on the text keep it below 1 500 levels, and below 100 MB.
_MOST_CHARACTERS = 131_072
_MOST_BRACKETS = 1_000
_FAR_IN = re.compile(r"\n[ \t?:-]{200}")


_PARSER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else object


class _UnusualError(Exception):
    """The file is for the other reader."""


def compose(text: str, limits: ParseLimits) -> list[ParsedDocument] | None:
    """The documents of a file, without empty ones; None where the file is not ordinary, or not YAML."""
    return _composed(text, limits, lambda node, value: (value, node.start_mark.line + 1, _lines_of_items(node, value)))


def compose_nodes(text: str, limits: ParseLimits) -> list[Node] | None:
    """The nodes of the same documents, which know their lines; they have no tags."""
    return _composed(text, limits, lambda node, _: node)


def _composed(text: str, limits: ParseLimits, take: Callable[[Node, Any], T]) -> list[T] | None:
    """What is taken of each document; its nodes, which weigh more than the file, go before those of the next one come."""
    text = text.replace("\r\n", "\n")  # as YAML reads it
    if not _may_be_ordinary(text, limits):
        return None
    composer, values = _Composer(text), _Values(limits.depth)
    found: list[T] = []
    try:
        while composer.check_node():
            node = composer.get_node()
            if (value := values.read(node, 1)) is not None:
                found.append(take(node, value))
    except (yaml.YAMLError, _UnusualError):
        return None
    finally:
        composer.dispose()
    return found


def _may_be_ordinary(text: str, limits: ParseLimits) -> bool:
    if len(text) > min(_MOST_CHARACTERS, limits.nodes // 2) or not yaml.__with_libyaml__:
        return False
    brackets = text.count("[") + text.count("{")
    if brackets > _MOST_BRACKETS or any(each in text for each in _UNUSUAL):
        return False
    return not _FAR_IN.search("\n" + text)


class _Composer(_PARSER):  # type: ignore[misc]  # PyYAML's compiled half has no types
    """Composes nodes without PyYAML's guesses at types, which are those of YAML 1.1."""

    def descend_resolver(self, _parent: Node | None, _index: object) -> None:
        """Nothing to prepare."""

    def ascend_resolver(self) -> None:
        """Nothing to end."""

    def resolve(self, _kind: type[Node], _value: object, _implicit: object) -> None:
        """No tag."""


class _Values:
    """Turns nodes into values; equal texts of a file are one object."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._plain: dict[str, str | int | float | bool | None] = {}

    def read(self, node: Node, level: int) -> Any:
        """The value of a node that stands so many levels deep."""
        if type(node) is ScalarNode:
            return self._scalar(node)
        if level > self._depth:
            raise _UnusualError
        if type(node) is SequenceNode:
            return [self.read(each, level + 1) for each in node.value]
        value: dict[str, Any] = {}
        for key_node, item in node.value:
            key = self._scalar(key_node) if type(key_node) is ScalarNode else None
            if type(key) is not str or key in value:
                raise _UnusualError
            value[key] = self._scalar(item) if type(item) is ScalarNode else self.read(item, level + 1)
        return value

    def _scalar(self, node: ScalarNode) -> str | int | float | bool | None:
        text: str = node.value
        if node.style:
            return sys.intern(text)
        if text not in self._plain:
            self._plain[text] = plain(sys.intern(text))
        return self._plain[text]


def _lines_of_items(node: Node, value: Any) -> dict[int, int]:
    if type(node) is not MappingNode or not isinstance(value.get("items"), list):
        return {}
    items = next(item for key, item in node.value if key.value == "items")
    return {id(each): node.start_mark.line + 1 for each, node in zip(value["items"], items.value, strict=True)}

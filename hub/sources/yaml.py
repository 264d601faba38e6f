"""YAML (and JSON) files into `Document`s: one safe, strict, bounded reader on libyaml's event parser.

What is read: several documents per file, anchors and aliases (small ones), merge keys (`<<`) where kubectl and kustomize
read them alike, `kind: List` and `kind: <Kind>List` with `items` (unwrapped). What is refused, each with line, field path and
remedy: duplicate keys, keys that are not text, every explicit tag, undefined and recursive aliases, and whatever passes the
`ParseLimits`; an alias counts as all that it stands for. Plain scalars: hub.sources.scalars. Aliased values are shared, so documents are never changed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from hub.errors import ConfigError
from hub.model import Document, ObjectRef, Origin
from hub.sources.composed import ParsedDocument, compose
from hub.sources.limits import DEFAULT_LIMITS, Fault, ParseLimits, YamlError
from hub.sources.scalars import plain


def load(data: bytes, origin: Origin = Origin(), limits: ParseLimits = DEFAULT_LIMITS) -> tuple[Document, ...]:
    """Read all objects of a file, in order; empty documents are skipped, `origin.line` is where each object starts.

    `Document.index` counts the objects of the file (after lists are unwrapped), so that `locate` finds them again.
    Raises YamlError on the first fault: a file counts as a whole or not at all.
    """
    found: list[Document] = []
    for value, line, lines in _parse(data, limits):
        for item, start in _unwrap(value, line, lines):
            found.append(Document(item, Origin(origin.source, origin.file, start), len(found)))
    return tuple(found)


def load_one(data: bytes, limits: ParseLimits = DEFAULT_LIMITS) -> object:
    """Read a file that holds exactly one document (a configuration); an empty file is None. Raises YamlError."""
    parsed = list(_parse(data, limits))
    if len(parsed) > 1:
        raise YamlError(Fault("yaml.documents", "a second document starts here", "keep one document", parsed[1][1]))
    return parsed[0][0] if parsed else None


def _parse(data: bytes, limits: ParseLimits) -> Iterator[ParsedDocument]:
    if len(data) > limits.file_bytes:
        message = f"the file has {len(data)} bytes, more than {limits.file_bytes}"
        raise YamlError(Fault("yaml.too-large", message, "split it into several files"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError(Fault("yaml.encoding", "the file is not UTF-8", "save it as UTF-8", line)) from None
    ordinary = compose(text, limits)
    yield from documents(text, limits) if ordinary is None else ordinary


def documents(text: str, limits: ParseLimits) -> Iterator[ParsedDocument]:
    """The documents of any file, event by event."""
    builder = _Builder(limits)
    try:
        yield from _built(text, builder)
    except yaml.YAMLError as error:
        raise _syntax(error, text, builder) from None


def _built(text: str, builder: _Builder) -> Iterator[ParsedDocument]:
    parser = _parser(text)
    try:
        while True:
            event = parser.get_event()
            kind = type(event)
            if kind is ScalarEvent:
                builder.scalar(event)  # nine of ten
            elif kind is DocumentEndEvent:
                if builder.root is not None:
                    yield builder.root, builder.start, builder.lines
            elif kind is StreamEndEvent:
                return
            else:
                builder.take(kind, event)
    finally:
        parser.dispose()


def _parser(text: str) -> Any:
    if not yaml.__with_libyaml__:
        raise ConfigError(
            "PyYAML was built without libyaml; install its binary wheel, for example pip install --only-binary :all: PyYAML"
        )
    return yaml.CSafeLoader(text)


def _syntax(error: yaml.YAMLError, text: str, builder: _Builder) -> YamlError:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        reason, remedy = _reason(str(getattr(error, "problem", None) or "not YAML"), text[mark.index : mark.index + 1])
        return builder.fault("yaml.syntax", reason, remedy, mark.line + 1)
    position = getattr(error, "position", 0)
    line = text.count("\n", 0, position if isinstance(position, int) else 0) + 1
    return builder.fault(
        "yaml.syntax", "a character that is not allowed in YAML", "remove it or escape it in quotes", line
    )


def _reason(said: str, at: str) -> tuple[str, str]:
    """What is wrong at a character, and the remedy; what libyaml says where that is plain enough."""
    if at == "\t":
        return "a tab where YAML only takes spaces", "use spaces"
    if said == "found character that cannot start any token":
        return f'no value can begin with "{at}"', "put the value in quotes"
    return said, "fix the YAML at this line"


def _unwrap(value: Any, line: int, lines: dict[int, int]) -> Iterator[tuple[Any, int]]:
    if not isinstance(value, dict) or not _is_list(value):
        yield value, line
        return
    items = value.get("items")
    if items is not None and not isinstance(items, list):
        raise YamlError(Fault("yaml.list", "the items of a List are not a list", "use items: [...]", line, "items"))
    for item in items or ():
        start = lines.get(id(item), line)
        if isinstance(item, dict) and _is_list(item):
            raise YamlError(
                Fault("yaml.list", "a List contains a List", "move its items to the outer List", start, "items")
            )
        if item is not None:
            yield item, start


def _is_list(value: dict[str, Any]) -> bool:
    kind = value.get("kind")
    return isinstance(kind, str) and is_list_kind(kind, isinstance(value.get("items"), list))


def is_list_kind(kind: str, has_items: object) -> bool:
    """Whether a kind is a Kubernetes list: `List` always, `<Kind>List` only where `items` is a list."""
    return kind == "List" or (kind.endswith("List") and bool(has_items))


_MERGE = "<<"


class _NodeFrame:
    """An open mapping or sequence. `base` is the node count when it opened, `height` of its highest child so far."""

    __slots__ = ("anchor", "base", "height", "key", "line", "merged", "merging", "value")

    def __init__(self, value: Any, anchor: str | None, base: int) -> None:
        self.value = value
        self.key: str | None = None
        self.anchor = anchor
        self.base = base
        self.height = 0
        self.merging = False
        self.line = 0  # where its `<<` stands
        self.merged: set[str] | None = None  # keys that came by `<<`, and are not written yet (None: there is no `<<`)


class _Builder:
    """Builds one document after the other from parser events, without recursion."""

    def __init__(self, limits: ParseLimits) -> None:
        self.root: Any = None
        self.start = 1
        self.lines: dict[int, int] = {}  # id(item) -> line, for items of a list at the top of a document
        self._limits = limits
        self._nodes = 0
        self._read: dict[str, str | int | float | bool | None] = {}  # what unquoted scalars mean, each read once
        self._stack: list[_NodeFrame] = []
        self._anchors: dict[str, tuple[Any, int, int] | None] = {}  # None: still open, an alias would be recursive

    def take(self, kind: type[Event], event: Any) -> None:
        """Take one event other than a scalar, the end of a document or of the stream."""
        if kind is MappingStartEvent:
            self._open({}, event)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._close()
        elif kind is SequenceStartEvent:
            self._open([], event)
        elif kind is AliasEvent:
            self._alias(event)
        elif kind is DocumentStartEvent:
            self._begin(event)

    def fault(self, code: str, message: str, remedy: str, line: int) -> YamlError:
        """An error at a line, with the object and the field path that are open there."""
        return YamlError(Fault(code, message, remedy, line, self._path(), self._ref()))

    def _begin(self, event: Any) -> None:
        self.root = None
        self.start = event.start_mark.line + 1
        self.lines = {}
        self._anchors.clear()

    def scalar(self, event: Any) -> None:
        """Take the event of a scalar."""
        if event.tag is not None:
            raise self._tagged(event)
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            raise self._too_many(event)
        text = event.value
        if not event.implicit[0]:
            # Quoted, so it is a text whatever it looks like.
            value: Any = sys.intern(text)
        elif text in self._read:
            value = self._read[text]
        else:
            value = self._read[text] = plain(sys.intern(text))  # names are said again and again, and are kept
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1, 0)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and type(frame.value) is dict:
            frame.key = self._key(frame, value, event)
        else:
            self._put(value, event)

    def _key(self, frame: _NodeFrame, value: object, event: Any) -> str:
        if type(value) is not str:
            line = event.start_mark.line + 1
            written = event.value or "(empty)"
            raise self.fault("yaml.key", f'the key "{written[:80]}" is not a string', "put the key in quotes", line)
        if value == _MERGE and event.implicit[0]:
            frame.line = line = event.start_mark.line + 1
            return self._merge_key(frame, line)
        if frame.merged and value in frame.merged:
            frame.merged.discard(value)  # what is written wins over what is merged
        elif value in frame.value:
            frame.key = value
            line = event.start_mark.line + 1
            raise self.fault(
                "yaml.duplicate-key", f'the key "{value[:80]}" is set twice', "remove one of the two", line
            )
        return value

    def _merge_key(self, frame: _NodeFrame, line: int) -> str:
        if frame.merged is not None:
            frame.key = _MERGE
            raise self.fault("yaml.duplicate-key", 'the key "<<" is set twice', 'use one: "<<: [*a, *b]"', line)
        frame.merging = True
        return _MERGE

    def _merge(self, frame: _NodeFrame, value: Any, line: int) -> None:
        """Add the keys of one mapping, or of several of which the first wins, to those that are written.

        Of a key that is written before the `<<`, kubectl takes the merged value and kustomize the written one.
        """
        frame.merging, frame.merged = False, set()
        found = value if type(value) is list else [value]
        if not all(type(each) is dict for each in found):
            message = '"<<" merges a value that is neither a mapping nor a list of mappings'
            raise self.fault("yaml.merge-key", message, 'use "<<: *anchor" with the anchor of a mapping', line)
        for each in found:
            for key, item in each.items():
                if key not in frame.value:
                    frame.value[key] = item
                    frame.merged.add(key)
                elif key not in frame.merged:
                    message = f'"{key[:80]}" is set before "<<" and is merged too, which kubectl and kustomize read differently'
                    raise self.fault("yaml.merge-key", message, 'move "<<" to the top', line)

    def _open(self, value: Any, event: Any) -> None:
        if event.tag is not None:
            raise self._tagged(event)
        depth = len(self._stack) + 1
        if depth > self._limits.depth:
            raise self._too_deep(event)
        self._count(1, event)
        self._must_not_be_key(event)
        if depth <= 3:
            self._mark(value, depth, event)
        if event.anchor is not None:
            # Open: an alias to it from inside would be a value that contains itself.
            self._anchors[event.anchor] = None
        self._stack.append(_NodeFrame(value, event.anchor, self._nodes - 1))

    def _mark(self, value: Any, depth: int, event: Any) -> None:
        line = event.start_mark.line + 1
        if depth == 1:
            self.root = value
            self.start = line
        elif depth == 3:
            self.lines[id(value)] = line

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.value, self._nodes - frame.base, frame.height + 1)
        if self._stack:
            parent = self._stack[-1]
            parent.height = max(parent.height, frame.height + 1)
            self._put(frame.value, None)

    def _alias(self, event: Any) -> None:
        line = event.start_mark.line + 1
        self._must_not_be_key(event)
        target = self._anchors.get(event.anchor)
        if target is None:
            reason = "refers to itself" if event.anchor in self._anchors else "has no anchor before it"
            raise self.fault(
                "yaml.alias", f'the alias "*{event.anchor[:80]}" {reason}', "replace it with the value", line
            )
        value, size, height = target
        if len(self._stack) + height > self._limits.depth:
            raise self._too_deep(event)
        # As large as all that it stands for: nine levels of ten aliases each are a billion values.
        self._count(size, event)
        if self._stack:
            self._stack[-1].height = max(self._stack[-1].height, height)
        self._put(value, event)

    def _put(self, value: Any, event: Any) -> None:
        if not self._stack:
            self.root = value
            self.start = event.start_mark.line + 1
            return
        frame = self._stack[-1]
        if type(frame.value) is list:
            frame.value.append(value)
            return
        if frame.merging:
            self._merge(frame, value, frame.line)
        else:
            frame.value[frame.key] = value
        frame.key = None

    def _must_not_be_key(self, event: Any) -> None:
        if not self._stack:
            return
        frame = self._stack[-1]
        if type(frame.value) is dict and frame.key is None:
            line = event.start_mark.line + 1
            raise self.fault("yaml.key", "a key is not a plain string", "use a plain string as the key", line)

    def _count(self, size: int, event: Any) -> None:
        self._nodes += size
        if self._nodes > self._limits.nodes:
            raise self._too_many(event)

    def _too_many(self, event: Any) -> YamlError:
        message = f"the file has more than {self._limits.nodes} values (each alias counts as what it refers to)"
        return self.fault("yaml.too-many", message, "split it into several files", event.start_mark.line + 1)

    def _too_deep(self, event: Any) -> YamlError:
        message = f"nested deeper than {self._limits.depth} levels"
        return self.fault(
            "yaml.too-deep", message, "reduce the nesting; no SMI object needs that much", event.start_mark.line + 1
        )

    def _tagged(self, event: Any) -> YamlError:
        message = f'the tag "{event.tag[:80]}" is not supported'
        remedy = "remove the tag; quote the value if it is a string"
        return self.fault("yaml.tag", message, remedy, event.start_mark.line + 1)

    def _path(self) -> str:
        text = ""
        for frame in self._stack:
            if type(frame.value) is list:
                text += f"[{len(frame.value)}]"
            elif frame.key is not None:
                text += f".{frame.key}" if text else frame.key
        return text[:200]

    def _ref(self) -> ObjectRef | None:
        """The object that is being read, as far as its kind and name stood before the fault."""
        value = self._stack[0].value if self._stack else None
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            return None
        meta = value.get("metadata")
        if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
            return None
        version, namespace = value.get("apiVersion"), meta.get("namespace", "default")
        group = version.rpartition("/")[0] if isinstance(version, str) else ""
        return ObjectRef(group, value["kind"], namespace if isinstance(namespace, str) else "", meta["name"])

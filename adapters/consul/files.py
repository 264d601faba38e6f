"""The family `consul`: config entries as JSON files, as `consul config write` takes them, one in each; those of others in HCL, too. Pure.

The mark is in `Meta`, which Consul keeps with an entry and does nothing with: at most 64 pairs, keys of 128 and values of 512 bytes
(https://developer.hashicorp.com/consul/docs/connect/config-entries/service-defaults#meta). Longer texts go on in further pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from adapters.consul.hcl import HclError, line_of, parse
from adapters.consul.names import KINDS, entry
from adapters.consul.schema import entry_of
from adapters.consul.vocabulary import ENTRIES
from hub.api import (
    ConfigError,
    FamilySpec,
    FileForm,
    FileMark,
    FileObject,
    ObjectRef,
    UnmodelledError,
    UnsafeResourceError,
)

_PREFIX = "smihub.io/"
_NOTE, _PAUSED = f"{_PREFIX}note", f"{_PREFIX}paused"
_FIELDS = ("mesh", "unit", "role", "owner", "needs", "origins", "digest")
_MOST_PAIRS, _MOST_BYTES = 64, 512
_FILE = re.compile(rf"({'|'.join(KINDS)})_([a-z0-9][-_a-z0-9]*)\.json")


def view(body: bytes, kind: str) -> Any:
    """An entry as data. Raises UnmodelledError for bytes that are no such entry."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnmodelledError(f'these bytes are not a "{kind}"') from error
    if found.get("Kind") != kind:
        raise UnmodelledError(f'these bytes are not a "{kind}"')
    return found


def _name(ref: ObjectRef) -> str:
    """`KIND_NAME.json`; no kind has a `_`."""
    return f"{ref.kind}_{ref.name}.json"


def _ref(file: str) -> ObjectRef | None:
    found = _FILE.fullmatch(file)
    return entry(found[1], found[2]) if found else None


def write(body: bytes, mark: FileMark | None) -> bytes:
    """An entry as text, with the mark in `Meta` where it is ours. Raises UnsafeResourceError."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
        if mark is not None:
            found["Meta"] = {**found.get("Meta", {}), **dict(_pairs(mark))}
            if len(found["Meta"]) > _MOST_PAIRS:
                raise UnsafeResourceError(f"its mark needs more than {_MOST_PAIRS} pairs of Meta")
        return (json.dumps(found, indent=2, sort_keys=True) + "\n").encode()
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError):
        raise UnsafeResourceError("its body is not a config entry in JSON") from None


def _pairs(mark: FileMark) -> Iterator[tuple[str, str]]:
    yield _NOTE, mark.comments()[0]
    for name in _FIELDS:
        text = getattr(mark, name)
        step = _MOST_BYTES if text.isascii() else _MOST_BYTES // 4
        for number, start in enumerate(range(0, max(len(text), 1), step)):
            if text or name == "mesh":
                yield f"{_PREFIX}{name}" + (f".{number}" if number else ""), text[start : start + step]
    if mark.paused:
        yield _PAUSED, "true"


def read(data: bytes) -> Sequence[FileObject]:
    """The entry of a file. Raises ConfigError for a text that Consul would not take as one."""
    # The first character decides, as for `consul config write` (command/helpers); the name of the file says nothing.
    found = _from_json(data) if data.lstrip().startswith(b"{") else _from_hcl(data)
    kind, name, meta = found.get("Kind"), found.get("Name"), found.get("Meta", {})
    ref = entry(kind, name) if isinstance(kind, str) and isinstance(name, str) and kind and name else None
    mark = _mark(meta) if isinstance(meta, dict) else None
    if mark is None or not isinstance(meta, dict):
        return [FileObject(ref, b"" if ref is None else _canonical(found))]
    left = {key: text for key, text in meta.items() if not _is_mark(key, text, mark)}
    bare = {key: part for key, part in found.items() if key != "Meta"} | ({"Meta": left} if left else {})
    return [FileObject(ref, _canonical(bare), mark)]


def _from_json(data: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(data.decode(), object_pairs_hook=_distinct, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"it is not a config entry in JSON: {error}") from None
    # Consul compares names without case; `Kind` and `Name` say which entry this is, however it is written.
    plain = {key.lower(): key for key in found}
    if len(plain) < len(found):
        raise ConfigError("it is not a config entry in JSON: a key is there in two spellings")
    spelled = {name: found[plain[name.lower()]] for name in ("Kind", "Name") if name.lower() in plain}
    return {key: value for key, value in found.items() if key.lower() not in {"kind", "name"}} | spelled


def _from_hcl(data: bytes) -> dict[str, Any]:
    text = ""
    try:
        text = data.decode()
        return entry_of(parse(text))
    except UnicodeDecodeError:
        raise ConfigError("it is not text in UTF-8") from None
    except HclError as error:
        raise ConfigError(f"line {line_of(text, error.at)}: {error}") from None


def _mark(meta: Mapping[str, Any]) -> FileMark | None:
    texts = {key: value for key, value in meta.items() if isinstance(value, str)}
    if f"{_PREFIX}mesh" not in texts:
        return None
    found = {name: "".join(_parts(texts, name)) for name in _FIELDS}
    return FileMark(**found, paused=texts.get(_PAUSED, "").lower() == "true")


def _parts(texts: Mapping[str, str], name: str) -> Iterator[str]:
    key, number = f"{_PREFIX}{name}", 0
    while key in texts:
        yield texts[key]
        number += 1
        key = f"{_PREFIX}{name}.{number}"


def _is_mark(key: str, text: object, mark: FileMark) -> bool:
    """Whether a pair is the mark's; what somebody else has put in its place shows as an edit."""
    return (key, text) in set(_pairs(mark)) or (key == _PAUSED and mark.paused)


def _distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found = list(pairs)
    made = dict(found)
    if len(made) < len(found):
        raise ValueError("a key is listed twice")
    return made


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number in JSON")


def _canonical(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def note(kind: str, body: bytes, word: str, text: str) -> bytes:
    """An entry with a note in its `Meta`; of none, a field beside its kind."""
    if not body:
        return _canonical({"Kind": kind, **({word: text} if word else {})})
    found = msgspec.json.decode(body, type=dict[str, Any])
    return _canonical({**found, "Meta": {**found.get("Meta", {}), f"{_PREFIX}{word}": text}})


FILES = FileForm(
    suffixes=(".json", ".hcl"),
    trace=f'"{_PREFIX}mesh"'.encode(),
    name=_name,
    ref=_ref,
    write=write,
    read=read,
    note=note,
    paused=f'"{_PAUSED}": "true" in "Meta"',
)
FAMILY = FamilySpec(ENTRIES, view, FILES)
"""Config entries of the HTTP API."""

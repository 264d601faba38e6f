"""What random search found: made small, written as a case file, and run again for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, to_builtins

from hub.model import Reading, Request
from hub.requests import to_json
from hub.testing.kit import FOUND, read_documents

Fails = Callable[[Sequence[Any], Request], bool]


def shrink(values: Sequence[Any], request: Request, fails: Fails) -> tuple[Any, ...]:
    """Take away whole objects, then single fields and entries, as long as the request still fails."""
    kept = list(values)
    for value in list(kept):
        fewer = [one for one in kept if one is not value]
        if fails(fewer, request):
            kept = fewer
    for index in range(len(kept)):
        kept[index] = _smaller(kept, index, request, fails)
    return tuple(kept)


def _smaller(kept: Sequence[Any], index: int, request: Request, fails: Fails) -> Any:
    value, tried = kept[index], 0
    while tried < len(places := list(_places(value, ()))):
        less = _without(value, places[tried])
        if fails([*kept[:index], less, *kept[index + 1 :]], request):
            value = less
        else:
            tried += 1
    return value


def _places(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found.append((*path, key))
        found.extend(_places(value[key], (*path, key)))
    return found


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    head, rest = path[0], path[1:]
    if isinstance(value, dict):
        if not rest:
            return {key: item for key, item in value.items() if key != head}
        return {key: _without(item, rest) if key == head else item for key, item in value.items()}
    if not rest:
        return [*value[:head], *value[head + 1 :]]
    return [*value[:head], _without(value[head], rest), *value[head + 1 :]]


class Disagreement(Struct, frozen=True):
    """A world and a request on which two readings disagree; `why` says it in words."""

    values: tuple[Any, ...]
    request: Request
    why: str
    reading: Reading = Reading()


def write_found(found: Disagreement, directory: Path = FOUND) -> Path:
    """Write a case file; its name is a digest of what it holds."""
    text, request = to_yaml(found.values), found.request
    body = {
        "title": found.why,
        "source": "found by random search: the readings must agree",
        "reading": to_builtins(found.reading),
        "input": text,
        "requests": [{"request": to_json(request), "expect": {}}],
    }
    digest = sha256(msgspec.json.encode([text, to_json(request)])).hexdigest()[:32]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"found-{digest}.yaml"
    path.write_text(yaml.dump(body, Dumper=_Blocks, sort_keys=False, allow_unicode=True), "utf-8")
    return path


def to_yaml(values: Sequence[Any]) -> str:
    """Objects as YAML that the hub's reader reads back to the same values (as JSON where the plain form would not)."""
    return "---\n".join(_document(value) for value in values)


def _document(value: Any) -> str:
    plain = yaml.dump(value, Dumper=_NoAliases, sort_keys=False, allow_unicode=True)
    read = read_documents(plain)
    return plain if [one.value for one in read] == [value] else msgspec.json.encode(value).decode() + "\n"


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Blocks(yaml.SafeDumper):
    """Texts of several lines as literal blocks."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Blocks.add_representer(str, _Blocks.represent_str)

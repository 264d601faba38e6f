"""What random search found: made small, written as a case file, and run again for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from time import process_time
from typing import Any

import msgspec
import yaml
from msgspec import Struct, to_builtins

from hub.model import Reading, Request
from hub.requests import to_json
from hub.testing.kit import FOUND, read_documents

Fails = Callable[[Any], bool]
_KIND, _NAMES = frozenset({"apiVersion", "kind", "metadata"}), {"metadata": frozenset({"name", "namespace"})}
"""What says which object it is."""
_AT_ONCE = 8
"""Of more entries than that, half are taken away at once, then a quarter, and so on."""


class Budget:
    """How much may be spent on making failures small: processor seconds of this process, and attempts."""

    def __init__(self, cpu_s: float = 10.0, attempts: int = 5000) -> None:
        self._cpu_s, self._attempts = cpu_s, attempts

    def try_once(self, fails: Fails, value: Any) -> bool:
        """Whether it still fails; False, without a try, once all is spent."""
        if self._cpu_s <= 0 or self._attempts <= 0:
            return False
        begun = process_time()
        try:
            return fails(value)
        finally:
            self._cpu_s -= process_time() - begun
            self._attempts -= 1


def shrink(value: Any, fails: Fails, budget: Budget | None = None) -> Any:
    """Take away entries of lists and objects, the outer ones first, until none can go by itself or the budget is spent.

    What is taken away is given back unless `fails` is still true of the rest. A world is a list of objects; what an object is called
    goes with the whole of it only.
    """
    budget = Budget() if budget is None else budget
    while (smaller := _pass(value, fails, budget)) != value:
        value = smaller
    return value


def _pass(value: Any, fails: Fails, budget: Budget) -> Any:
    paths: list[tuple[Any, ...]] = [()]
    for path in paths:  # which grow on the way
        value = _thinned(value, path, fails, budget)
        paths.extend((*path, key) for key in _keys(_at(value, path)))
    return value


def _thinned(value: Any, path: tuple[Any, ...], fails: Fails, budget: Budget) -> Any:
    """The value with fewer entries at one place."""
    size = len(_removable(value, path))
    at_once = size // 2 if size > _AT_ONCE else 1
    while at_once:
        at = 0
        while at < len(keys := _removable(value, path)):
            less = _without(value, path, keys[at : at + at_once])
            if budget.try_once(fails, less):
                value = less
            else:
                at += at_once
        at_once //= 2
    return value


def _removable(value: Any, path: tuple[Any, ...]) -> list[Any]:
    named = _NAMES.get(path[-1] if path else "", _KIND)
    return [key for key in _keys(_at(value, path)) if key not in named]


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _without(value: Any, path: tuple[Any, ...], keys: Sequence[Any]) -> Any:
    """The value without these entries of what is at the path; the value itself stays as it is."""
    if path:
        inner = _without(value[path[0]], path[1:], keys)
        return (
            {**value, path[0]: inner} if isinstance(value, dict) else [*value[: path[0]], inner, *value[path[0] + 1 :]]
        )
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key not in keys}
    return [item for at, item in enumerate(value) if at not in keys]


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

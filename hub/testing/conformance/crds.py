"""The vendor's schema of manifests: each native object against the CustomResourceDefinition of its kind, as an API server reads it.

Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions" (structural schemas, field pruning).
A field that a schema does not name is wrong: an API server drops it without a word, and with it what it was to say. Rules in CEL
(`x-kubernetes-validations`) are not evaluated; only an API server does that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import yaml

from hub.api import ConfigError, NativeObject

Schema = Mapping[str, Any]
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_KUBERNETES = ("apiVersion", "kind", "metadata")
_NEUTRAL = frozenset(
    {"description", "default", "format", "title", "example", "externalDocs", "x-kubernetes-validations"}
)
_NEUTRAL_LISTS = frozenset({"x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"})
_PARTS = frozenset({"type", "nullable", "enum", "properties", "required", "additionalProperties", "items", "not"})
_OPEN, _EITHER = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"


def crd_schema(*texts: str) -> Callable[[NativeObject], Iterable[str]]:
    """From CustomResourceDefinitions as YAML, a function that says what is wrong with an object by them (nothing: it is valid).

    Raises ConfigError for a schema with a keyword that is not known here.
    """
    schemas = {key: schema for text in texts for key, schema in _schemas(text)}

    def faults(native: NativeObject) -> Iterator[str]:
        value = json.loads(native.body)
        kind = str(value.get("apiVersion", "")), str(value.get("kind", ""))
        if kind not in schemas:
            yield f"there is no CustomResourceDefinition of {' '.join(kind)}"
        else:
            own = {name: part for name, part in value.items() if name not in _KUBERNETES}
            yield from _faults(own, schemas[kind], "", closed=True)

    return faults


def _schemas(text: str) -> Iterator[tuple[tuple[str, str], Schema]]:
    for document in yaml.load_all(text, yaml.CSafeLoader):
        if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition":
            spec = document["spec"]
            for version in (each for each in spec["versions"] if each["served"]):
                schema = version["schema"]["openAPIV3Schema"]
                _must_be_known(schema, spec["names"]["kind"])
                yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), schema


def _must_be_known(schema: Schema, where: str) -> None:
    known = _PARTS | _NEUTRAL | _NEUTRAL_LISTS | _LIMITS.keys() | _CHOICES.keys() | {_OPEN, _EITHER}
    if unknown := schema.keys() - known:
        raise ConfigError(f'{where}: the keyword "{min(unknown)}" of its schema is not known')
    inner = [(f"{where}.{name}", part) for name, part in schema.get("properties", {}).items()]
    inner += [(where, schema[name]) for name in ("items", "additionalProperties", "not") if name in schema]
    inner += [(where, part) for name in _CHOICES for part in schema.get(name, ())]
    for place, part in inner:
        if isinstance(part, dict):
            _must_be_known(part, place)


# ------------------------------------------------------------------------------------------------------------- a value


def _faults(value: Any, schema: Schema, path: str, *, closed: bool) -> Iterator[str]:
    """What is wrong; `closed`: fields that are not named are wrong too (the parts of a choice name only what they ask)."""
    if value is None and schema.get("nullable"):
        return
    if not _has_type(value, schema):
        yield f"{path or 'the object'}: expected {schema.get('type', 'an integer or text')}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: expected one of {schema['enum']}"
    yield from (
        f"{path}: {name} is {schema[name]}" for name, holds in _LIMITS.items() if _broken(value, schema, name, holds)
    )
    if isinstance(value, dict):
        yield from _of_object(value, schema, path, closed=closed)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _faults(item, schema["items"], f"{path}[{index}]", closed=closed)
    yield from _of_choices(value, schema, path)


def _has_type(value: Any, schema: Schema) -> bool:
    wanted: tuple[type, ...] = (int, str) if schema.get(_EITHER) else _TYPES.get(schema.get("type", ""), (object,))
    return isinstance(value, wanted) and (not isinstance(value, bool) or bool in wanted or object in wanted)


def _of_object(value: Mapping[str, Any], schema: Schema, path: str, *, closed: bool) -> Iterator[str]:
    named, more = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{_below(path, name)}: is missing"
    for name, part in value.items():
        if name in named:
            yield from _faults(part, named[name], _below(path, name), closed=closed)
        elif isinstance(more, dict):
            yield from _faults(part, more, _below(path, name), closed=closed)
        elif closed and not more and not schema.get(_OPEN):
            yield f"{_below(path, name)}: the schema has no such field"


def _of_choices(value: Any, schema: Schema, path: str) -> Iterator[str]:
    for name, (fits, words) in _CHOICES.items():
        if name in schema and not fits(sum(_fits(value, part, path) for part in schema[name]), len(schema[name])):
            yield f"{path or 'the object'}: {words}"
    if "not" in schema and _fits(value, schema["not"], path):
        yield f"{path or 'the object'}: has what it must not have"


def _fits(value: Any, schema: Schema, path: str) -> bool:
    return not any(_faults(value, schema, path, closed=False))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _broken(value: Any, schema: Schema, name: str, holds: Callable[[Any, Any], bool]) -> bool:
    return name in schema and isinstance(value, _ABOUT[name]) and not holds(value, schema[name])


_LIMITS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, limit: bool(value >= limit),
    "maximum": lambda value, limit: bool(value <= limit),
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
    "pattern": lambda value, limit: re.search(limit, value) is not None,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
    "minProperties": lambda value, limit: len(value) >= limit,
    "maxProperties": lambda value, limit: len(value) <= limit,
}
_ABOUT: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("minimum", "maximum"), (int, float)),
    **dict.fromkeys(("minLength", "maxLength", "pattern"), (str,)),
    **dict.fromkeys(("minItems", "maxItems"), (list,)),
    **dict.fromkeys(("minProperties", "maxProperties"), (dict,)),
}
_CHOICES: Mapping[str, tuple[Callable[[int, int], bool], str]] = {
    "oneOf": (lambda fitting, _: fitting == 1, "fits not exactly one of the ways in which the schema lets it be"),
    "anyOf": (lambda fitting, _: fitting > 0, "fits none of the ways in which the schema lets it be"),
    "allOf": (lambda fitting, every: fitting == every, "fits not all that the schema asks"),
}

"""`smihub schema`: JSON Schemas of what people write, for editors and pipelines.

They are made of the types that read the files (draft 7, which editors know). What no type says, such as which names a mesh can have,
only `smihub check` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from msgspec import json

from hub.cli.context import Exit, emit_text, note
from hub.config.file import written_types
from hub.config.sources import DIRECTORY, WrittenFolder, WrittenSource
from hub.expect.shape import WrittenTest
from hub.plugins import Plugins, installed_plugins
from hub.smi.written import WrittenWorkload

_DIALECT = "http://json-schema.org/draft-07/schema#"
_REF = "#/definitions/{name}"
Schema = dict[str, Any]


class Shown(StrEnum):
    """What there is a schema of."""

    CONFIG = "config"
    WORKLOAD = "workload"
    TEST = "test"


def schema(
    of: Annotated[Shown, typer.Argument(metavar="config|workload|test", help="The file or object.")],
) -> Exit:
    """Print the JSON Schema of smihub.yaml, of the Workload kind, or of a file of expectations."""
    plugins = installed_plugins()
    for problem in plugins.problems:
        note(str(problem))
    emit_text(schema_of(of, plugins).decode())
    return Exit.SAME


def schema_of(of: Shown, plugins: Plugins) -> bytes:
    """A schema as JSON text; of smihub.yaml with the settings of the adapters, sinks and sources that are installed."""
    schema = _config(plugins) if of is Shown.CONFIG else _of({Shown.WORKLOAD: WrittenWorkload}.get(of, WrittenTest))
    return json.format(json.encode(schema), indent=2) + b"\n"


def _of(written: type) -> Schema:
    (root,), definitions = json.schema_components([written], ref_template=_REF)
    return _document(root, definitions)


def _document(root: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The whole: editors show names as they are, so that of a private type is shown without its underscore."""
    text = json.encode({"$schema": _DIALECT, **root, "definitions": definitions})
    for name in definitions:
        if name.startswith("_"):
            text = text.replace(f'"{name}"'.encode(), f'"{name[1:]}"'.encode())
            text = text.replace(_REF.format(name=name).encode(), _REF.format(name=name[1:]).encode())
    found: Schema = _with_ecma_anchors(json.decode(text))
    return found


def _with_ecma_anchors(value: Any) -> Any:
    r"""The same, with patterns as editors read them: `\A` and `\Z` are Python's (JSON Schema draft 7, section 4.3: ECMA 262)."""
    if isinstance(value, list):
        return [_with_ecma_anchors(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_ecma_anchors(one) for key, one in value.items()}
    if isinstance(pattern := found.get("pattern"), str):
        found["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    return found


# --------------------------------------------------------------------------- smihub.yaml


def _config(plugins: Plugins) -> Schema:
    """Of either form of the file. What adapters, sinks and sources take is theirs, and depends on which is named."""
    forms, parts, mesh = written_types()
    settings: list[type] = [WrittenSource, WrittenFolder]
    for brought in (plugins.adapters, plugins.sinks, plugins.sources):
        settings += [spec.config for spec in brought.values()]
    types = list(dict.fromkeys((*forms, *parts, mesh, *settings)))
    schemas, definitions = json.schema_components(types, ref_template=_REF)
    refs = dict(zip(types, schemas, strict=True))
    for part in (*forms, *parts):
        if "sources" in (fields := resolved(refs[part], definitions)["properties"]):
            fields["sources"] = {"type": "array", "minItems": 1, "items": _source(plugins, refs, definitions)}
    resolved(refs[mesh], definitions)["allOf"] = [
        {
            "if": {"properties": {"adapter": {"const": name}}},
            "then": {
                "properties": {"config": refs[spec.config], "sink": _sink(spec.family, plugins, refs, definitions)}
            },
        }
        for name, spec in sorted(plugins.adapters.items())
    ]
    return _document({"title": "smihub.yaml", "anyOf": [refs[form] for form in forms]}, definitions)


def _source(plugins: Plugins, refs: Mapping[type, Schema], definitions: Mapping[str, Schema]) -> Schema:
    """A folder, or what another kind of source takes beside what every source may say."""
    common = resolved(refs[WrittenSource], definitions)["properties"]
    others = [
        _with(resolved(refs[spec.config], definitions), {**common, "kind": {"const": name}}, "kind")
        for name, spec in sorted(plugins.sources.items())
        if name != DIRECTORY
    ]
    return {"anyOf": [_with(resolved(refs[WrittenFolder], definitions), {"kind": {"const": DIRECTORY}}), *others]}


def _sink(family: str, plugins: Plugins, refs: Mapping[type, Schema], definitions: Mapping[str, Schema]) -> Schema:
    """What the sinks for this family take, each with its `kind`."""
    fitting = plugins.sinks_of(family)
    return {
        "anyOf": [
            _with(
                resolved(refs[spec.config], definitions),
                {"kind": {"const": name}},
                *(["kind"] if len(fitting) > 1 else []),
            )
            for name, spec in sorted(fitting.items())
        ]
    }


def _with(schema: Schema, more: Schema, *required: str) -> Schema:
    """The same mapping with more fields."""
    found = {**schema, "properties": {**schema.get("properties", {}), **more}}
    return {**found, "required": [*schema.get("required", []), *required]}


def resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """A schema that is a reference, as what it refers to."""
    return definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

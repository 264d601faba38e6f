"""A file of requests judged by hand: JudgedRequests as YAML, for an author's tests and for `smihub adapters check --requests`.

world: |                      # the Services, Pods and Workloads around the mesh's objects
  ...
judged:
- source: https://...         # the vendor's page that says so
  objects: |                  # native objects, as they stand in files of the adapter's family
    ...                       # or a list: [{kind: Listener, name: in, body: {...}}], bodies as `smihub render` prints them
  requests:
  - verdict: allow            # or deny; of a mesh that governs routes alone: ungoverned, with weights: {api: 9/10, api-v2: 1/10}
    request: {src: {identity: d/web}, dst: {pod: d/api}, port: 8080, path: /a}
parts: ...                    # what is read by nobody: a place for YAML's anchors
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct

from hub.api import ConfigError, FamilySpec, NativeObject, ObjectRef, Role, UnmodelledError
from hub.requests import RequestError, decode
from hub.testing.conformance.subject import JudgedRequest


class _JudgedLine(Struct, forbid_unknown_fields=True):
    verdict: Literal["allow", "deny", "mixed", "ungoverned"]
    request: dict[str, Any]
    weights: dict[str, str] | None = None


class _JudgedObject(Struct, forbid_unknown_fields=True):
    kind: str
    name: str
    body: Any
    group: str = ""
    namespace: str = ""


class _JudgedRow(Struct, forbid_unknown_fields=True):
    source: str
    requests: list[_JudgedLine]
    objects: str | list[_JudgedObject] = ""


class _JudgedFile(Struct, forbid_unknown_fields=True):
    judged: list[_JudgedRow]
    world: str = ""
    parts: Any = None


def read_judged(path: Path, family: FamilySpec) -> tuple[JudgedRequest, ...]:
    """The requests of a file. Raises ConfigError, with the place, for what it cannot read."""
    try:
        file = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), _JudgedFile)
    except OSError as error:
        raise ConfigError(f'"{path}" cannot be read: {error.strerror or error}') from None
    except (yaml.YAMLError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    return tuple(
        one for at, row in enumerate(file.judged) for one in _rows(file, row, (f"{path}: judged[{at}]", family))
    )


def _rows(file: _JudgedFile, row: _JudgedRow, context: tuple[str, FamilySpec]) -> Iterator[JudgedRequest]:
    where, family = context
    objects = tuple(_objects(row.objects, where, family))
    for at, asked in enumerate(row.requests):
        try:
            request = decode(asked.request).request
        except RequestError as error:
            raise ConfigError(f"{where}.requests[{at}].request: {error}") from None
        yield JudgedRequest(objects, request, asked.verdict, row.source, file.world, asked.weights)


def _objects(written: str | list[_JudgedObject], where: str, family: FamilySpec) -> Iterator[NativeObject]:
    try:
        yield from _of_text(written, family) if isinstance(written, str) else _of_list(written, family)
    except (ConfigError, UnmodelledError) as error:
        raise ConfigError(f"{where}.objects: {error}") from None


def _of_list(written: list[_JudgedObject], family: FamilySpec) -> Iterator[NativeObject]:
    for one in written:
        ref = ObjectRef(one.group, one.kind, one.namespace, one.name)
        yield NativeObject(ref, Role.GRANT, family.body(one.body, one.kind))


def _of_text(text: str, family: FamilySpec) -> Iterator[NativeObject]:
    if not text.strip():
        return
    if family.files is None:
        raise ConfigError(f'the objects of family "{family.name}" have no files; write a list of kind, name and body')
    for one in family.files.read(text.encode()):
        if one.ref is None:
            raise ConfigError("an object has no name, or no kind")
        yield NativeObject(one.ref, Role.GRANT, one.body)

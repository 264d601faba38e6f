"""A family that has nothing of Kubernetes but its bodies: JSON files under names of their own, with the mark beside the object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hub.api import FamilySpec, FileForm, FileMark, FileObject, ObjectRef
from hub.sinks.kubernetes import KUBERNETES

_SEPARATOR, _SUFFIX = "__", ".json"


class _ObjectFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ref: ObjectRef
    body: msgspec.Raw
    ours: FileMark | None = None


def _file(ref: ObjectRef) -> str:
    return _SEPARATOR.join((ref.namespace, ref.group, ref.kind, ref.name)) + _SUFFIX


def _ref_of_file(file: str) -> ObjectRef | None:
    parts = file.removesuffix(_SUFFIX).split(_SEPARATOR)
    return ObjectRef(parts[1], parts[2], parts[0], parts[3]) if len(parts) == 4 else None


def _write(body: bytes, mark: FileMark | None) -> bytes:
    value: Mapping[str, Any] = msgspec.json.decode(body)
    place, version = value["metadata"], value["apiVersion"]
    ref = ObjectRef(version.rpartition("/")[0], value["kind"], place["namespace"], place["name"])
    return msgspec.json.encode(_ObjectFile(ref, msgspec.Raw(body), mark)) + b"\n"


def _read(data: bytes) -> Sequence[FileObject]:
    found = msgspec.json.decode(data, type=_ObjectFile)
    return [FileObject(found.ref, bytes(found.body), found.ours)]


def _note(kind: str, body: bytes, word: str, text: str) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(body or b"{}"), "kind": kind, f"note {word}": text})


OTHER = FamilySpec(
    "other", KUBERNETES.view, FileForm((_SUFFIX,), b'"ours":{"mesh":', _file, _ref_of_file, _write, _read, _note)
)

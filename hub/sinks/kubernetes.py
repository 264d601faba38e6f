"""The family `kubernetes`: manifests as YAML, for every mesh whose objects are read from an API server. Pure.

The mark is a label and annotations in `metadata`; what is left without them is the part that we own. Everything there is
owned, so an edit shows as a difference, with one exception: the annotation `smihub.io/paused: "true"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hub.api import FamilySpec, FileForm, FileList, FileMark, FileObject
from hub.errors import ConfigError, UnmodelledError, UnsafeResourceError
from hub.family import canonical
from hub.model import MANAGED_BY, ObjectRef
from hub.sinks.emit import emit
from hub.sinks.manifest import MAX_OBJECT_BYTES
from hub.sources.limits import ParseLimits, YamlError
from hub.sources.yaml import load

PAUSED = "smihub.io/paused"
_PAUSED_ALSO = "smihub.io/hands-off"  # its former name, honoured for good: people have written it into files
SYNC_WAVE = "argocd.argoproj.io/sync-wave"
_MESH, _OWNER = "smihub.io/mesh", "smihub.io/owner"
_UNIT, _ROLE = "smihub.io/unit", "smihub.io/role"
_ORIGINS, _NEEDS, _DIGEST = "smihub.io/origins", "smihub.io/needs", "smihub.io/digest"
_OURS = frozenset((_MESH, _OWNER, _UNIT, _ROLE, _ORIGINS, _NEEDS, _DIGEST))
_EMPTIED = frozenset(("labels", "annotations"))  # an empty one says nothing
_LIMITS = ParseLimits(file_bytes=MAX_OBJECT_BYTES)

# Argo CD applies lower waves first and prunes in the opposite order (Argo CD, "Sync Phases and Waves").
_WAVES: Mapping[str, str] = {"guard": "-3", "referenced": "-2", "grant": "-1", "route": "0"}
_BASELINE_WAVE = "-4"
_BEFORE = re.compile(rb"^( +)smihub[.]io/role:", re.MULTILINE)
_PAUSED_LINE = re.compile(rb"^ +([\"']?)smihub[.]io/(?:paused|hands-off)\1:.*\n", re.MULTILINE)

# No Kubernetes name holds `_`, so the parts of a file's name can be told apart.
_NAMESPACE = r"(?P<namespace>(?:[a-z0-9][-a-z0-9]*)?)"
_KIND = r"(?P<kind>[A-Z][A-Za-z0-9]*)(?:\.(?P<group>[a-z0-9][-a-z0-9.]*))?"
_NAME = r"(?P<name>[a-z0-9][-a-z0-9.]*)"
_FILE = re.compile(rf"{_NAMESPACE}_{_KIND}_{_NAME}\.yaml")


def _file(ref: ObjectRef) -> str:
    """`NAMESPACE_KIND.GROUP_NAME.yaml`."""
    kind = f"{ref.kind}.{ref.group}" if ref.group else ref.kind
    return f"{ref.namespace}_{kind}_{ref.name}.yaml"


def _ref_of_file(file: str) -> ObjectRef | None:
    found = _FILE.fullmatch(file)
    return ObjectRef(found["group"] or "", found["kind"], found["namespace"], found["name"]) if found else None


def _view(body: bytes, kind: str) -> Any:
    """The manifest as dicts, lists, texts and numbers. Raises UnmodelledError for bytes that are no such object."""
    try:
        manifest = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnmodelledError(f'these bytes are not a "{kind}"') from error
    if manifest.get("kind") != kind:
        raise UnmodelledError(f'these bytes are not a "{kind}"')
    return manifest


def _write(body: bytes, mark: FileMark | None) -> bytes:
    """A manifest, with comments, label and annotations where it is ours. Raises UnsafeResourceError."""
    try:
        value = msgspec.json.decode(body)
        if mark is None:
            return emit(value).encode()
        head = "".join(f"# {comment}\n" for comment in mark.comments())
        return (head + emit(_marked(value, _annotations(mark)))).encode()
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnsafeResourceError("its body is not a Kubernetes object in JSON") from None


def _read(data: bytes) -> Sequence[FileObject]:
    try:
        return [_object(document.value) for document in load(data, limits=_LIMITS)]
    except YamlError as error:
        raise ConfigError(str(error)) from None


def _object(value: Any) -> FileObject:
    ref, mark = _ref(value), _mark(value)
    if mark is not None:
        return FileObject(ref, canonical(_bare(value, _sync_wave(mark))), mark)
    return FileObject(ref, b"" if ref is None else canonical(_without_empty(value)))


def _without_empty(value: Mapping[str, Any]) -> dict[str, Any]:
    """Labels that were emptied by releasing must not keep the object from being adopted again."""
    metadata = {key: part for key, part in value["metadata"].items() if part or key not in _EMPTIED}
    return {**value, "metadata": metadata}


# --------------------------------------------------------------------------- the mark


def _annotations(mark: FileMark) -> dict[str, str]:
    found = {
        _MESH: mark.mesh,
        _UNIT: mark.unit,
        _ROLE: mark.role,
        _ORIGINS: mark.origins,
        _DIGEST: mark.digest,
        SYNC_WAVE: _sync_wave(mark),
    }
    optional = {_OWNER: mark.owner, _NEEDS: mark.needs, PAUSED: "true" if mark.paused else ""}
    return found | {key: text for key, text in optional.items() if text}


def _marked(value: Any, marks: Mapping[str, str]) -> dict[str, Any]:
    metadata = value["metadata"]
    labels = {**metadata.get("labels", {}), MANAGED_BY: "smihub"}
    annotations = {**metadata.get("annotations", {}), **marks}
    return {**value, "metadata": {**metadata, "labels": labels, "annotations": annotations}}


def _sync_wave(mark: FileMark) -> str:
    return _BASELINE_WAVE if mark.unit.startswith("baseline") else _WAVES.get(mark.role, "")


def _mark(value: Any) -> FileMark | None:
    """Our mark for any mesh and owner; None without one."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        return None
    labels, marks = metadata.get("labels"), metadata.get("annotations")
    if not isinstance(labels, dict) or not isinstance(marks, dict):
        return None
    if labels.get(MANAGED_BY) != "smihub" or not isinstance(marks.get(_MESH), str):
        return None
    return FileMark(
        marks[_MESH],
        _text(marks.get(_UNIT)),
        _text(marks.get(_ROLE)),
        str(marks.get(_OWNER, "")),
        _text(marks.get(_NEEDS, "")),
        _text(marks.get(_ORIGINS)),
        _text(marks.get(_DIGEST)),
        any(_is_pause(key, text) for key, text in marks.items()),
    )


def _text(value: Any) -> str:
    """An annotation; what is no text is one that we never write."""
    return value if isinstance(value, str) else "?"


def _bare(value: Mapping[str, Any], sync_wave: str) -> dict[str, Any]:
    """The object without the mark. A sync-wave other than ours is somebody's edit, and stays."""
    metadata = dict(value["metadata"])
    labels = {key: text for key, text in metadata.pop("labels").items() if key != MANAGED_BY}
    marks = metadata.pop("annotations")
    annotations = {key: text for key, text in marks.items() if key not in _OURS and not _is_stamp(key, text, sync_wave)}
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    return {**value, "metadata": metadata}


def _is_stamp(key: str, text: Any, sync_wave: str) -> bool:
    if key == SYNC_WAVE:
        return bool(text == sync_wave)
    return _is_pause(key, text)


def _is_pause(key: str, text: Any) -> bool:
    return key in {PAUSED, _PAUSED_ALSO} and str(text).lower() == "true"


def _ref(value: Any) -> ObjectRef | None:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        return None
    version, kind, name = value.get("apiVersion"), value.get("kind"), metadata.get("name")
    parts = (version, kind, metadata.get("namespace", ""), name)
    if not _are_texts(parts) or not kind or not name:
        return None
    return ObjectRef(str(version).rpartition("/")[0], str(kind), str(parts[2]), str(name))


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _pause(data: bytes, paused: bool) -> bytes:  # noqa: FBT001 - the value that is set
    """The text with the annotation or without it; comments and layout stay."""
    text = _PAUSED_LINE.sub(b"", data)
    return _BEFORE.sub(rb'\1%b: "true"\n\g<0>' % PAUSED.encode(), text, count=1) if paused else text


def _note(kind: str, body: bytes, word: str, text: str) -> bytes:
    """An annotation of a manifest; of none, a field beside its kind."""
    if not body:
        return canonical({"kind": kind, **({word: text} if word else {})})
    value = msgspec.json.decode(body)
    metadata = value["metadata"]
    annotations = {**metadata.get("annotations", {}), f"smihub.io/{word}": text}
    return canonical({**value, "metadata": {**metadata, "annotations": annotations}})


KUBERNETES = FamilySpec(
    "kubernetes",
    _view,
    FileForm(
        suffixes=(".yaml", ".yml", ".json"),  # what kubectl and Argo CD read of a folder
        trace=f"{_UNIT}:".encode(),
        name=_file,
        ref=_ref_of_file,
        write=_write,
        read=_read,
        note=_note,
        pause=_pause,
        paused=f'{PAUSED}: "true"',
        list=FileList(
            "kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:",
            # kustomize wants one of the three to be there, and only one.
            ("kustomization.yml", "Kustomization"),
        ),
    ),
    meaningless=("metadata.name", "metadata.namespace", "metadata.labels.*", "metadata.annotations.*"),
)

"""One object as a file: the native body with our mark on it, and what a file says when it is read again. Pure.

The mark is a label and annotations in `metadata`; what is left without them is the part that we own. Everything there is
owned, so an edit shows as a difference, with one exception: the annotation `smihub.io/paused: "true"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.errors import UnsafeResourceError
from hub.model import NativeObject, ObjectRef, Observed, Role, UnitKey
from hub.sinks.emit import emit, escaped
from hub.sinks.names import header, unit_of, unit_text
from hub.sources.limits import ParseLimits, YamlError
from hub.sources.yaml import load

MAX_OBJECT_BYTES = 1_048_576
"""More than a Kubernetes API server takes for one object (etcd: 1.5 MiB per request, in JSON and with what it adds)."""
MANAGED_BY = "app.kubernetes.io/managed-by"
PAUSED = "smihub.io/paused"
_PAUSED_ALSO = "smihub.io/hands-off"  # its former name, honoured for good: people have written it into files
SYNC_WAVE = "argocd.argoproj.io/sync-wave"
NOT_LISTED = "smihub.io/not-in-kustomization"
_MESH, _OWNER = "smihub.io/mesh", "smihub.io/owner"
_UNIT, _ROLE = "smihub.io/unit", "smihub.io/role"
_ORIGINS, _NEEDS, _DIGEST = "smihub.io/origins", "smihub.io/needs", "smihub.io/digest"
_OURS = frozenset((_MESH, _OWNER, _UNIT, _ROLE, _ORIGINS, _NEEDS, _DIGEST))
_EMPTIED = frozenset(("labels", "annotations"))  # an empty one says nothing
_LIMITS = ParseLimits(file_bytes=MAX_OBJECT_BYTES)
_MOST_ORIGINS = 4096  # characters; all annotations of an object together may have 256 KiB

# Argo CD applies lower waves first and prunes in the opposite order (Argo CD, "Sync Phases and Waves").
_WAVES: Mapping[Role, str] = {Role.GUARD: "-3", Role.REFERENCED: "-2", Role.GRANT: "-1", Role.ROUTE: "0"}
_BASELINE_WAVE = "-4"


class Foreign(Struct, frozen=True):
    """A file that is not ours, and the objects in it as far as anybody can tell; of a single one content and digest.

    `owner` is whose it is, where another smihub.yaml wrote it for a mesh of this name.
    """

    refs: tuple[ObjectRef, ...] = ()
    content: bytes = b""
    token: str = ""
    owner: str = ""


class Broken(Struct, frozen=True):
    """A file that carries our mark and cannot be read as one object of ours."""

    reason: str


class Unowned(Struct, frozen=True):
    """A file with a mark that names no owner (f44faaa's, say): ours if the memory tells of its unit, else somebody else's.

    As somebody else's it has the content without the mark, so that it can be adopted.
    """

    ours: Observed | Broken
    theirs: Foreign


def digest(data: bytes) -> str:
    """What tells contents apart."""
    return sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    """JSON in one form only."""
    return msgspec.json.encode(value, order="deterministic")


def stamp(native: NativeObject, unit: UnitKey, mesh: str, owner: str = "", *, paused: bool = False) -> bytes:
    """The file of an object. Raises UnsafeResourceError where `read` would not give back the same."""
    try:
        value = msgspec.json.decode(native.body)
        marks = _marks(native, unit, mesh, paused=paused) | ({_OWNER: owner} if owner else {})
        data = _head(native, unit, mesh) + emit(_marked(value, marks)).encode()
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
        raise _unsafe(native, unit, "its body is not a Kubernetes object in JSON") from None
    if len(data) > MAX_OBJECT_BYTES:
        raise _unsafe(native, unit, f"it has {len(data)} bytes, more than {MAX_OBJECT_BYTES}")
    wanted = Observed(native.ref, native.body, unit, digest(data), native.role, native.needs, paused=paused)
    # Read back before it is written: a file that we would not recognise as ours would never be revoked.
    if read(data, mesh, owner) != wanted:
        raise _unsafe(native, unit, "it would be read back differently")
    return data


def read(data: bytes, mesh: str, owner: str = "") -> Observed | Unowned | Foreign | Broken:
    """What a file holds, for one mesh of one owner; the token is the digest of its bytes."""
    try:
        values = [document.value for document in load(data, limits=_LIMITS)]
    except YamlError as error:
        # A file of ours that somebody broke must not be taken for a foreign one, which nobody would ever put right.
        return Broken(str(error)) if f"{_UNIT}:".encode() in data else Foreign()
    owners = [found for value in values if (found := _owner_of(value, mesh)) is not None]
    if owner in owners:
        return _observed(values, data)
    theirs = _foreign(values, data, next(filter(None, owners), ""))
    if "" not in owners:
        return theirs
    ours = _observed(values, data)
    return Unowned(ours, replace(theirs, content=ours.owned) if isinstance(ours, Observed) else theirs)


def _foreign(values: Sequence[Any], data: bytes, owner: str) -> Foreign:
    refs = tuple(ref for value in values if (ref := _ref(value)) is not None)
    if len(values) > 1 or not refs:
        return Foreign(refs, owner=owner)
    # Labels that were emptied by releasing must not keep the object from being adopted again.
    metadata = {key: part for key, part in values[0]["metadata"].items() if part or key not in _EMPTIED}
    return Foreign(refs, canonical({**values[0], "metadata": metadata}), digest(data), owner)


def _observed(values: Sequence[Any], data: bytes) -> Observed | Broken:
    if len(values) > 1:
        return Broken("it has more than one object")
    value, token = values[0], digest(data)
    ref, marks = _ref(value), value["metadata"]["annotations"]
    unit, role, needs = unit_of(str(marks.get(_UNIT))), marks.get(_ROLE), _needs(marks.get(_NEEDS, "[]"))
    if ref is None:
        return Broken("it names no object (apiVersion, kind, metadata.name)")
    if unit is None or needs is None or not isinstance(role, str) or role not in set(Role):
        return Broken(f'the annotations "{_UNIT}", "{_ROLE}" and "{_NEEDS}" are not what smihub wrote')
    paused = any(_is_pause(key, text) for key, text in marks.items())
    owned = canonical(_bare(value, _sync_wave(Role(role), unit)))
    return Observed(ref, owned, unit, token, Role(role), needs, paused=paused)


# --------------------------------------------------------------------------- the mark


def _head(native: NativeObject, unit: UnitKey, mesh: str) -> bytes:
    lines = (header(mesh), f"# unit: {escaped(unit_text(unit))}", f"# from: {escaped(_shown_origins(native.origins))}")
    return "".join(f"{line.rstrip()}\n" for line in lines).encode()


def _shown_origins(origins: Sequence[ObjectRef]) -> str:
    """The SMI objects behind an object; of very many, the first ones and how many there are besides."""
    words = [str(origin) for origin in origins]
    text = ", ".join(words)
    while len(text) > _MOST_ORIGINS:
        words = words[: len(words) // 2]
        text = ", ".join([*words, f"and {len(origins) - len(words)} more"])
    return text


def _marks(native: NativeObject, unit: UnitKey, mesh: str, *, paused: bool) -> dict[str, str]:
    marks = {
        _MESH: mesh,
        _UNIT: unit_text(unit),
        _ROLE: native.role.value,
        _ORIGINS: _shown_origins(native.origins),
        _DIGEST: f"sha256:{digest(native.body)}",
        SYNC_WAVE: _sync_wave(native.role, unit),
    }
    if native.needs:
        marks[_NEEDS] = msgspec.json.encode(native.needs).decode()
    if paused:
        marks[PAUSED] = "true"
    return marks


def _marked(value: Any, marks: Mapping[str, str]) -> dict[str, Any]:
    metadata = value["metadata"]
    labels = {**metadata.get("labels", {}), MANAGED_BY: "smihub"}
    annotations = {**metadata.get("annotations", {}), **marks}
    return {**value, "metadata": {**metadata, "labels": labels, "annotations": annotations}}


def _sync_wave(role: Role, unit: UnitKey) -> str:
    return _BASELINE_WAVE if unit.kind == "baseline" else _WAVES[role]


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


def _owner_of(value: Any, mesh: str) -> str | None:
    """The owner that our mark for this mesh names ("": none); None without such a mark."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        return None
    labels, annotations = metadata.get("labels"), metadata.get("annotations")
    if not isinstance(labels, dict) or not isinstance(annotations, dict):
        return None
    if labels.get(MANAGED_BY) != "smihub" or annotations.get(_MESH) != mesh:
        return None
    return str(annotations.get(_OWNER, ""))


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


def _needs(text: Any) -> tuple[ObjectRef, ...] | None:
    try:
        return msgspec.json.decode(text, type=tuple[ObjectRef, ...])
    except (msgspec.MsgspecError, TypeError):
        return None


def not_listed(owned: bytes) -> bytes:
    """What we own of an object that kustomize is not told of: different from anything desired, and saying why."""
    value = msgspec.json.decode(owned)
    metadata = value["metadata"]
    annotations = {**metadata.get("annotations", {}), NOT_LISTED: "true"}
    return canonical({**value, "metadata": {**metadata, "annotations": annotations}})


def _unsafe(native: NativeObject, unit: UnitKey, why: str) -> UnsafeResourceError:
    return UnsafeResourceError(f'"{native.ref}" of {unit} cannot be written as a manifest: {why}')

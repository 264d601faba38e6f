"""One object as a file: the native body with our mark on it, and what a file says when it is read again. Pure.

How a family has a body and a mark in a text, its `FileForm` says; that nothing of it is lost, and whose a file is, is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.api import FileForm, FileMark, FileObject
from hub.errors import SmihubError, UnsafeResourceError
from hub.model import NativeObject, ObjectRef, Observed, Role, UnitKey
from hub.sinks.names import unit_of, unit_text

MAX_OBJECT_BYTES = 1_048_576
"""More than a Kubernetes API server takes for one object (etcd: 1.5 MiB per request, in JSON and with what it adds)."""
_MOST_ORIGINS = 4096  # characters; all annotations of a Kubernetes object together may have 256 KiB


class Foreign(Struct, frozen=True):
    """A file that is not ours, and the objects in it as far as anybody can tell; of a single one content and digest.

    `owner` is whose it is, where another smihub.yaml wrote it for a mesh of this name; `mesh` for which other one it was written.
    `unread` is why nobody can tell what is in it.
    """

    refs: tuple[ObjectRef, ...] = ()
    content: bytes = b""
    token: str = ""
    owner: str = ""
    mesh: str = ""
    unread: str = ""


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


class ObjectFiles(Struct, frozen=True):
    """How the objects of one mesh stand in files: in the form of their family, with the mark of this mesh and owner."""

    form: FileForm
    mesh: str
    owner: str = ""

    def stamp(self, native: NativeObject, unit: UnitKey, *, paused: bool = False) -> bytes:
        """The file of an object. Raises UnsafeResourceError where `read` would not give back the same."""
        data = self._written(native, unit, paused=paused)
        if len(data) > MAX_OBJECT_BYTES:
            raise _unsafe(native, unit, f"it has {len(data)} bytes, more than {MAX_OBJECT_BYTES}")
        wanted = Observed(native.ref, native.body, unit, digest(data), native.role, native.needs, paused=paused)
        # Read back before it is written: a file that we would not recognise as ours would never be revoked.
        if self.read(data) != wanted or self.form.trace not in data:
            raise _unsafe(native, unit, "it would be read back differently")
        return data

    def _written(self, native: NativeObject, unit: UnitKey, *, paused: bool) -> bytes:
        try:
            return bytes(self.form.write(native.body, self._mark(native, unit, paused=paused)))
        except UnsafeResourceError as error:
            raise _unsafe(native, unit, str(error)) from None
        except Exception as error:
            raise _unsafe(native, unit, f"its family does not write it ({type(error).__name__})") from error

    def _mark(self, native: NativeObject, unit: UnitKey, *, paused: bool) -> FileMark:
        return FileMark(
            self.mesh,
            unit_text(unit),
            native.role.value,
            self.owner,
            msgspec.json.encode(native.needs).decode() if native.needs else "",
            _shown_origins(native.origins),
            f"sha256:{digest(native.body)}",
            paused,
        )

    def read(self, data: bytes) -> Observed | Unowned | Foreign | Broken:
        """What a file holds; the token is the digest of its bytes."""
        try:
            found = self._objects(data)
        except SmihubError as error:
            # A file of ours that somebody broke must not be taken for a foreign one, which nobody would ever put right.
            return Broken(str(error)) if self.form.trace in data else Foreign(unread=str(error))
        owners = [each.mark.owner for each in found if each.mark is not None and each.mark.mesh == self.mesh]
        if self.owner in owners:
            return _observed(found, data)
        theirs = self._foreign(found, data, next(filter(None, owners), ""))
        if "" not in owners:
            return theirs
        return Unowned(_observed(found, data), theirs)

    def _objects(self, data: bytes) -> tuple[FileObject, ...]:
        """Every object in a text. Raises SmihubError."""
        try:
            return tuple(self.form.read(data))
        except SmihubError:
            raise
        except Exception as error:
            raise UnsafeResourceError(f"its family does not read it ({type(error).__name__})") from error

    def _foreign(self, found: Sequence[FileObject], data: bytes, owner: str) -> Foreign:
        refs = tuple(each.ref for each in found if each.ref is not None)
        meshes = (each.mark.mesh for each in found if each.mark is not None)
        mesh = next((mesh for mesh in meshes if mesh != self.mesh), "")
        if len(found) > 1 or not refs:
            return Foreign(refs, owner=owner, mesh=mesh)
        return Foreign(refs, found[0].body, digest(data), owner, mesh)

    def without_mark(self, one: Observed) -> bytes:
        """The file of an object of ours as somebody else's. Raises UnsafeResourceError where it would still read as ours."""
        try:
            data = bytes(self.form.write(one.owned, None))
        except Exception as error:
            raise UnsafeResourceError(f'"{one.ref}" cannot be written without its mark: {error}') from error
        # If it still read as ours, the next plan would delete what was released.
        if self.read(data) != Foreign((one.ref,), one.owned, digest(data)):
            raise UnsafeResourceError(f'"{one.ref}" would be read back differently without its mark')
        return data

    def with_pause(self, data: bytes, *, paused: bool) -> bytes:
        """The text with our pause, or without it, as the family writes it; whoever calls this reads it back."""
        try:
            if self.form.pause is not None:
                return bytes(self.form.pause(data, paused))
            (one,) = self.form.read(data)
            return bytes(self.form.write(one.body, one.mark and replace(one.mark, paused=paused)))
        except Exception as error:
            raise UnsafeResourceError(f"its family cannot pause it ({type(error).__name__})") from error

    def note(self, ref: ObjectRef, body: bytes, word: str, text: str) -> bytes:
        """A body with a note for people: it is like nothing that is desired. Raises UnsafeResourceError."""
        try:
            noted = bytes(self.form.note(ref.kind, body, word, text))
        except Exception as error:
            raise UnsafeResourceError(f'the family of "{ref}" cannot note "{word}" on it: {error}') from error
        # What looked as it should would be left as it is.
        if noted == body:
            raise UnsafeResourceError(f'the family of "{ref}" does not note "{word}" on it')
        return noted


def _observed(found: Sequence[FileObject], data: bytes) -> Observed | Broken:
    if len(found) > 1:
        return Broken("it has more than one object")
    one, mark = found[0], found[0].mark
    if one.ref is None or mark is None:
        return Broken("it names no object")
    unit, needs = unit_of(mark.unit), _needs(mark.needs)
    if unit is None or needs is None or mark.role not in set(Role):
        return Broken("unit, role and needs in its ownership mark are not what smihub wrote")
    return Observed(one.ref, one.body, unit, digest(data), Role(mark.role), needs, paused=mark.paused)


def _shown_origins(origins: Sequence[ObjectRef]) -> str:
    """The SMI objects behind an object; of very many, the first ones and how many there are besides."""
    words = [str(origin) for origin in origins]
    text = ", ".join(words)
    while len(text) > _MOST_ORIGINS:
        words = words[: len(words) // 2]
        text = ", ".join([*words, f"and {len(origins) - len(words)} more"])
    return text


def _needs(text: str) -> tuple[ObjectRef, ...] | None:
    try:
        return msgspec.json.decode(text or "[]", type=tuple[ObjectRef, ...])
    except (msgspec.MsgspecError, TypeError):
        return None


def _unsafe(native: NativeObject, unit: UnitKey, why: str) -> UnsafeResourceError:
    return UnsafeResourceError(f'"{native.ref}" of {unit} cannot be written as a file: {why}')

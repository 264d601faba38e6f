"""SMI of every version, and the Kubernetes facts it refers to, as typed objects (hub.smi.types).

`decode` reads one document. A decoded object is version-free; what was wrong, ignored or guessed comes beside it as
Problems. Nothing here looks at a second object: references, duplicates and defaults across objects are hub.intent's.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

import msgspec
from msgspec import Struct

from hub.model import Document, ObjectRef, Origin, Problem, Severity
from hub.smi.doubts import DOUBTED, doubt_in
from hub.smi.fields import FieldReader, show
from hub.smi.head import (
    KINDS,
    SMI,
    Head,
    Unnamed,
    anonymous,
    check_names,
    plain_head,
    read_head,
    read_ref,
    read_shapeless,
    read_unnamed,
)
from hub.smi.kinds import Kind
from hub.smi.kubernetes import is_elsewhere
from hub.smi.types import Doubt, SmiObject

__all__ = ["KINDS", "Decoded", "Kind", "Unnamed", "decode", "is_smi"]


def is_smi(ref: ObjectRef) -> bool:
    """Whether an object is of SMI itself; all others tell of the workloads and Services of one cluster."""
    return ref.group.endswith(SMI)


class Decoded(Struct, frozen=True, gc=False):
    """What one document says.

    `ref` None: no object of ours, or one without a usable name; there may be Problems all the same.
    `object` None: the object is invalid and grants nothing. Problems beside an object say which parts have no effect
    (errors) and what was ignored or guessed (warnings). Documents are equal as JSON values if and only if they have a `digest`
    each, and the same. `doubt` says what an object that cannot be read may be (and of one that can: None), `unnamed` what one is
    called whose name is no text.
    """

    ref: ObjectRef | None = None
    object: SmiObject | None = None
    problems: tuple[Problem, ...] = ()
    digest: bytes = b""
    doubt: Doubt | None = None
    unnamed: Unnamed | None = None

    @property
    def origin(self) -> Origin:
        """Where an object, or something wrong, was read."""
        if self.object is not None:
            return self.object.origin
        return self.problems[0].origin if self.problems else Origin()

    @property
    def unrelated(self) -> bool:
        """Whether the document is somebody else's, as far as one can tell: nothing is wrong with it but that it has no kind."""
        named = self.ref is not None or self.doubt is not None
        return not named and all(problem.code == "object.no-kind" for problem in self.problems)

    @property
    def broken(self) -> bool:
        """Whether the object, or a part of it, cannot be read as it is written; what is well-formed and empty is not broken."""
        errors = {problem.code for problem in self.problems if problem.severity is Severity.ERROR}
        if self.ref is None:
            return False
        return bool(errors - _EMPTY) if self.object is None else any(code.startswith(_UNREADABLE) for code in errors)


_UNREADABLE = ("regex.", "field.", "match.duplicate")
"""What makes a part of an object unreadable, not only empty or without effect."""
_EMPTY = frozenset({"target.incomplete", "binding.empty", "split.no-backends"})


_IGNORED = Decoded()


def decode(document: Document, annotations: Collection[str] = ()) -> Decoded:
    """Read one document; never raises, whatever JSON-like value it holds. Sources unwrap lists before.

    Of the annotations of Pods and templates those of these names are read.
    """
    value = document.value
    if value is None:
        return _IGNORED
    if not isinstance(value, dict):
        reader = anonymous(value, document.origin)
        read_shapeless(reader, value)
        return Decoded(problems=reader.problems)
    head = plain_head(value)
    if head is None:
        reader = anonymous(value, document.origin)
        head = read_head(reader, value)
        if head is None:
            return Decoded(problems=reader.problems, doubt=_versionless(value)) if reader.problems else _IGNORED
    # Its Deployment is read by itself; reading the Rollout as broken would put the whole identity in doubt.
    if is_elsewhere(head.group, head.kind, value):
        return _IGNORED
    return _decode_known(FieldReader(read_ref(value, head), document.origin, annotations), value, head)


def _decode_known(reader: FieldReader, value: dict[str, object], head: Head) -> Decoded:
    kind = KINDS[head.group, head.kind]
    known = head.version in kind.versions
    if not check_names(reader, kind, value):
        doubt = doubt_in(reader.ref, value, legible=known)
        return Decoded(problems=reader.problems, doubt=doubt, unnamed=read_unnamed(value, head))
    if head.guess:
        remedy = f'use apiVersion "{head.group}/{kind.versions[-1]}", or the version that has these fields'
        reader.warn("version.guessed", "apiVersion", head.guess, remedy)
    if not known:
        versions = " or ".join(f'"{head.group}/{name}"' if head.group else f'"{name}"' for name in kind.versions)
        message = f"version {show(head.version)} of {head.kind} is unknown"
        reader.refuse("version.unknown", "apiVersion", message, f"use {versions}")
        doubt = doubt_in(reader.ref, value, legible=False)
        return Decoded(reader.ref, None, reader.problems, _digest(value), doubt)
    result = kind.decode(reader, value, head.version)
    if reader.invalid:
        return Decoded(reader.ref, None, reader.problems, _digest(value), doubt_in(reader.ref, value))
    return Decoded(reader.ref, result, reader.problems, _digest(value))


def _versionless(value: dict[str, object]) -> Doubt | None:
    """What a document may be whose kind says that it might declare something, and whose apiVersion is none."""
    kind, api = value.get("kind"), value.get("apiVersion")
    group = min((group for group, name in DOUBTED if name == kind), default=None)
    if group is None or not isinstance(kind, str) or (isinstance(api, str) and api):
        return None
    return doubt_in(read_ref(value, Head(group, kind, "")), value, legible=False)


def _digest(value: object) -> bytes:
    """128 bits of a JSON value; nothing where it is none."""
    try:
        return blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=16).digest()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""

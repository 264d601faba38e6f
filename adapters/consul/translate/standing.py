"""What an intention that stands says, whoever wrote it last, as far as that is certain. Pure.

Read here is what Consul Community Edition stores; of anything else (`JWT`, a `Type`, a spelling that Consul folds) nobody can tell
here what it allows.
Source: https://developer.hashicorp.com/consul/docs/reference/config-entry/service-intentions (fields of an entry, of a source and of
a permission). Observed on Consul 1.22: of one source only one may stand, and one with permissions has no action; Consul writes names into
patterns as they are, and stores a pattern that Envoy refuses, which then keeps its older, wider rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from adapters.consul.names import EVERY, EVERY_RESOURCE, GROUP, KINDS
from adapters.consul.regex import is_taken
from adapters.consul.safety.shapes import Method, Text
from adapters.consul.safety.spelling import capital, small
from adapters.consul.vocabulary import UNTIL_KNOWN
from hub.api import NativeObject, UnmodelledError, manifest_of

Json = dict[str, Any]
Who = tuple[tuple[str, str], ...]
"""The fields by which a source says whom it is about; `*` and everybody else has a `Name` alone."""
Word = tuple[Json, ...] | None
"""What a source may send: permissions in their order, of which () allow nothing; None: any bytes."""

INTENTION = "service-intentions"
_VERSIONS = {KINDS[INTENTION]: (f"{GROUP}/v1alpha1",)}
_MEANINGFUL = re.compile(r"(?:[^/]*\.)?consul\.hashicorp\.com/")
_SERVICE = re.compile(r"\*|(?=.{1,256}\Z)[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?")
_NAME = re.compile(r"\*|[A-Za-z0-9._-]{1,256}")
_WHO = ("Name", "Namespace", "Partition", "Peer", "SamenessGroup")
_NEUTRAL = ("Description", "Precedence", "LegacyID", "LegacyMeta", "LegacyCreateTime", "LegacyUpdateTime")
_ENTRY = {"Kind", "Name", "Sources", "Meta", "CreateIndex", "ModifyIndex", "Hash"}
_SPEC = {"Destination", "Sources"}
_HEADER_KINDS = ("exact", "prefix", "suffix", "contains", "regex")
Path = Annotated[str, Meta(pattern=r"\A/", max_length=4096)]


class StandingIntention(Struct, frozen=True):
    """Whose callers an intention is about, and what each source may send; `certain`: that is all it says.

    `denied` are the sources that are denied for good, and not by a meet of before.
    """

    destination: str
    sources: Mapping[Who, Word]
    certain: bool = True
    denied: frozenset[Who] = frozenset()


def read(native: NativeObject) -> StandingIntention:
    """An intention in either form; one that says nothing is for the service that the object is called like."""
    entry, certain = _of_resource(native) if native.ref.group == GROUP else _of_entry(native)
    destination = entry.get("Name")
    if not isinstance(destination, str) or not _SERVICE.fullmatch(destination):
        destination, certain = (EVERY if native.ref.name == EVERY_RESOURCE else native.ref.name), False
    listed = entry.get("Sources")
    values = [(_who(value), value) for value in (listed if isinstance(listed, list) else [])]
    found = {who: value for who, value in values if who is not None}
    return StandingIntention(
        destination,
        {who: _word(value) for who, value in found.items()},
        certain and isinstance(listed, list) and len(found) == len(values),
        frozenset(who for who, value in found.items() if _is_for_good(value)),
    )


def _of_entry(native: NativeObject) -> tuple[Json, bool]:
    entry = _decoded(native.body)
    return entry, entry.get("Kind") == INTENTION and entry.keys() <= _ENTRY


def _of_resource(native: NativeObject) -> tuple[Json, bool]:
    """The entry that consul-k8s makes of a custom resource, and whether that is certain."""
    spec = _part(_decoded(native.body), "spec")
    entry: Any = capital(spec) if isinstance(spec, dict) else {}
    destination = entry.get("Destination")
    certain = _part(destination, "Name") is not None and len(destination) == 1 and entry.keys() <= _SPEC
    return {**entry, "Name": _part(destination, "Name")}, certain and small(entry) == spec and _is_plain(native)


def _is_plain(native: NativeObject) -> bool:
    """Whether a custom resource is where it should be, and has nothing that changes what consul-k8s does with it."""
    try:
        manifest = manifest_of(native, _VERSIONS, _MEANINGFUL)
    except UnmodelledError:
        return False
    return (manifest.name, manifest.namespace) == (native.ref.name, native.ref.namespace)


def _decoded(body: bytes) -> Json:
    """The object; one without fields where there is none."""
    try:
        return msgspec.json.decode(body, type=Json)
    except (ValueError, RecursionError):
        return {}


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _who(value: Any) -> Who | None:
    """Whom a source is about; None for what could be anybody."""
    name = _part(value, "Name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    found = [(field, value[field]) for field in _WHO if value.get(field)]
    return tuple(found) if all(isinstance(text, str) for _, text in found) else None


def _is_for_good(source: Json) -> bool:
    return source.get("Action") == "deny" and source.get("Description") != UNTIL_KNOWN


def _word(source: Json) -> Word:
    """What a source may send, as far as it says nothing else."""
    action, permissions = source.get("Action"), source.get("Permissions")
    other = source.keys() - {*_WHO, *_NEUTRAL, "Type", "Action", "Permissions"}
    if other or source.get("Type", "consul") not in ("", "consul"):
        return ()
    if not permissions:
        return None if action == "allow" else ()
    read_all = not action and isinstance(permissions, list) and all(map(_is_read, permissions))
    return tuple(permissions) if read_all else ()


def _is_read(permission: Any) -> bool:
    """Whether it is certain what a permission does beside others: what it allows does not matter, for only equal ones stay."""
    if not isinstance(permission, dict) or permission.keys() != {"Action", "HTTP"}:
        return False
    return permission["Action"] == "allow" or (permission["Action"] == "deny" and _is_denial(permission["HTTP"]))


def _is_denial(http: Any) -> bool:
    try:
        found = msgspec.convert(http, _Conditions)
    except (msgspec.ValidationError, RecursionError):
        return False
    paths = [one for one in (found.path_exact, found.path_prefix, found.path_regex) if one is not None]
    plain = len(paths) <= 1 and len(set(found.methods)) == len(found.methods) and found != _Conditions()
    patterns = [found.path_regex, *(one.regex for one in found.header)]
    taken = all(is_taken(one) for one in patterns if one is not None)
    return plain and taken and all(map(_is_condition, found.header))


def _is_condition(header: _Header) -> bool:
    given = [kind for kind in _HEADER_KINDS if getattr(header, kind) is not None]
    folds = not header.ignore_case or not (header.present or header.regex is not None)
    return len(given) + header.present == 1 and folds


class _Header(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    name: Annotated[str, Meta(pattern=r"\A:?[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z", max_length=256)]
    present: bool = False
    exact: Text | None = None
    prefix: Text | None = None
    suffix: Text | None = None
    contains: Text | None = None
    regex: Text | None = None
    invert: bool = False
    ignore_case: bool = False


class _Conditions(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    path_exact: Path | None = None
    path_prefix: Path | None = None
    path_regex: Text | None = None
    methods: tuple[Method, ...] = ()
    header: tuple[_Header, ...] = ()

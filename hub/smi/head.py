"""Tells which kind and version a document is, and its name: the part that all kinds share.

Sources: Kubernetes API conventions, "Types (Kinds)"; SMI specification, whose examples mostly carry no apiVersion.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from msgspec import Struct

from hub.model import ObjectRef, Origin
from hub.smi import access, kubernetes, specs, split, workload
from hub.smi.fields import FieldReader, show
from hub.smi.kinds import Body, Kind, inner
from hub.smi.names import is_label

SMI = "smi-spec.io"
DEFAULT_NAMESPACE = "default"
KINDS: Mapping[tuple[str, str], Kind] = {
    **access.KINDS,
    **specs.KINDS,
    **split.KINDS,
    **kubernetes.KINDS,
    **workload.KINDS,
}
"""Every (group, kind) that is read. Documents of other groups are not ours."""
_SMI_GROUPS: Mapping[str, str] = {kind: group for group, kind in KINDS if group.endswith(SMI)}
_KINDS_OF_OTHERS_TOO = frozenset({"TCPRoute", "UDPRoute"})  # Gateway API has them
METRICS = "metrics.smi-spec.io"
TEST = "Test"
_OURS = frozenset(kind for _, kind in KINDS)


class Head(Struct, frozen=True):
    """A recognised document. `guess` tells what was inferred because apiVersion did not say it ("" = nothing)."""

    group: str
    kind: str
    version: str
    guess: str = ""


def plain_head(value: Body) -> Head | None:
    """The head of a document that says itself that it is an object of ours; None for any other."""
    kind, api = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(api, str) or not api:
        return None
    group, slash, version = api.partition("/")
    if not slash:
        return Head("", kind, api) if ("", kind) in KINDS else None
    return Head(group, kind, version) if group and (group, kind) in KINDS else None


def read_head(reader: FieldReader, value: Body) -> Head | None:
    """The same of a document that has no `plain_head`, if that can be guessed; None, perhaps with a Problem, if not."""
    kind, api = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        _without_kind(reader, kind, api)
        return None
    if api is None or api == "":
        return _without_version(reader, kind, value)
    if not isinstance(api, str):
        return _mistyped_version(reader, kind, api)
    group, slash, version = api.partition("/")
    if not slash:
        group, version = "", api
    if not slash and kind in _SMI_GROUPS:
        return Head(
            _SMI_GROUPS[kind], kind, version, f'apiVersion {show(api)} has no group; read as "{_SMI_GROUPS[kind]}"'
        )
    if slash and not group:
        group = api  # no group is written so
    _foreign(reader, group, kind, value)
    return None


def read_shapeless(reader: FieldReader, value: object) -> None:
    """Tell of a document that is no mapping; a list, or a text, of other people's things is theirs."""
    items = value if isinstance(value, list) else [value]
    message, remedy = "the document is not a mapping and is skipped", "use an object with apiVersion and kind"
    if any(map(_is_ours, items)):
        reader.report("object.shape", "", message, remedy)
    else:
        reader.warn("object.no-kind", "", message, remedy)


def _is_ours(item: object) -> bool:
    """Whether something that is no document of its own looks as if it were meant to be an object of ours."""
    kind, api = inner(item, "kind"), inner(item, "apiVersion")
    text = item if isinstance(item, str) else api if isinstance(api, str) else ""
    return (isinstance(kind, str) and kind in _OURS) or SMI in text or workload.GROUP in text


def read_ref(value: Body, head: Head) -> ObjectRef:
    """The object's ref as written; a name or namespace that is no text is empty, an absent namespace is `default`."""
    name, namespace = inner(value, "metadata", "name"), inner(value, "metadata", "namespace")
    if namespace is None or namespace == "":
        namespace = DEFAULT_NAMESPACE
    return ObjectRef(
        head.group,
        head.kind,
        namespace if isinstance(namespace, str) else "",
        name if isinstance(name, str) else "",
    )


class Unnamed(Struct, frozen=True):
    """An object whose name, or namespace, was written without quotes and is no text: what it is called cannot be told.

    `name` and `namespace` are as they were read; several texts may be read as one number.
    """

    group: str
    kind: str
    namespace: object
    name: object


def read_unnamed(value: Body, head: Head) -> Unnamed | None:
    """What an object without a usable name may be; None if none is written, or one that no quotes would mend."""
    meta = value.get("metadata")
    if not isinstance(meta, dict) or "name" not in meta:
        return None
    name, namespace = meta["name"], meta.get("namespace")
    if namespace is None or namespace == "":
        namespace = DEFAULT_NAMESPACE
    if (isinstance(name, str) and isinstance(namespace, str)) or not all(map(_is_scalar, (name, namespace))):
        return None
    return Unnamed(head.group, head.kind, namespace, name)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def check_names(reader: FieldReader, kind: Kind, value: Body) -> bool:
    """Whether the object's name and namespace are ones that Kubernetes takes; if not, the object is refused."""
    ref = reader.ref
    if kind.is_name(ref.name) and is_label(ref.namespace):
        return True
    field, text = ("namespace", ref.namespace) if kind.is_name(ref.name) else ("name", ref.name)
    remedy = (
        "use lowercase letters, digits and - (at most 63; names other than a Service's may contain dots, at most 253)"
    )
    # The ref of the Problem must not carry a text that no object can have, such as one with a slash or a line break.
    reader.ref = ObjectRef(ref.group, ref.kind, _plain(ref.namespace), _plain(ref.name))
    message = f"{show(text)} is not a valid {field}" if text else f"{field} is missing, empty or not a string"
    written = inner(value, "metadata", field)
    if isinstance(written, bool | int | float):
        message, remedy = f"the {field} is read as {show(written)}, not as a string", f"put the {field} in quotes"
    reader.refuse("name.invalid", f"metadata.{field}", message, remedy)
    return False


_HARMLESS = re.compile(r"[A-Za-z0-9._-]{0,60}")


def _plain(text: str) -> str:
    return text if _HARMLESS.fullmatch(text) else show(text).strip('"')


# --------------------------------------------------------------------------- what is not ours, or not quite


def _without_kind(reader: FieldReader, kind: object, api: object) -> None:
    if isinstance(api, str) and (api.partition("/")[0].endswith(SMI) or api.startswith(f"{workload.GROUP}/")):
        message = "the document has no kind" if kind is None else f"{show(kind)} is not a valid kind"
        reader.report("object.kind", "kind", message, f"use {_kinds(api.partition('/')[0])}")
        return
    message = "the document has no kind and is skipped"
    reader.warn("object.no-kind", "kind", message, 'add "apiVersion" and "kind", or move the file out of the folder')


def _without_version(reader: FieldReader, kind: str, value: Body) -> Head | None:
    """SMI's kinds are recognised by shape, since the specification's own examples lack apiVersion."""
    group = _SMI_GROUPS.get(kind)
    guess = KINDS[group, kind].guess if group else None
    if group and guess:
        version = guess(value)
        return Head(group, kind, version, f'apiVersion is missing; read as "{group}/{version}", judging by its fields')
    if kind in _OURS:
        versions = " or ".join(
            f'"{_api(group, row.versions[-1])}"' for (group, name), row in KINDS.items() if name == kind
        )
        reader.report("version.missing", "apiVersion", f"{kind} without apiVersion is skipped", f"set it to {versions}")
    elif _list_items(value, kind) is not None:
        _nested_list(reader)
    else:
        near = _near(kind, _SMI_GROUPS)
        if near:
            message = f"{show(kind)} is not an SMI kind; the document is skipped"
            reader.warn("object.kind", "kind", message, f'did you mean "{near}"?')
    return None


def _mistyped_version(reader: FieldReader, kind: str, api: object) -> Head | None:
    if kind not in _OURS:
        return None
    message = f"{show(api)} is not a valid apiVersion; the document is skipped"
    reader.report("version.unknown", "apiVersion", message, 'use a string such as "access.smi-spec.io/v1alpha3"')
    return None


def _foreign(reader: FieldReader, group: str, kind: str, value: Body) -> None:
    """Other groups are other people's, but what looks like a slip of the pen is reported."""
    if group == METRICS and kind in {"TrafficMetrics", "TrafficMetricsList"}:
        reader.warn(
            "object.unsupported",
            "kind",
            "the traffic metrics API is not supported; the object is skipped",
            "remove it; smihub run serves metrics of its own",
        )
    elif (group, kind) == (workload.GROUP, TEST):
        return  # expectations, which `smihub test` reads
    elif group.endswith(SMI) or group == workload.GROUP:
        near = _near(kind, _names(group))
        belongs = _SMI_GROUPS.get(kind)
        remedy = f'use apiVersion "{belongs}/..."' if belongs else f"use {_kinds(group)}"
        remedy = f'did you mean "{near}"?' if near else remedy
        reader.report("object.kind", "kind", f"{show(kind)} is not a kind in the group {show(group)}", remedy)
    elif _list_items(value, kind) is not None:
        _nested_list(reader)
    elif kind in _SMI_GROUPS and difflib.SequenceMatcher(None, group[:63], _SMI_GROUPS[kind]).ratio() > 0.6:
        message = f"{kind} in the group {show(group)} is skipped"
        tell = reader.warn if kind in _KINDS_OF_OTHERS_TOO else reader.report
        tell("object.group", "apiVersion", message, f'did you mean "{_SMI_GROUPS[kind]}"?')


def _nested_list(reader: FieldReader) -> None:
    message = "a list inside a list, or a list of other kinds, is skipped"
    reader.report("object.list", "items", message, "write its items as separate documents")


def _list_items(value: Body, kind: str) -> list[object] | None:
    items = value.get("items")
    return items if kind.endswith("List") and isinstance(items, list) else None


def _names(group: str) -> list[str]:
    """The kinds of a group; one of ours is read by `smihub test` alone."""
    return [*(name for owner, name in KINDS if owner == group), *([TEST] if group == workload.GROUP else [])]


def _kinds(group: str) -> str:
    known = [f'"{name}"' for name in _names(group)]
    return " or ".join(known or [f'"{name}"' for name in _SMI_GROUPS])


def _api(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def _near(kind: str, known: Mapping[str, str] | list[str]) -> str:
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(kind[:63].lower(), folded, 1, 0.8)
    return folded[near[0]] if near else ""


def anonymous(value: object, origin: Origin) -> FieldReader:
    """A reader for a document whose ref is not known yet; its Problems name what the document says of itself."""
    kind, name, namespace = (
        inner(value, "kind"),
        inner(value, "metadata", "name"),
        inner(value, "metadata", "namespace"),
    )
    texts = [_plain(text) if isinstance(text, str) else "" for text in (kind, namespace, name)]
    return FieldReader(ObjectRef("", *texts), origin)

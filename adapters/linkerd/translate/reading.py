"""Bodies of objects, whoever wrote them last, read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from adapters.linkerd.regex import anchored
from adapters.linkerd.safety.check import check
from adapters.linkerd.translate.objects import Json, RouteMatch
from hub.api import NativeObject, ObjectRef, UnsafeResourceError

_OPEN, _CLOSE = anchored("|").split("|")


def json_of(body: bytes) -> Any:
    """What a body says, None if that cannot be read."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def encoded(value: Json) -> bytes:
    """A body, in canonical form."""
    return msgspec.json.encode(value, order="sorted")


def is_manifest(value: Any) -> bool:
    """Whether a mesh may read it as an object."""
    shape = {"apiVersion": str, "kind": str, "metadata": dict, "spec": dict}
    return isinstance(value, dict) and all(isinstance(value.get(name), each) for name, each in shape.items())


def spec_of(value: Any, ref: ObjectRef) -> Json | None:
    """The spec of an object that is what its ref says."""
    if not is_manifest(value):
        return None
    group, metadata = value["apiVersion"].partition("/")[0], value["metadata"]
    named = (group, value["kind"], metadata.get("namespace"), metadata.get("name"))
    spec: Json = value["spec"]
    return spec if named == (ref.group, ref.kind, ref.namespace, ref.name) else None


def our_spec(native: NativeObject) -> Json | None:
    """The spec of an object that is exactly as smihub makes them, but that callers may be listed twice."""
    try:
        check(_each_once(native.body) if native.ref.kind == "MeshTLSAuthentication" else native.body)
    except (UnsafeResourceError, RecursionError):
        return None
    return spec_of(json_of(native.body), native.ref)


def _each_once(body: bytes) -> bytes:
    value = json_of(body)
    refs = value["spec"].get("identityRefs") if is_manifest(value) else None
    if not isinstance(refs, list) or encoded(value) != body:
        return body
    once = [one for at, one in enumerate(refs) if one not in refs[:at]]
    return encoded({**value, "spec": {**value["spec"], "identityRefs": once}})


def target_of_open_policy(native: NativeObject) -> ObjectRef | None:
    """What a policy of ours is for from which somebody took all that it required, so that it lets in everybody."""
    spec = spec_of(json_of(native.body), native.ref) or {}
    target = spec.get("targetRef")
    if set(spec) != {"requiredAuthenticationRefs", "targetRef"} or spec["requiredAuthenticationRefs"] != []:
        return None
    if not isinstance(target, dict) or set(target) != {"group", "kind", "name"}:
        return None
    return ref_of(target, native.ref) if all(isinstance(one, str) for one in target.values()) else None


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict | list):
            left += one.values() if isinstance(one, dict) else one


def ref_of(value: Mapping[str, str], beside: ObjectRef) -> ObjectRef:
    """The object of the same namespace that is named."""
    return ObjectRef(value["group"], value["kind"], beside.namespace, value["name"])


def match_of(body: Json) -> RouteMatch:
    """A match as it was before it was written."""
    path, headers = body["path"], body.get("headers", ())
    pattern = None if path["type"] == "PathPrefix" else _inner(path["value"])
    pairs = tuple(sorted((one["name"], _inner(one["value"])) for one in headers))
    return RouteMatch(pattern, body.get("method"), pairs)


def _inner(written: str) -> str:
    return written.removeprefix(_OPEN).removesuffix(_CLOSE)

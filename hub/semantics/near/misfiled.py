"""TrafficTargets that do not count since they are written under a group or a version that nobody reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from hub.model import Document, Hurdle
from hub.semantics.decode_access import decode_traffic_target
from hub.semantics.envelope import ACCESS, VERSIONS, unwrap
from hub.semantics.near.names import meant
from hub.semantics.reader import Invalid
from hub.semantics.types import Manifest, Target

_READ = VERSIONS[ACCESS, "TrafficTarget"]


class Misfiled(Struct, frozen=True):
    """What such an object would be if it counted, and why it does not."""

    target: Target
    hurdle: Hurdle


def misfiled(documents: Iterable[Document]) -> Iterator[Misfiled]:
    """Yield every one of these that is sound otherwise."""
    for document in documents:
        for value in unwrap(document.value):
            if isinstance(value, dict) and value.get("kind") == "TrafficTarget":
                yield from _misfiled(value)


def _misfiled(value: dict[str, object]) -> Iterator[Misfiled]:
    written = value.get("apiVersion")
    group, slash, version = (written if isinstance(written, str) else "").partition("/")
    if not slash or (group == ACCESS and version in _READ):
        return
    if group == ACCESS:
        hurdle = Hurdle("kind", f'its version "{version}", which is not supported{meant(version, _READ)}')
    else:
        hurdle = Hurdle("kind", f'its group "{group}", which is not supported{meant(group, [ACCESS])}')
    meta = value.get("metadata")
    name, namespace = (meta.get("name"), meta.get("namespace")) if isinstance(meta, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(namespace, str | None):
        return
    for guess in (version if version in _READ else "v1alpha4", "v1alpha2", "v1alpha1"):
        try:
            found = Manifest(ACCESS, guess, "TrafficTarget", namespace or "default", name, value)
            yield Misfiled(decode_traffic_target(found), hurdle)
        except Invalid:
            continue
        return

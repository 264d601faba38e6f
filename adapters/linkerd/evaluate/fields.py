"""Reading Linkerd's manifests strictly: a field that nobody asks for is an error, never passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from hub.api import NativeObject, UnmodelledError

POLICY, GATEWAY = "policy.linkerd.io", "gateway.networking.k8s.io"
_VERSIONS: Mapping[str, tuple[str, ...]] = {
    "Server": (f"{POLICY}/v1beta3",),
    "AuthorizationPolicy": (f"{POLICY}/v1alpha1",),
    "MeshTLSAuthentication": (f"{POLICY}/v1alpha1",),
    "NetworkAuthentication": (f"{POLICY}/v1alpha1",),
    "HTTPRoute": (f"{POLICY}/v1beta3", f"{GATEWAY}/v1"),
    "TCPRoute": (f"{GATEWAY}/v1alpha2",),
}
_MEANINGFUL = re.compile(r"(?:[^/]*\.)?linkerd\.io/")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Fields:
    """The fields of one object; as a context manager it raises UnmodelledError for each that was not taken.

    `where` names the object for operators, such as `Server/d/api`.
    """

    def __init__(self, value: object, where: str) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise self.unmodelled(f"{value!r:.40} where an object must be")
        self._left = dict(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None and self._left:
            raise self.unmodelled(f'the meaning of "{min(map(str, self._left))}"')

    def take(self, name: str) -> Any:
        """The value of a field, None where it is absent."""
        return self._left.pop(name, None)

    def text(self, name: str, default: str = "") -> str:
        """A text field."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self.unmodelled(f'"{name}" that is not a string')
        return default if value is None else value

    def number(self, name: str) -> int | None:
        """An integer field, None where it is absent."""
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.unmodelled(f'"{name}" that is not an integer')
        return value

    def port(self, name: str = "port") -> int | None:
        """A port number, None where it is absent."""
        value = self.number(name)
        if value is not None and not 1 <= value <= 65535:
            raise self.unmodelled(f"the port {value}")
        return value

    def items(self, name: str) -> list[Any]:
        """A list; absent is empty."""
        value = self.take(name)
        if value is not None and not isinstance(value, list):
            raise self.unmodelled(f'"{name}" that is not a list')
        return value or []

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; absent is empty."""
        values = self.items(name)
        if not all(isinstance(value, str) for value in values):
            raise self.unmodelled(f'"{name}" that is not a list of strings')
        return tuple(values)

    def inner(self, name: str) -> Fields:
        """The fields of an object inside this one; absent has none."""
        value = self.take(name)
        return Fields({} if value is None else value, self.where)

    def labels(self, name: str) -> frozenset[tuple[str, str]]:
        """A mapping of texts to texts, as pairs; absent is empty."""
        value = self.take(name)
        pairs = {} if value is None else value
        if not isinstance(pairs, dict) or not all(isinstance(text, str) for text in pairs.values()):
            raise self.unmodelled(f'"{name}" that is not a mapping of strings')
        return frozenset(pairs.items())

    def neutral(self, *names: str) -> None:
        """Pass over fields that change neither who is let in nor where a request goes."""
        for name in names:
            self._left.pop(name, None)

    def unmodelled(self, what: str) -> UnmodelledError:
        """The error for what this reading does not know."""
        return UnmodelledError(f"{self.where}: {what} is not modelled")


class Manifest(Struct, frozen=True):
    """One object: what answers call it (`Kind/namespace/name`), where it stands, when it was made (None: not known), its spec."""

    group: str
    kind: str
    namespace: str
    name: str
    label: str
    age: str | None
    spec: dict[str, Any]


def manifest_of(native: NativeObject) -> Manifest:
    """The manifest of an object. Raises UnmodelledError for a kind, version or shape that is not modelled."""
    where = str(native.ref)
    try:
        value = msgspec.json.decode(native.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnmodelledError(f"{where}: this is not JSON: {error}") from error
    with Fields(value, where) as left:
        kind, version = left.text("kind"), left.text("apiVersion")
        metadata, spec = left.inner("metadata"), left.take("spec")
    if version not in _VERSIONS.get(kind, ()):
        raise left.unmodelled(f'kind "{kind}" of "{version}"')
    if not isinstance(spec, dict):
        raise left.unmodelled("an object without a spec")
    name, namespace, age = _named(metadata)
    return Manifest(version.partition("/")[0], kind, namespace, name, f"{kind}/{namespace}/{name}", age, spec)


def _named(metadata: Fields) -> tuple[str, str, str | None]:
    """Name, namespace and age; Linkerd's own labels and annotations may change what an object does."""
    with metadata as left:
        name, namespace, age = left.text("name"), left.text("namespace"), left.text("creationTimestamp")
        marks = left.labels("labels") | left.labels("annotations")
    if not name or not namespace:
        raise left.unmodelled("an object without a name or namespace")
    if age and not _TIME.fullmatch(age):
        raise left.unmodelled(f'the creationTimestamp "{age}"')
    linkerd = sorted(key for key, _ in marks if _MEANINGFUL.match(key))
    if linkerd:
        raise left.unmodelled(f'the meaning of "{linkerd[0]}"')
    return name, namespace, age or None

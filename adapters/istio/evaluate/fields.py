"""Reading Istio's manifests strictly: a field that nobody asks for is an error, never passed over."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from hub.api import NativeObject, UnmodelledError

_VERSIONS = {
    "AuthorizationPolicy": "security.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "VirtualService": "networking.istio.io/v1",
}
_MEANINGFUL = ("istio.io/", "internal.istio.io/", "sidecar.istio.io/", "networking.istio.io/")


class Fields:
    """The fields of one object; as a context manager it raises UnmodelledError for each that was not taken.

    `where` names the object for operators, such as `AuthorizationPolicy/d/api`.
    """

    def __init__(self, value: object, where: str) -> None:
        self.where = where
        self._left = dict(_mapping(value, where))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None and self._left:
            raise self.unmodelled(f'the meaning of "{min(self._left)}"')

    def take(self, name: str) -> Any:
        """The value of a field, None where it is absent."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str:
        """A text field; absent is empty."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self.unmodelled(f'"{name}" that is not a string')
        return value or ""

    def number(self, name: str) -> int | None:
        """An integer field, None where it is absent."""
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.unmodelled(f'"{name}" that is not an integer')
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

    def pairs(self, name: str) -> dict[str, Any]:
        """A mapping; absent is empty."""
        value = self.take(name)
        return {} if value is None else _mapping(value, f"{self.where}: {name}")

    def labels(self, name: str) -> frozenset[tuple[str, str]]:
        """A mapping of texts to texts, as pairs; absent is empty."""
        pairs = self.pairs(name)
        if not all(isinstance(value, str) for value in pairs.values()):
            raise self.unmodelled(f'"{name}" with a value that is not a string')
        return frozenset(pairs.items())

    def neutral(self, *names: str) -> None:
        """Pass over fields that change neither who is let in nor where a request goes."""
        for name in names:
            self._left.pop(name, None)

    def unmodelled(self, what: str) -> UnmodelledError:
        """The error for what this reading does not know."""
        return UnmodelledError(f"{self.where}: {what} is not modelled")


class Manifest(Struct, frozen=True):
    """One object: what answers call it (`Kind/namespace/name`), where it stands, its annotations and its spec."""

    kind: str
    label: str
    namespace: str
    annotations: frozenset[tuple[str, str]]
    spec: dict[str, Any]


def manifest_of(native: NativeObject) -> Manifest:
    """The manifest of an object. Raises UnmodelledError for a kind, version or shape that is not ours."""
    where = str(native.ref)
    try:
        value = msgspec.json.decode(native.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnmodelledError(f"{where}: no JSON: {error}") from error
    with Fields(value, where) as left:
        kind, version = left.text("kind"), left.text("apiVersion")
        metadata, spec = left.take("metadata"), left.take("spec")
    if _VERSIONS.get(kind) != version:
        raise left.unmodelled(f'kind "{kind}" of "{version}"')
    return _named(kind, Fields(metadata, where), _mapping(spec, where))


def _named(kind: str, metadata: Fields, spec: dict[str, Any]) -> Manifest:
    with metadata as left:
        name, namespace = left.text("name"), left.text("namespace")
        annotations, labels = left.labels("annotations"), left.labels("labels")
        if not name or not namespace:
            raise left.unmodelled("an object without a name or namespace")
    _check_marks(left, frozenset(key for key, _ in annotations) - {DRY_RUN} | {key for key, _ in labels})
    return Manifest(kind, f"{kind}/{namespace}/{name}", namespace, annotations, spec)


DRY_RUN = "istio.io/dry-run"
"""The annotation that takes a policy out of force (https://istio.io/latest/docs/reference/config/annotations/)."""


def _check_marks(left: Fields, keys: frozenset[str]) -> None:
    """Istio's own labels and annotations may change who reads an object, and how."""
    meaningful = sorted(key for key in keys if key.startswith(_MEANINGFUL))
    if meaningful:
        raise left.unmodelled(f'the meaning of "{meaningful[0]}"')


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnmodelledError(f"{where}: {value!r:.40} where an object must be is not modelled")
    return value

"""Reading native manifests strictly, for evaluators: a field that nobody asks for is an error, never passed over."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from hub.errors import UnmodelledError
from hub.model import NativeObject

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_SHOWN = 40


class Fields:
    """The fields of one object; as a context manager it raises UnmodelledError for each that was not taken.

    `where` names the object for operators, such as `AuthorizationPolicy/d/api`. A field that is null is absent. Each reader
    raises UnmodelledError where the value has another type than it reads.
    """

    def __init__(self, value: object, where: str) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise self.unmodelled(f"{str(value)[:_SHOWN]!r} where an object must be")
        self._left = {str(name): inner for name, inner in value.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None and self._left:
            raise self.unmodelled(f'the meaning of "{min(self._left)}"')

    def take(self, name: str) -> Any:
        """The value of a field as it stands, None where it is absent."""
        return self._left.pop(name, None)

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self.unmodelled(f'"{name}" that is not a string')
        return default if value is None else value

    def number(self, name: str) -> int | None:
        """An integer, None where it is absent."""
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.unmodelled(f'"{name}" that is not an integer')
        return value

    def port(self, name: str = "port") -> int | None:
        """A port number (1-65535), None where it is absent."""
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
        """A list of strings; absent is empty."""
        values = self.items(name)
        if not all(isinstance(value, str) for value in values):
            raise self.unmodelled(f'"{name}" that is not a list of strings')
        return tuple(values)

    def pairs(self, name: str) -> dict[str, Any]:
        """A mapping; absent is empty."""
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            raise self.unmodelled(f'"{name}" that is not a mapping')
        return value or {}

    def inner(self, name: str) -> Fields:
        """The fields of an object inside this one; absent has none."""
        return Fields(self.pairs(name), self.where)

    def labels(self, name: str) -> frozenset[tuple[str, str]]:
        """A mapping of strings to strings, as pairs; absent is empty."""
        pairs = self.pairs(name)
        if not all(isinstance(value, str) for value in pairs.values()):
            raise self.unmodelled(f'"{name}" with a value that is not a string')
        return frozenset(pairs.items())

    def neutral(self, *names: str) -> None:
        """Pass over fields that change neither who is let in nor where a request goes."""
        for name in names:
            self._left.pop(name, None)

    def unmodelled(self, what: str) -> UnmodelledError:
        """The error for what the evaluator does not model."""
        return UnmodelledError(f"{self.where}: {what} is not modelled")


class NativeManifest(Struct, frozen=True):
    """One object: its group and kind, where it stands, when it was made (None: not known), its annotations, its spec.

    `label` is what answers call it: `Kind/namespace/name`.
    """

    group: str
    kind: str
    namespace: str
    name: str
    label: str
    age: str | None
    annotations: frozenset[tuple[str, str]]
    spec: dict[str, Any]


def manifest_of(
    native: NativeObject,
    versions: Mapping[str, Container[str]],
    meaningful: re.Pattern[str],
    modelled: Container[str] = (),
) -> NativeManifest:
    """The manifest of an object in JSON, as a file or an API server has it.

    `versions` has the apiVersions that are modelled, by kind. `meaningful` matches the start of each label and annotation by which
    the mesh reads an object in another way; of those only the annotations in `modelled` are let pass. Raises UnmodelledError
    for any other kind, version, label, annotation or shape.
    """
    where = str(native.ref)
    try:
        value = msgspec.json.decode(native.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnmodelledError(f"{where}: this is not JSON: {error}") from error
    with Fields(value, where) as left:
        kind, version = left.text("kind"), left.text("apiVersion")
        metadata, spec = left.inner("metadata"), left.take("spec")
    if version not in versions.get(kind, ()):
        raise left.unmodelled(f'kind "{kind}" of "{version}"')
    if not isinstance(spec, dict):
        raise left.unmodelled("an object without a spec")
    name, namespace, age, labels, annotations = _metadata(metadata)
    marks = {key for key, _ in labels} | {key for key, _ in annotations if key not in modelled}
    for mark in sorted(mark for mark in marks if meaningful.match(mark)):
        raise left.unmodelled(f'the meaning of "{mark}"')
    group = version.partition("/")[0]
    return NativeManifest(group, kind, namespace, name, f"{kind}/{namespace}/{name}", age, annotations, spec)


_Pairs = frozenset[tuple[str, str]]


def _metadata(fields: Fields) -> tuple[str, str, str | None, _Pairs, _Pairs]:
    with fields as left:
        name, namespace, age = left.text("name"), left.text("namespace"), left.text("creationTimestamp")
        labels, annotations = left.labels("labels"), left.labels("annotations")
    if not name or not namespace:
        raise left.unmodelled("an object without a name or namespace")
    if age and not _TIME.fullmatch(age):
        raise left.unmodelled(f'the creationTimestamp "{age}"')
    return name, namespace, age or None, labels, annotations

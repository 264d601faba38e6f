"""Kustomizations beside the files that they build on: what of a source is not deployed as it is written there.

Source: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from hub.model import Document, ObjectRef, Origin, Problem, Severity
from hub.smi import KINDS
from hub.sources.limits import YamlError
from hub.sources.yaml import load_one

CODE = "source.kustomization"
_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_RENAMING = ("namespace", "namePrefix", "nameSuffix")
_CHANGING = ("patches", "patchesStrategicMerge", "patchesJson6902", "replacements", "transformers")
_BUILT_ON = ("resources", "bases", "components")
_KINDS = frozenset(kind for _, kind in KINDS)


class Kustomization(Struct, frozen=True):
    """One of them: where it is, the fields by which it changes things, the `namespace` it sets, and the paths it builds on."""

    origin: Origin
    changes: tuple[str, ...]
    namespace: str
    built_on: tuple[str, ...]


class Kustomizations:
    """Keeps, by source and part, what changes other files, and in which namespaces these have objects."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Kustomization]] = {}
        self._objects: dict[str, dict[str, frozenset[str]]] = {}

    def put(self, source: str, part: str, documents: Sequence[Document], namespaces: Collection[str]) -> None:
        """The part holds this from now on; `namespaces` are those of its objects."""
        found, held = self._found.setdefault(source, {}), self._objects.setdefault(source, {})
        found.pop(part, None)
        held.pop(part, None)
        if (one := _read(part, documents)) is not None:
            found[part] = one
        if namespaces:
            held[part] = frozenset(namespaces)

    def problems(self) -> Iterator[tuple[Problem, tuple[tuple[str, str], ...]]]:
        """A warning for each kustomization that changes what is read as it is written, with the parts of which it does."""
        for source, each in sorted(self._found.items()):
            for _, one in sorted(each.items()):
                parts = sorted(part for part in self._below(source, one) if self._differs(source, part, one))
                if one.changes and parts:
                    yield _problem(one, parts), tuple((source, part) for part in parts)

    def _below(self, source: str, one: Kustomization) -> set[str]:
        """The parts with objects on which it builds, over others that it names."""
        parts, reached, pending = set[str](), set[str](), [*one.built_on]
        while pending:
            path = pending.pop()
            # Two kustomizations may name each other.
            if path in reached:
                continue
            reached.add(path)
            parts |= {part for part in self._objects.get(source, {}) if part == path or _is_in(part, path)}
            for name in _NAMES:
                inner = self._found[source].get(posixpath.normpath(f"{path}/{name}"))
                pending += inner.built_on if inner is not None else ()
        return parts

    def _differs(self, source: str, part: str, one: Kustomization) -> bool:
        """Whether it is more than a namespace that the objects have already."""
        return one.changes != ("namespace",) or self._objects[source][part] != {one.namespace}


def _problem(one: Kustomization, parts: Sequence[str]) -> Problem:
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    by = " and ".join(one.changes)
    message = f"{one.origin.file} changes {parts[0]}{more} ({by}), but these files are read without it"
    folder = posixpath.normpath(posixpath.join(one.origin.source, posixpath.dirname(one.origin.file)))
    remedy = f'build it ("kubectl kustomize {folder}"), and use the result as the source instead'
    ref = ObjectRef("", "Kustomization", "", "")
    return Problem(CODE, ref, one.changes[0], message, remedy, one.origin, Severity.WARNING)


def _read(part: str, documents: Sequence[Document]) -> Kustomization | None:
    value = documents[0].value if len(documents) == 1 else None
    if posixpath.basename(part) not in _NAMES or not isinstance(value, dict):
        return None
    folder = posixpath.dirname(part)
    listed = [path for key in _BUILT_ON for path in _items(value, key) if isinstance(path, str)]
    changes = [key for key in _RENAMING if value.get(key)]
    changes += [key for key in _CHANGING if any(_may_concern(each) for each in _items(value, key))]
    namespace = value.get("namespace")
    return Kustomization(
        documents[0].origin,
        tuple(changes),
        namespace if isinstance(namespace, str) else "",
        tuple(posixpath.normpath(posixpath.join(folder, path)) for path in listed),
    )


def _may_concern(patch: object) -> bool:
    """Whether a patch may be for an object of a kind that is read: not if it names another kind."""
    target = patch.get("target") if isinstance(patch, dict) else None
    kind = target.get("kind") if isinstance(target, dict) else None
    if kind is None and isinstance(patch, dict) and isinstance(patch.get("patch"), str):
        with suppress(YamlError):
            inline = load_one(patch["patch"].encode())
            kind = inline.get("kind") if isinstance(inline, dict) else None
    return not isinstance(kind, str) or not kind.isalnum() or kind in _KINDS  # a target's kind may be a pattern


def _items(value: Mapping[str, object], key: str) -> list[object]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _is_in(part: str, folder: str) -> bool:
    return folder == "." or part.startswith(f"{folder}/")

"""Objects of others in the sources that change what a mesh makes of ours: named, with what they do, as warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hub.model import MANAGED_BY, Document, ObjectRef, Problem, Severity

Overrides = Callable[[Mapping[str, Any]], str]
CODE = "object.overrides"


class Overriding:
    """Keeps them by source and part; what they do, adapters say (AdapterSpec.overrides)."""

    def __init__(self, overrides: Sequence[Overrides]) -> None:
        self._overrides = overrides
        self._kept: dict[tuple[str, str], tuple[Problem, ...]] = {}

    def put(self, source: str, part: str, documents: Sequence[Document]) -> None:
        """The part holds these documents now; those that a sink of ours wrote are no one else's."""
        found = tuple(problem for one in documents for problem in self._problems(one)) if self._overrides else ()
        if found:
            self._kept[source, part] = found
        else:
            self._kept.pop((source, part), None)

    def problems(self) -> Iterator[Problem]:
        """A warning for each object and what it does."""
        for key in sorted(self._kept):
            yield from self._kept[key]

    def _problems(self, document: Document) -> Iterator[Problem]:
        value = document.value
        ref = _ref_of(value)
        if ref is None or not isinstance(value, dict) or _is_ours(value):
            return
        for said in dict.fromkeys(filter(None, (ask(value) for ask in self._overrides))):
            remedy = "remove it, unless it is meant to do so"
            yield Problem(CODE, ref, "", said, remedy, document.origin, Severity.WARNING)


def _ref_of(value: object) -> ObjectRef | None:
    """The object; None where kind, version or name is not a text."""
    if not isinstance(value, dict) or not isinstance(meta := value.get("metadata"), dict):
        return None
    place = "" if value.get("kind") == "Namespace" else meta.get("namespace") or "default"
    texts = (value.get("apiVersion"), value.get("kind"), meta.get("name"), place)
    if not all(isinstance(text, str) for text in texts):
        return None
    version, kind, name, namespace = map(str, texts)
    return ObjectRef(version.rpartition("/")[0], kind, namespace, name)


def _is_ours(value: Mapping[str, Any]) -> bool:
    labels = value["metadata"].get("labels")
    return isinstance(labels, dict) and labels.get(MANAGED_BY) == "smihub"

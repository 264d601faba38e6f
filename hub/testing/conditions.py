"""SMI's answers where conditions of TrafficSplits are false: what a mesh may do that reports that it cannot say them.

A condition that no request meets leaves the call to the next layer: another split, or the root's own endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from hub.model import Answer, Document, Reading, Request
from hub.semantics import Semantics

Without = Callable[[Request], Iterator[Answer]]


def answers_without(documents: Sequence[Document], reading: Reading) -> Without:
    """From a call of a Service to SMI's answers without one or more of the conditional splits of that Service."""

    def answers(request: Request) -> Iterator[Answer]:
        names = [_conditional(document.value, request) for document in documents]
        for dropped in _some(sorted({name for name in names if name})):
            left = [document for document, name in zip(documents, names, strict=True) if name not in dropped]
            yield Semantics(left, reading=reading).judge(request)

    return answers


def _some(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)


def _conditional(value: object, request: Request) -> str:
    """The name of a TrafficSplit with conditions for the Service that is called; "" for any other object."""
    namespace, _, service = (request.dst.service or "").partition("/")
    match value:
        case {"kind": "TrafficSplit", "metadata": {"name": str(name)} as metadata, "spec": {"matches": _} as spec}:
            root = str(spec.get("service")).partition(".")[0]
            here = (metadata.get("namespace") or "default") == namespace and root == service
            return name if here else ""
    return ""

"""SMI's answers without some TrafficSplits: what a mesh may do that reports that it cannot say their conditions, or all of them.

A condition that no request meets leaves the call to the next layer: another split, or the root's own endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import combinations

from msgspec import Struct

from hub.model import Answer, Document, ObjectRef, Reading, Request
from hub.semantics import EVERYTHING, GovernedNamespaces, Semantics

Without = Callable[[Request, Collection[str]], Iterator[Answer]]
_WHOLE = frozenset(
    {
        "consul.account",
        "consul.several-ports",
        "consul.split-not-http",
        "istio.headless-backend",
        "istio.port-called-udp",
        "istio.tls-not-split",
        "linkerd.headless-backend",
        "linkerd.headless-root",
        "linkerd.other-protocol",
        "linkerd.raw-not-split",
    }
)
"""Losses of a split as a whole: one without conditions has no effect then either."""


def answers_without(
    documents: Sequence[Document],
    reading: Reading,
    governed: GovernedNamespaces = EVERYTHING,
    of_whole_splits: Collection[str] = (),
    lost: Collection[ObjectRef] = (),
) -> Without:
    """From a call of a Service, and the losses that a mesh reports, to SMI's answers without one or more splits of that Service.

    These are conditional ones, those that are `lost` as a whole, and all of them where the losses are of whole splits (further codes:
    `of_whole_splits`) or one without conditions is `lost`: those that it outranks do not come in its place. What an answer reports is
    of the first layer that takes the call; the next one may be lost as well.
    """
    of_whole = _WHOLE.union(of_whole_splits)
    gone = frozenset((ref.namespace, ref.name) for ref in lost if ref.kind == "TrafficSplit")

    def answers(request: Request, losses: Collection[str]) -> Iterator[Answer]:
        found = [_split_of(document.value, request) for document in documents]
        whole = not of_whole.isdisjoint(losses) or any(
            one and one.place in gone and not one.conditional for one in found
        )
        names = [one.name if one and (whole or one.conditional) else "" for one in found]
        for dropped in _some(sorted({name for name in names if name})):
            left = [document for document, name in zip(documents, names, strict=True) if name not in dropped]
            yield Semantics(left, governed=governed, reading=reading).judge(request)

    return answers


def _some(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)


class _Split(Struct, frozen=True):
    place: tuple[str, str]
    conditional: bool

    @property
    def name(self) -> str:
        return self.place[1]


def _split_of(value: object, request: Request) -> _Split | None:
    """The TrafficSplit for the Service that is called; None for any other object."""
    namespace, _, service = (request.dst.service or "").partition("/")
    match value:
        case {"kind": "TrafficSplit", "metadata": {"name": str(name)} as metadata, "spec": dict(spec)}:
            root = str(spec.get("service")).partition(".")[0]
            here = (metadata.get("namespace") or "default") == namespace and root == service
            return _Split((namespace, name), "matches" in spec) if here else None
    return None

"""The EnvoyFilters of an account: one for each set of callers and ports that is granted patterns, and the rules that ask it.

The filter judges the request, the policy asks for its result and for callers and ports: a request needs both. Each filter has its
own prefix, a digest of its content: of two with one prefix the later one's result would count (observed on Istio 1.31).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from adapters.istio import names
from adapters.istio.translate.chunks import chunks
from adapters.istio.translate.grants import LoweredGrant
from adapters.istio.translate.objects import Condition, Json, Operation, Rule

MAX_FILTERS, MAX_BYTES = 64, 400_000
"""Most filters, and bytes of them, for one account and one set of labels: they stand in every inbound chain of its Pods."""
_ALLOWED = ("allowed",)


class PatternFilter(Struct, frozen=True, gc=False):
    """A filter and the rule (without callers) that asks it."""

    digest: str
    permissions: tuple[Json, ...]
    principals: tuple[str, ...]
    operation: Operation

    def rules(self) -> Iterable[Rule]:
        """The rules that ask for its result."""
        condition = Condition(names.result_key(self.digest), _ALLOWED)
        for callers in chunks(self.principals):
            yield Rule(tuple(callers), (self.operation,), (condition,))


def filters_of(lowered: Iterable[LoweredGrant], selector: Mapping[str, str]) -> list[PatternFilter]:
    """The filters that these grants to the Pods of one selector need, in order."""
    groups: dict[tuple[tuple[str, ...], Operation], set[bytes]] = {}
    for one in lowered:
        if one.permissions:
            groups.setdefault((one.principals, one.anything), set()).update(one.permissions)
    return [
        _filter(part, principals, operation, selector)
        for (principals, operation), permissions in sorted(groups.items())
        for part in chunks(sorted(permissions))
    ]


def fit(filters: Sequence[PatternFilter]) -> bool:
    """Whether so many filters may stand on one Pod."""
    return (
        len(filters) <= MAX_FILTERS and sum(len(msgspec.json.encode(one.permissions)) for one in filters) <= MAX_BYTES
    )


def _filter(
    part: Sequence[bytes], principals: tuple[str, ...], operation: Operation, selector: Mapping[str, str]
) -> PatternFilter:
    permissions = tuple(msgspec.json.decode(one) for one in part)
    return PatternFilter(names.content_digest(selector, permissions), permissions, principals, operation)

"""The order of splits. SMI tries them one after the other; Gateway API takes the most specific match, wherever it stands.

So a match that would lose against one of a later split gets company: what holds where both hold, which is at least as specific,
and stands earlier ("the FIRST matching rule (in list order)" where all else ties). Source: HTTPRouteRule, matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from smihub_gamma.conditions import MAX_MATCHES, Condition

MAX_RULES, MAX_TOGETHER = 16, 128
"""What one route holds. Source: HTTPRouteSpec, rules; HTTPRouteRule, matches."""
Conditions = tuple[Condition, ...]


def in_order(layers: Sequence[Iterable[Condition]]) -> tuple[Conditions, ...] | None:
    """The conditions of layers, tried from the first on, as those of rules that mean the same; None: they are too many."""
    later: list[Condition] = []
    rules: list[Conditions] = []
    for layer in reversed([tuple(layer) for layer in layers]):
        shared = {mine.both(other) for mine in layer for other in later if other.rank > mine.rank}
        rule = tuple(sorted({*layer, *(one for one in shared if one is not None)}))
        later += rule
        if len(rule) > MAX_MATCHES or len(later) > MAX_TOGETHER or len(rules) == MAX_RULES:
            return None
        rules.insert(0, rule)
    return tuple(rules)

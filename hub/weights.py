"""Relative weights as exact shares and as the integers that a mesh can carry. Pure arithmetic on Fractions, never floats."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

from msgspec import Struct

UINT32_MAX = 2**32 - 1


class Integers(Struct, frozen=True):
    """Integer weights in the order of the input; `exact` tells whether they keep the ratios exactly."""

    weights: tuple[int, ...]
    exact: bool


def shares(weights: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Scale weights so that they sum to 1; all zeros stay zeros. Raises ValueError on a negative weight."""
    total = _total(weights)
    if total == 0:
        return tuple(Fraction(0) for _ in weights)
    return tuple(weight / total for weight in weights)


def to_integers(weights: Sequence[Fraction], limit: int = UINT32_MAX, keys: Sequence[str] | None = None) -> Integers:
    """Turn weights into the smallest integers of the same ratios; where their sum exceeds `limit`, the nearest that fit.

    Zero stays zero and a positive weight stays at least 1, so no backend appears or vanishes. The approximation sums to
    `limit` exactly (largest remainder); equal remainders are settled by weight, then by `keys` (names, distinct; without
    them by position), so that with keys the order of the input has no effect.
    Raises ValueError on a negative weight, or if more weights are positive than `limit` has units.
    Source: Envoy API, config.route.v3.WeightedCluster (sum of weights at least 1, at most uint32's maximum).
    """
    if _total(weights) == 0:
        return Integers((0,) * len(weights), exact=True)
    smallest = _smallest(weights)
    if sum(smallest) <= limit:
        return Integers(smallest, exact=True)
    return Integers(_largest_remainder(smallest, limit, keys), exact=False)


def _total(weights: Sequence[Fraction]) -> Fraction:
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    return sum(weights, Fraction(0))


def _smallest(weights: Sequence[Fraction]) -> tuple[int, ...]:
    """The integers without a common factor that stand in the ratios of `weights` (not all zero)."""
    scale = lcm(*(weight.denominator for weight in weights))
    integers = [weight.numerator * (scale // weight.denominator) for weight in weights]
    factor = gcd(*integers)
    return tuple(integer // factor for integer in integers)


def _largest_remainder(weights: tuple[int, ...], limit: int, keys: Sequence[str] | None) -> tuple[int, ...]:
    """Share `limit` units out: one for each weight that earns less than one, the rest by largest remainder."""
    positive = [index for index, weight in enumerate(weights) if weight]
    if len(positive) > limit:
        raise ValueError(f"{len(positive)} positive weights do not fit into {limit} units")
    tiny = _tiny(weights, positive, limit)
    large = [index for index in positive if index not in tiny]
    units = limit - len(tiny)
    total = sum(weights[index] for index in large)
    result = [0] * len(weights)
    for index in tiny:
        result[index] = 1
    for index in large:
        result[index] = weights[index] * units // total

    def claim(index: int) -> tuple[int, int, str, int]:
        return (-(weights[index] * units % total), -weights[index], keys[index] if keys else "", index)

    for index in sorted(large, key=claim)[: limit - sum(result)]:
        result[index] += 1
    return tuple(result)


def _tiny(weights: tuple[int, ...], positive: list[int], limit: int) -> frozenset[int]:
    """The weights that would earn less than one unit of what the others leave, smallest first."""
    units, total = limit, sum(weights)
    tiny: set[int] = set()
    for index in sorted(positive, key=lambda index: weights[index]):
        if weights[index] * units >= total:
            break
        tiny.add(index)
        units, total = units - 1, total - weights[index]
    return frozenset(tiny)

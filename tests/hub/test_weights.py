"""Weights: exact wherever integers can be, and never a share for nobody or nothing for somebody."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations_with_replacement, pairwise, permutations
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.weights import UINT32_MAX, Integers, shares, to_integers

fractions = st.fractions(min_value=0, max_value=10**12, max_denominator=10**9)
extremes = st.one_of(
    fractions, st.sampled_from([Fraction(0), Fraction(1, 10**64), Fraction(10**64), Fraction(2**63 - 1)])
)


def exact(weights: Sequence[Fraction], result: Integers) -> None:
    """Same ratios, smallest integers, zero exactly where zero was."""
    assert result.exact
    assert shares(tuple(map(Fraction, result.weights))) == shares(weights)
    assert gcd(*result.weights) in (0, 1)


@pytest.mark.thorough
@pytest.mark.parametrize("size", range(1, 6))
def test_all_small_multisets_are_exact(size: int) -> None:
    """Every multiset of up to 5 weights of 0 to 20."""
    for multiset in combinations_with_replacement(range(21), size):
        result = to_integers([Fraction(weight) for weight in multiset])
        total, units = sum(multiset), sum(result.weights)
        assert result.exact
        # Equal ratios by cross multiplication: integers only, so that 53 130 multisets take a second.
        assert all(held * total == weight * units for held, weight in zip(result.weights, multiset, strict=True))
        assert gcd(*result.weights) == (1 if total else 0)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [100, UINT32_MAX])
def test_all_multisets_of_eight_weights(limit: int) -> None:
    """Every multiset of 8 weights of 0 to 20, exact or on a grid of percents: bounded error, zero stays zero."""
    for multiset in combinations_with_replacement(range(21), 8):
        result = to_integers([Fraction(weight) for weight in multiset], limit)
        total, units = sum(multiset), sum(result.weights)
        assert units <= limit
        for held, weight in zip(result.weights, multiset, strict=True):
            assert (held > 0) == (weight > 0)
            assert abs(held * total - weight * units) < total * (1 if not result.exact else 1e-9) or total == 0


@pytest.mark.parametrize(
    ("weights", "integers"),
    [
        ([], []),
        ([0], [0]),
        ([0, 0], [0, 0]),
        ([7], [1]),
        ([90, 10], [9, 1]),
        ([1000, 500], [2, 1]),
        ([1, 1, 1, 0], [1, 1, 1, 0]),
        ([1, Fraction(1, 2)], [2, 1]),
        ([Fraction(1, 100), Fraction(1, 10), Fraction(3, 2)], [1, 10, 150]),
        ([999, 1], [999, 1]),
    ],
)
def test_integers_keep_the_ratios(weights: list[Fraction], integers: list[int]) -> None:
    """The examples of the specification, and those that others got wrong."""
    assert to_integers([Fraction(weight) for weight in weights]) == Integers(tuple(integers), exact=True)


@pytest.mark.parametrize(
    ("weights", "limit", "integers"),
    [
        ([1, 1, 1], 100, [1, 1, 1]),
        ([101, 101, 101], 2**32, [1, 1, 1]),
        ([334, 333, 333], 100, [34, 33, 33]),
        ([999, 1], 100, [99, 1]),
        ([10**9, 1, 1, 0], 100, [98, 1, 1, 0]),
        ([2, 1, 1, 1, 1, 1], 6, [1, 1, 1, 1, 1, 1]),
        ([500, 499, 2], 10, [5, 4, 1]),
    ],
)
def test_approximation_is_by_largest_remainder(weights: list[int], limit: int, integers: list[int]) -> None:
    """It sums to the limit, and who has a weight keeps at least one unit."""
    assert list(to_integers([Fraction(weight) for weight in weights], limit).weights) == integers


def test_ties_go_by_key_whatever_the_order() -> None:
    """Equal backends share one unit too few: the names decide, not their places."""
    names = ("c", "a", "b", "d")
    weights = {"a": Fraction(101), "b": Fraction(101), "c": Fraction(101), "d": Fraction(100)}
    outcomes = set()
    for order in permutations(names):
        result = to_integers([weights[name] for name in order], 102, order)
        assert not result.exact
        outcomes.add(tuple(sorted(zip(order, result.weights, strict=True))))
    assert outcomes == {(("a", 26), ("b", 26), ("c", 25), ("d", 25))}


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.lists(extremes, max_size=12), st.sampled_from([12, 100, 10_000, UINT32_MAX]))
def test_random_weights_fit_and_keep_their_order(weights: list[Fraction], limit: int) -> None:
    """Sum within the limit, zero stays zero, positive stays positive, more weight never gets less."""
    result = to_integers(weights, limit)
    assert sum(result.weights) <= limit
    for held, weight in zip(result.weights, weights, strict=True):
        assert (held > 0) == (weight > 0)
    ranked = sorted(zip(weights, result.weights, strict=True))
    for (light, small), (heavy, large) in pairwise(ranked):
        assert light == heavy or small <= large
    if result.exact:
        exact(weights, result)
    else:
        assert sum(result.weights) == limit


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(extremes, min_size=1, max_size=8), st.sampled_from([10, UINT32_MAX]), st.data())
def test_order_has_no_effect(weights: list[Fraction], limit: int, data: st.DataObject) -> None:
    """With names, every permutation gives every backend the same."""
    named = [(f"b{index}", weight) for index, weight in enumerate(weights)]
    order = data.draw(st.permutations(named))

    def held(pairs: Sequence[tuple[str, Fraction]]) -> dict[str, int]:
        names = [name for name, _ in pairs]
        return dict(zip(names, to_integers([weight for _, weight in pairs], limit, names).weights, strict=True))

    assert held(named) == held(order)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(extremes, max_size=8))
def test_shares_sum_to_one(weights: list[Fraction]) -> None:
    """Exactly 1, or all 0."""
    result = shares(weights)
    assert sum(result) == (1 if any(weights) else 0)
    assert [share == 0 for share in result] == [weight == 0 for weight in weights]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 10**9).map(Fraction), min_size=2, max_size=8), st.integers(1000, 10**6))
def test_approximation_is_near(weights: list[Fraction], limit: int) -> None:
    """Where nobody is raised to one unit, each weight is off by less than one unit of the grid."""
    result = to_integers(weights, limit)
    wanted = [share * sum(result.weights) for share in shares(weights)]
    if result.exact or min(wanted) < 1:
        return
    assert all(abs(held - quota) < 1 for held, quota in zip(result.weights, wanted, strict=True))


def test_negative_weights_are_a_mistake() -> None:
    """Decoding lets none through; a caller that does is told."""
    for function in (shares, to_integers):
        with pytest.raises(ValueError, match="negative"):
            function([Fraction(1), Fraction(-1)])


def test_more_backends_than_units_are_a_mistake() -> None:
    """Somebody would get nothing, so nobody is chosen."""
    with pytest.raises(ValueError, match="3 positive weights do not fit into 2 units"):
        to_integers([Fraction(1), Fraction(2), Fraction(3)], 2)

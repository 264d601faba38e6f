"""Weights as hundredths of a percent that add up, also in 32-bit floats."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from adapters.consul.translate.shares import _float_sum, sent_units, shares, weight


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(20))
def test_shares_add_up_in_floats_and_are_the_nearest(seed: int) -> None:
    """Of a few backends, each within two steps of its share; a positive weight never vanishes."""
    rng = Random(seed)
    for _ in range(60):
        weights = {f"s{n}": Fraction(rng.randint(1, 10 ** rng.randint(1, 6))) for n in range(rng.randint(1, 7))}
        found = shares(weights)
        assert found is not None
        units = dict(found.units)
        assert sum(units.values()) == 10_000
        assert min(units.values()) >= 1
        assert _float_sum(one for _, one in found.units) == 100
        total = sum(weights.values())
        sent = {name: sent_units(one) for name, one in units.items()}
        exact = all(Fraction(sent[name], sum(sent.values())) == one / total for name, one in weights.items())
        assert found.exact is exact
        assert all(abs(units[name] - one * 10_000 / total) <= len(weights) for name, one in weights.items())


def test_zero_gets_nothing_and_a_negative_weight_is_an_error() -> None:
    """As Consul would take it, and every Envoy refuse it."""
    found = shares({"a": Fraction(0), "b": Fraction(3), "c": Fraction(1)})
    assert found is not None
    assert dict(found.units) == {"b": 7500, "c": 2500}
    assert shares({"a": Fraction(0)}) is None
    with pytest.raises(ValueError, match="negative"):
        shares({"a": Fraction(-1), "b": Fraction(2)})


def test_a_weight_is_written_as_consul_reads_it() -> None:
    """Whole numbers without a fraction, others with two digits."""
    assert [weight(10_000), weight(3333), weight(1)] == [100, 33.33, 0.01]


def test_what_envoy_gets_of_a_weight() -> None:
    """Computed with Go: of 569 weights one step less, and of no weight nothing."""
    less = [units for units in range(1, 10_001) if sent_units(units) != units]
    assert (len(less), less[:4]) == (569, [53, 59, 105, 106])
    assert {units - sent_units(units) for units in less} == {1}
    found = shares({"a": Fraction(53), "b": Fraction(9947)})
    assert found is not None
    assert (dict(found.units), found.exact) == ({"a": 53, "b": 9947}, False)

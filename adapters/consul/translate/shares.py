"""Weights in the steps of a splitter: hundredths of a percent that are 100.00 together, also where floats are added.

Source: https://developer.hashicorp.com/consul/docs/connect/config-entries/service-splitter (steps of 0.01, a sum of 100). Observed on
Consul 1.22: it rounds each weight to such a step, and takes negative ones, which Envoy refuses. Of 0.53 it sends 52 to Envoy, and of 568
others one step less as well (`int(split.Weight * 100)` in agent/xds/routes.go, with 32-bit floats), so their shares are not exact. The webhook of consul-k8s adds the weights
as 32-bit floats in the order in which they stand, and takes a sum of exactly 100 alone (api/v1alpha1/servicesplitter_types.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import islice, permutations
from math import floor
from struct import pack, unpack

from msgspec import Struct

from adapters.consul.vocabulary import WEIGHT_UNITS

_MOST_ORDERS = 20_000


class Shares(Struct, frozen=True, gc=False):
    """By name the units of each positive weight, in the order to write them; whether they keep the ratios exactly."""

    units: tuple[tuple[str, int], ...]
    exact: bool


def shares(weights: Mapping[str, Fraction]) -> Shares | None:
    """The nearest shares, a positive weight at least one unit; None if no order of them adds up to 100 in floats, or too many are positive.

    Largest remainder, equal ones by name. Raises ValueError on a negative weight.
    """
    if any(weight < 0 for weight in weights.values()):
        raise ValueError("a weight is negative")
    positive = {name: weight for name, weight in sorted(weights.items()) if weight}
    if not positive or len(positive) > WEIGHT_UNITS:
        return None
    total = sum(positive.values())
    wanted = {name: weight * WEIGHT_UNITS / total for name, weight in positive.items()}
    units = _apportioned(wanted)
    ordered = _in_order(sorted(units.items()))
    sent = {name: sent_units(one) for name, one in units.items()}
    exact = all(one * total == positive[name] * sum(sent.values()) for name, one in sent.items())
    return None if ordered is None else Shares(ordered, exact)


def sent_units(units: int) -> int:
    """What Envoy gets of a weight of so many units: at times one less, since Consul cuts off a fraction that its floats fall short of."""
    return int(_float32(_float32(units / 100) * 100))


def _apportioned(wanted: Mapping[str, Fraction]) -> dict[str, int]:
    units = {name: max(1, floor(share)) for name, share in wanted.items()}
    # What the smallest got beyond their share is taken from the largest.
    while (over := sum(units.values()) - WEIGHT_UNITS) > 0:
        largest = max(sorted(units), key=lambda name: units[name])
        units[largest] -= min(over, units[largest] // 2)
    rest = sorted(wanted, key=lambda name: (units[name] - wanted[name], name))
    for name in rest[: WEIGHT_UNITS - sum(units.values())]:
        units[name] += 1
    return units


def _in_order(units: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...] | None:
    found = (order for order in islice(permutations(units), _MOST_ORDERS) if _float_sum(one for _, one in order) == 100)
    return next(found, None)


def _float_sum(units: Iterable[int]) -> float:
    total = 0.0
    for one in units:
        total = _float32(total + _float32(one / 100))
    return total


def _float32(value: float) -> float:
    return float(unpack("f", pack("f", value))[0])


def weight(units: int) -> float:
    """A weight as it is written: a whole number where it is one."""
    return units // 100 if units % 100 == 0 else units / 100

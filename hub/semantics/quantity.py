"""Weights of a TrafficSplit as exact fractions.

Sources: traffic-split/v1alpha1 (weights are Kubernetes quantities), v1alpha2 and later (whole numbers);
Kubernetes API reference, "Quantity".
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from hub.semantics.reader import Invalid

_LIMIT = 2**63
_LONGEST = 64
_LARGEST_EXPONENT = 64
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:(?P<unit>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]+))?"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def whole_weight(value: object) -> Fraction:
    """Read a weight of v1alpha2 and later: 50 and 50.0 are whole, 0.5, "50" and true are invalid."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid("weight is not a number")
    if isinstance(value, float) and not value.is_integer():
        raise Invalid("weight is not an integer")
    return _in_range(Fraction(value))


def quantity_weight(value: object) -> Fraction:
    """Read a weight of v1alpha1: a quantity as text ("500m", "1e3", "2Ki") or a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Invalid("weight is not a quantity")
    if isinstance(value, int):
        return _not_negative(_short(value))
    if isinstance(value, str):
        return _not_negative(_parse(value))
    if not math.isfinite(value):
        raise Invalid("weight is not finite")
    return _not_negative(_parse(repr(value)))  # the decimal that was written, not its binary neighbour


def _short(value: int) -> Fraction:
    """Hold an integer to the length of a text: a hexadecimal one may be too long to be written in decimals."""
    if abs(value) >= 10**_LONGEST:
        raise Invalid("weight is out of range")
    return Fraction(value)


def _parse(text: str) -> Fraction:
    found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise Invalid("weight is not a quantity")
    number, unit = Fraction(found["number"].rstrip(".")), found["unit"]
    if unit in _BINARY:
        return number * (1 << _BINARY[unit])
    exponent = _DECIMAL[unit] if unit else int(found["exponent"] or 0)
    if abs(exponent) > _LARGEST_EXPONENT:
        raise Invalid("weight is out of range")
    power = Fraction(10 ** abs(exponent))
    return number * power if exponent >= 0 else number / power


def _in_range(weight: Fraction) -> Fraction:
    if weight >= _LIMIT:
        raise Invalid("weight is out of range")
    return _not_negative(weight)


def _not_negative(weight: Fraction) -> Fraction:
    if weight < 0:
        raise Invalid("weight is negative")
    return weight

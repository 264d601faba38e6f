"""Weights of TrafficSplits as exact fractions: Kubernetes quantities (v1alpha1) and whole numbers (since v1alpha2).

Source of the quantity grammar: Kubernetes API reference, "Quantity"; of whole numbers: SMI split v1alpha2, Specification.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

MAX_TEXT = 64
"""Longest quantity that is read, in characters."""
MAX_EXPONENT = 64
"""Largest decimal exponent that is read; Kubernetes itself ends at 10^18, and 1e999999999 would fill the memory."""
MAX_INTEGER = 2**63 - 1
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE](?P<exponent>[+-]?[0-9]+)|(?P<suffix>[KMGTPE]i|[numkMGTPE]))?"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def quantity(value: object) -> Fraction | None:
    """The exact value of a Kubernetes quantity (text or JSON number), or None if it is none or is out of bounds."""
    if isinstance(value, str):
        return _parsed(value) if len(value) <= MAX_TEXT else None
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value) if abs(value) < 10**MAX_EXPONENT else None
    if isinstance(value, float) and math.isfinite(value):
        # By its shortest decimal text: Fraction(0.1) would be the
        # binary value, and shares would not add up to what was written.
        return _parsed(repr(value))
    return None


def whole(value: object) -> Fraction | None:
    """The value of an integral JSON number (50 or 50.0) below 2^63 in size, or None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return Fraction(value) if abs(value) <= MAX_INTEGER else None


def _parsed(text: str) -> Fraction | None:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    number, exponent, suffix = Fraction(found["number"]), found["exponent"], found["suffix"]
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    power = int(exponent) if exponent else _DECIMAL.get(suffix, 0)
    if abs(power) > MAX_EXPONENT:
        return None
    scale: int = 10 ** abs(power)
    return number * scale if power >= 0 else number / scale

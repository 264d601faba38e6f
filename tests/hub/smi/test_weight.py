"""The grammar of weights, exactly."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.smi.weight import quantity, whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("+1", 1),
        ("-1", -1),
        ("010", 10),
        ("1.", 1),
        (".5", Fraction(1, 2)),
        ("1.25", Fraction(5, 4)),
        ("1n", Fraction(1, 10**9)),
        ("1u", Fraction(1, 10**6)),
        ("1m", Fraction(1, 1000)),
        ("1k", 10**3),
        ("1M", 10**6),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1Ki", 2**10),
        ("1Mi", 2**20),
        ("1Gi", 2**30),
        ("1Ti", 2**40),
        ("1Pi", 2**50),
        ("1Ei", 2**60),
        ("0.5Ki", 512),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1e+3", 1000),
        ("1e-3", Fraction(1, 1000)),
        ("1E-3", Fraction(1, 1000)),
        ("1.5e1", 15),
        ("1e64", 10**64),
    ],
)
def test_quantity_means_its_number(text: str, value: Fraction) -> None:
    """Every suffix and exponent of the grammar."""
    assert quantity(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "+",
        "-",
        "e3",
        "1e",
        "1e+",
        "1 ",
        " 1",
        "1\n",
        "1K",
        "1ki",
        "1KI",
        "1mi",
        "1ee3",
        "1e3k",
        "1.2.3",
        "--1",
        "1,5",
        "٣",
        "1e65",
        "1e-65",
        "1" * 65,
        "nan",
        "inf",
        "0x1",
        "1_0",
    ],
)
def test_quantity_is_none_when_it_is_not_in_the_grammar(text: str) -> None:
    """Nothing near a quantity is taken for one; `K` alone and non-ASCII digits are not in the grammar."""
    assert quantity(text) is None


@pytest.mark.parametrize(
    "value", [True, False, None, [], {}, float("inf"), float("nan"), 10**64, -(10**64), 1e300, 1e-300]
)
def test_quantity_is_none_when_the_value_is_no_number_in_bounds(value: object) -> None:
    """Booleans are no numbers, and numbers have bounds."""
    assert quantity(value) is None


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "1E+99999999999999999999", "9" * 10**6])
def test_hostile_quantity_costs_nothing(text: str) -> None:
    """An exponent is judged before the power is computed."""
    tracemalloc.start()
    assert quantity(text) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@given(st.integers(0, 10**20), st.integers(1, 9))
def test_json_numbers_are_read_in_decimal(units: int, digits: int) -> None:
    """A JSON fraction is the decimal that was written, not its binary neighbour."""
    assert quantity(units) == units
    shown = float(f"0.{digits}")
    assert quantity(shown) == Fraction(digits, 10)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())))
def test_whole_gives_integers_below_the_bound_or_none(value: object) -> None:
    """Whatever comes in: an integer of at most 63 bits that equals the input, or None."""
    read = whole(value)
    if read is None:
        return
    assert read == value
    assert read.denominator == 1
    assert abs(read) < 2**63
    assert not isinstance(value, bool)

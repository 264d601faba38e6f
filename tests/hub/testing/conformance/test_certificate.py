"""A certificate says no more than was proved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from hub.api import Facts, NativeObject, Request
from hub.testing.conformance import schema, tables
from hub.testing.conformance.certificate import Certificate, CheckRow, certify, header_of, one_header, to_text
from hub.testing.conformance.plugin import _written
from hub.testing.conformance.subject import AdapterUnderTest, Sizes
from hub.testing.conformance.suite import CHECKS, run
from tests.hub.testing.conformance import gate_mesh, test_routes_alone
from tests.hub.testing.conformance.gate_mesh import SPEC
from tests.hub.testing.conformance.gate_requests import REQUESTS

pytestmark = pytest.mark.thorough
GOOD = AdapterUnderTest(SPEC, judged=REQUESTS)
ROWS = tuple(CheckRow(check.name, tuple(check.properties), (), 0.0) for check in CHECKS)


class DoorConfig(Struct, frozen=True):
    """A mesh that can be told to do less."""

    strict: bool = False
    name: str = "gate"


def certified(subject: AdapterUnderTest, rows: tuple[CheckRow, ...] = ROWS) -> Certificate:
    """The certificate of a run in which all of this held."""
    return certify(header_of(subject), rows, "2026-01-01T00:00:00+00:00")


def test_all_that_was_asked_and_holds_passes() -> None:
    """Else the tests below would show nothing."""
    assert certified(GOOD).passed


@pytest.mark.parametrize("left_out", [check.name for check in CHECKS])
def test_each_check_has_to_run(left_out: str) -> None:
    """Also one whose properties others ask as well."""
    made = certified(GOOD, tuple(row for row in ROWS if row.check != left_out))
    assert not made.passed
    assert set(made.missing) == {name for row in ROWS if row.check == left_out for name in row.properties}
    assert not made.properties.keys() & set(made.missing)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        (Sizes(worlds=0), "worlds of the search is 0, and at least 100 are needed"),
        (Sizes(few=0), "few of the search is 0"),
        (Sizes(wild=0), "wild of the search is 0"),
        (Sizes(close=1), "close of the search is 1"),
        (Sizes(patience=1e6), "hostile input had 1e+06 times its budgets"),
    ],
)
def test_hardly_any_worlds_prove_nothing(sizes: Sizes, told: str) -> None:
    """Whatever held in them."""
    made = certified(replace(GOOD, sizes=sizes))
    assert not made.passed
    assert f"in doubt: {told}" in to_text(made)


def test_a_version_that_is_not_installed_is_told() -> None:
    """The version is that of the package that brings the adapter, and nothing else."""
    spec = replace(SPEC, translate=_of_smihub)
    assert certified(replace(GOOD, spec=spec)).version == "0.1.0"
    made = certified(replace(GOOD, spec=spec, version="9.9"))
    assert not made.passed
    assert "in doubt: the version is said to be 9.9, and 0.1.0 is installed" in to_text(made)


def _of_smihub(unit: Any, config: Any) -> Any:
    return gate_mesh.translate(unit, config)


_of_smihub.__module__ = "adapters.gate"


def test_settings_and_fields_that_mean_nothing_are_named() -> None:
    """What passes with other settings than the defaults says nothing of these."""
    spec = replace(SPEC, config=DoorConfig)
    made = certified(replace(GOOD, spec=spec, config=DoorConfig(strict=True), unread=("callers.*",)))
    assert made.settings == {"strict": True}
    assert 'with the settings: {"strict":true}\n' in to_text(made)
    assert "fields that the author says mean nothing: callers.*\n" in to_text(made)
    assert certified(replace(GOOD, spec=spec)).settings == {}


def test_checks_of_different_runs_are_not_one_run() -> None:
    """A fixture may give another adapter, or another size, to each test."""
    headers = [header_of(GOOD), header_of(replace(GOOD, sizes=Sizes(worlds=100)))]
    assert not certify(one_header(headers), ROWS, "").passed
    assert certify(one_header(headers[:1] * 2), ROWS, "").passed


def test_features_are_proved_where_they_were_asked() -> None:
    """What was only declared is called that."""
    judged = tuple(row for row in ROWS if row.check == "judged")
    assert "\nfeatures declared, not proved: access." in to_text(certified(GOOD, judged))
    assert "\nfeatures carried out: access." in to_text(certified(GOOD))


def test_of_several_certificates_of_one_adapter_the_bad_one_has_its_name(tmp_path: Path) -> None:
    """So that one of other settings does not hide it."""
    good, bad = certified(GOOD), certified(GOOD, ROWS[:1])
    found = _written(tmp_path, [good, bad])
    assert [(one.passed, path.name) for one, path in found] == [(False, "gate.json"), (True, "gate-2.json")]
    assert "does not pass" in (tmp_path / "gate.txt").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------- what the author brings


def found(subject: AdapterUnderTest, name: str) -> list[str]:
    """What a check says."""
    (outcome,) = run(subject, [one for one in CHECKS if one.name == name])
    return [f"{failure.property}: {failure.why}" for failure in outcome.failures]


def test_a_schema_that_takes_everything_is_none() -> None:
    """The certificate would say that objects were held against it."""
    assert found(replace(GOOD, schema=lambda _: ()), "schema") == [
        f"{schema.VALID}: the schema takes objects that are nothing but an unknown field: it looks at nothing"
    ]


def test_a_data_plane_that_was_never_asked_is_none() -> None:
    """Of a mesh of routes alone too, which allows nobody anything."""
    subject = test_routes_alone.subject(test_routes_alone.SPEC)
    mute = replace(subject, data_plane=_mute)
    assert found(mute, "data-plane")[0].startswith(tables.REAL_RUN)


def _mute(objects: Sequence[NativeObject], facts: Facts, requests: Sequence[Request]) -> list[str]:
    return ["" for _ in requests]

"""The suite: all checks in order, and how one is run. `run` needs no pytest."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from typing import Any

from hub.api import AdapterSpec
from hub.testing.conformance import (
    agreement,
    changes,
    fields,
    fresh,
    hostile,
    losses,
    meeting,
    names,
    plain,
    schema,
    tables,
    units,
)
from hub.testing.conformance.subject import AdapterUnderTest, CheckOutcome, PropertyCheck, PropertyFailure, with_bodies
from hub.testing.search import raised

CHECKS: tuple[PropertyCheck, ...] = (
    *tables.CHECKS,
    *agreement.CHECKS,
    *plain.CHECKS,
    *units.CHECKS,
    *names.CHECKS,
    *schema.CHECKS,
    *losses.CHECKS,
    *fields.CHECKS,
    *changes.CHECKS,
    *meeting.CHECKS,
    *fresh.CHECKS,
    *hostile.CHECKS,
)
PROPERTIES = {name: sentence for check in CHECKS for name, sentence in check.properties.items()}
"""What a certificate lists: the properties with a sentence each."""

ABOUT_ACCESS = frozenset(
    {
        *(
            agreement.WIDER,
            agreement.DENIES,
            changes.BETWEEN,
            changes.LEFT,
            changes.NARROW,
            changes.WAITS,
            changes.TOLD,
        ),
        *(meeting.EDITED, meeting.AGAIN),
    }
)
"""What is not asked of an adapter that enforces no access: all of it would hold of a mesh that lets everybody in."""


def asked_of(spec: AdapterSpec[Any], check: PropertyCheck) -> tuple[str, ...]:
    """The properties of a check that are asked of an adapter."""
    return tuple(name for name in check.properties if name not in ABOUT_ACCESS or not spec.routes_only)


def run(subject: AdapterUnderTest, checks: Sequence[PropertyCheck] = CHECKS) -> tuple[CheckOutcome, ...]:
    """Run these checks, one after the other."""
    return tuple(run_one(subject, check) for check in checks)


def run_one(subject: AdapterUnderTest, check: PropertyCheck) -> CheckOutcome:
    """Run one check; an adapter that raises where nothing may raise fails it."""
    begun, asked = _cpu_s(), asked_of(subject.spec, check)
    found: list[PropertyFailure] = []
    try:
        found.extend(with_bodies(subject, failure) for failure in (check.run(subject) if asked else ()))
    except Exception as error:  # noqa: BLE001 - an adapter may raise anything
        found.append(PropertyFailure(next(iter(check.properties)), f"the adapter raised {raised(error)}"))
    return CheckOutcome(check.name, asked, tuple(found), _cpu_s() - begun)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)

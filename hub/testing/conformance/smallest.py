"""Failures in the smallest world: one search for all properties, and one way to make what it finds small.

A check gives trials and looks at each. A failure is looked for again in smaller trials, by the same look or by one that costs less; what
is reported is what is found in the smallest trial, so that its words, answers and names are of the world that is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from random import Random
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from hub.model import Request
from hub.testing.conformance.subject import AdapterUnderTest, PropertyFailure
from hub.testing.counterexamples import Budget, shrink
from hub.testing.documents import Scope, compile_documents
from hub.testing.search import raised
from hub.testing.worlds import documents_of

RAISES = "raises-nothing"
_RAISED = re.compile(r"\braised (?:while [a-z]+: )?(\w+)")


class Trial(Struct, frozen=True):
    """A world in which properties are tried; `before` is what was there before, where a change is tried.

    `requests` are asked; if there are none, those that `dice` give. `about` is what else a check knows of its world.
    """

    world: tuple[Any, ...]
    before: tuple[Any, ...] | None = None
    requests: tuple[Request, ...] = ()
    dice: Random = field(default_factory=Random)
    scope: Scope = field(default_factory=Scope)
    about: Any = None


Look = Callable[[AdapterUnderTest, Trial], Iterable[PropertyFailure]]
"""Finds what fails in a trial; it need not say the world."""


def first_failures(
    subject: AdapterUnderTest,
    trials: Iterable[Trial],
    look: Look,
    again: Look | None = None,
    budget: Budget | None = None,
) -> Iterator[PropertyFailure]:
    """The first failure of each property, in the smallest world. `again` is the look that finds a failure once more."""
    budget, found = budget or Budget(), set[str]()
    for trial in trials:
        for failure in looked(subject, trial, look):
            if failure.property not in found:
                found.add(failure.property)
                yield smallest(subject, trial, failure, again or look, budget)


def first_failure(
    subject: AdapterUnderTest, trials: Iterable[Trial], look: Look, again: Look | None = None
) -> Iterator[PropertyFailure]:
    """The first failure alone, for a look that is about one property."""
    yield from islice(first_failures(subject, trials, look, again), 1)


def looked(subject: AdapterUnderTest, trial: Trial, look: Look) -> Iterator[PropertyFailure]:
    """What fails in a trial; an adapter that raises fails too."""
    try:
        for failure in look(subject, trial):
            shown = failure if failure.world is not None else replace(failure, world=trial.world, before=trial.before)
            yield replace(shown, scope=trial.scope)
    except Exception as error:  # noqa: BLE001 - an adapter may raise anything
        by = tuple(_raising(subject, trial))
        why = f"the adapter raised {raised(error)}"
        yield PropertyFailure(RAISES, why, trial.world, by=by, before=trial.before, scope=trial.scope)


def _raising(subject: AdapterUnderTest, trial: Trial) -> Iterator[str]:
    """The units of which translate raises."""
    for values in (trial.before or (), trial.world):
        for key, unit in compile_documents(documents_of(values), trial.scope).units.items():
            try:
                subject.spec.translate(unit, subject.settings)
            except Exception:  # noqa: BLE001 - that is what is looked for
                yield str(key)


def smallest(
    subject: AdapterUnderTest, trial: Trial, failure: PropertyFailure, again: Look, budget: Budget
) -> PropertyFailure:
    """The failure of this property in the smallest trial in which it is found again."""
    best, kind = failure, _kind(failure)
    if failure.request is not None:
        trial = replace(trial, requests=(failure.request,))

    def fails(parts: Mapping[str, list[Any]]) -> bool:
        nonlocal best
        found = (one for one in looked(subject, _joined(trial, parts), again) if _kind(one) == kind)
        smaller = next(found, None)
        best = best if smaller is None else smaller
        return smaller is not None

    shrink(_parts(trial), fails, budget)
    return best


def _kind(failure: PropertyFailure) -> tuple[str, str]:
    """What is the same failure again: of the same property, and of what is raised the same class."""
    found = _RAISED.search(failure.why)
    return failure.property, found[1] if found else ""


# ------------------------------------------------------------------------------------------------- what can be taken away


def _parts(trial: Trial) -> dict[str, list[Any]]:
    """The objects of a trial, those that stay what they are once; and the header lines of its one request."""
    parts: dict[str, list[Any]] = {"stays": [], "gone": list(trial.before or ()), "new": []}
    for value in trial.world:
        if value in parts["gone"]:
            parts["gone"].remove(value)
            parts["stays"].append(value)
        else:
            parts["new"].append(value)
    if len(trial.requests) == 1:
        parts["headers"] = list(trial.requests[0].headers)
    return parts


def _joined(trial: Trial, parts: Mapping[str, list[Any]]) -> Trial:
    stays, gone, new = (parts.get(name, []) for name in ("stays", "gone", "new"))
    before = None if trial.before is None else (*stays, *gone)
    requests = trial.requests
    if len(requests) == 1:
        requests = (replace(requests[0], headers=tuple(parts.get("headers", ()))),)
    return replace(trial, world=(*stays, *new), before=before, requests=requests)

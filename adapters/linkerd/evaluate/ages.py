"""Which of several objects comes first: Linkerd takes the oldest, and of equally old ones the first by name.

Source: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRouteRule, matches); of Servers observed on Linkerd edge-26.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from hub.api import UnmodelledError


class Aged(Protocol):
    """What has a creationTimestamp (None: not known) and a name."""

    @property
    def label(self) -> str:
        """What answers call it."""

    @property
    def age(self) -> str | None:
        """The creationTimestamp."""

    @property
    def name(self) -> str:
        """What decides between equally old ones; beyond that, nothing is known to decide."""


AnyAged = TypeVar("AnyAged", bound=Aged)
Outcome = TypeVar("Outcome")


def firsts(candidates: Sequence[AnyAged]) -> tuple[AnyAged, ...]:
    """Those that may come first: the oldest, more of them if the name is one, and every one whose age is not known."""
    first = min(((one.age, one.name) for one in candidates if one.age is not None), default=None)
    return tuple(one for one in candidates if one.age is None or (one.age, one.name) == first)


def agreed(
    candidates: Sequence[AnyAged], decide: Callable[[AnyAged], Outcome], same: Callable[[Outcome], object]
) -> Outcome:
    """What the first of the candidates decides. Raises UnmodelledError where that takes an age that is not known."""
    possible = firsts(candidates)
    outcomes = [decide(one) for one in possible]
    if any(same(one) != same(outcomes[0]) for one in outcomes):
        labels = " and ".join(one.label for one in possible[:2])
        raise UnmodelledError(
            f"{labels}: the older one decides, and their ages are not known or the same, so this is not modelled"
        )
    return outcomes[0]

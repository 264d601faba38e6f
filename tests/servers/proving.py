"""Random worlds with many requests close to their boundaries, judged by SMI and by every mesh, and counted."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random, SystemRandom

from msgspec.structs import replace

from hub.model import Reading
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.certificate import failure_to_json, failures_lines
from hub.testing.conformance.subject import AdapterUnderTest, Sizes
from hub.testing.conformance.suite import run
from hub.testing.counterexamples import Disagreement, write_found
from hub.testing.grammar import Count, WorldFeatures
from hub.testing.random_requests import Hints
from hub.testing.search import find
from hub.testing.worlds import documents_of, make_values
from tests.servers.readings import compiling

WILD, CLOSE = 70, 290
"""Requests of a world: of any kind, and close to those of them that are allowed."""
_CHUNK = 50
_LENIENT = Reading(path_regex="prefix", root_backend="endpoints")


def prove(seed: str, numbers: Iterable[int]) -> tuple[Count, str]:
    """Judge these worlds up to the first that a mesh and SMI disagree on; the count, and what was found ("": nothing)."""
    count = Count()
    for number in numbers:
        found = _world(Random(f"{seed}/{number}"), count, _LENIENT if number % 4 == 0 else Reading())
        if found is not None:
            return count, f"seed {seed}, world {number}: {found.why}\nwritten to {write_found(found)}"
    return count, ""


def prove_many(seed: str, requests: int) -> tuple[Count, str]:
    """The same with as many worlds as so many requests take, in two processes."""
    total = Count()
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        begun = 0
        while total.asked < requests:
            chunks = [range(begun + _CHUNK * one, begun + _CHUNK * (one + 1)) for one in range(4)]
            begun += 4 * _CHUNK
            for count, found in pool.map(prove, [seed] * len(chunks), chunks):
                total.join(count)
                if found:
                    return total, found
    return total, ""


def _world(rng: Random, count: Count, reading: Reading) -> Disagreement | None:
    values = make_values(rng)
    judge = Semantics(documents_of(values), reading=reading).judge
    asked = list(row(rng, Hints.of(values), judge, WILD, CLOSE))
    met = WorldFeatures(values)
    for one in asked:
        count.add(met, one)
    return find(values, [one.request for one in asked], reading, compiling)


def conforms(subject: AdapterUnderTest) -> None:
    """Fail unless the adapter passes the conformance kit on 100 000 pairs of a world and a request, with a new seed each time."""
    sizes = Sizes(worlds=2500, few=500, seed=str(SystemRandom().randrange(2**48)))
    assert sizes.worlds * (sizes.wild + sizes.close) == 100_000
    outcomes = run(replace(subject, sizes=sizes))
    failures = [failure_to_json(failure) for outcome in outcomes for failure in outcome.failures]
    told = "\n".join(failures_lines(failures))
    names = ", ".join(one["property"] for one in failures)
    assert not failures, f"{told}\n\nseed {sizes.seed}: {names}"

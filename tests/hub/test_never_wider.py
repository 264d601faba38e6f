"""Never wider: on random worlds a mesh allows nothing that SMI denies, and differs only where it reports a loss.

Each mesh under the conformance kit (tests/adapters/*/test_conformance.py) is asked that on worlds of fixed seeds; here is what the kit
does not ask, and the long search, with a new seed each time, which it prints when it fails. What fails is made small and written to
hub/testing/cases/found, where test_cases runs it for ever.
"""

from __future__ import annotations

import os
from random import SystemRandom

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from hub.model import Reading, UnitKey
from hub.semantics import Semantics
from hub.testing.counterexamples import write_found
from hub.testing.documents import Scope, compile_documents
from hub.testing.grammar import LEAST
from hub.testing.search import find
from hub.testing.worlds import World, documents_of, worlds
from tests.servers.proving import prove, prove_many
from tests.servers.readings import compiling_normalised

FIXED_WORLDS, MILLION = 75 * int(os.environ.get("SMIHUB_SEARCH", "1")), 1_000_000
FEW = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@FEW
@given(worlds())
def test_vm_agrees_with_smi_when_it_normalises_paths(world: World) -> None:
    """SMI judges the path that the application receives, so this is no wider."""
    found = find(world.values, world.requests, Reading(), compiling_normalised)
    if found is not None:
        pytest.fail(f"{found.why}\nwritten to {write_found(found)}")


@pytest.mark.thorough
def test_searches_meet_the_whole_grammar() -> None:
    """Some thousand requests of fixed worlds: allowed, denied, close to allowed ones, with every feature. They agree, too."""
    count, found = prove("s4", range(FIXED_WORLDS))
    assert not found, found
    assert not list(count.faults(least=LEAST / 4)), count.table()


@pytest.mark.slow
def test_mesh_agrees_with_smi_on_a_million_requests() -> None:
    """A million requests for each mesh, with a new seed each time; counted by features."""
    count, found = prove_many(str(SystemRandom().randrange(2**48)), MILLION)
    print(count.table())  # noqa: T201 - what was met
    assert not found, found
    assert not list(count.faults()), count.table()


@FEW
@given(worlds())
def test_without_a_target_every_identity_has_its_unit(world: World) -> None:
    """Nobody is allowed anything then, and there is a unit for each identity by which a mesh says so."""
    kept = [value for value in world.values if not (isinstance(value, dict) and value.get("kind") == "TrafficTarget")]
    documents = documents_of(kept)
    smi, made = Semantics(documents), compile_documents(documents, Scope())
    assert {smi.judge(request).verdict for request in world.requests} <= {"deny"}
    standing = {placed.identity for placed in made.facts.placements.values()}
    assert {UnitKey("access", one.namespace, one.service_account) for one in standing} <= made.units.keys()

"""Never wider: on random worlds a mesh allows nothing that SMI denies, and differs only where it reports a loss.

The fast tests use fixed seeds; the slow one a new seed each time, which it prints when it fails. What fails is made small
and written to hub/testing/cases/found, where test_cases runs it for ever.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random, SystemRandom

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hub.model import Reading, UnitKey
from hub.testing.counterexamples import write_found
from hub.testing.documents import Scope, SinklessMesh, compile_documents, explainer_of, translate_units
from hub.testing.grammar import LEAST
from hub.testing.search import find
from hub.testing.stepping import edited, stepped
from hub.testing.worlds import World, documents_of, worlds
from tests.servers.proving import prove, prove_many
from tests.servers.readings import MESHES, compiling, compiling_normalised

DEFAULT = Reading()
LENIENT = Reading(path_regex="prefix", root_backend="endpoints")
FIXED_WORLDS, MILLION = 75 * int(os.environ.get("SMIHUB_SEARCH", "1")), 1_000_000
STEADY = settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
FEW = settings(STEADY, max_examples=40)
each_mesh = pytest.mark.parametrize("mesh", MESHES, ids=[mesh.name for mesh in MESHES])


def must_agree(world: World, reading: Reading) -> None:
    """Fail, with a case file, if any request of the world is judged differently."""
    found = find(world.values, world.requests, reading, compiling)
    if found is not None:
        pytest.fail(f"{found.why}\nwritten to {write_found(found)}")


@STEADY
@given(worlds())
def test_mesh_agrees_with_smi_on_random_worlds(world: World) -> None:
    """Never wider, exact shares, equal without a loss, nothing raises: in the default reading."""
    must_agree(world, DEFAULT)


@FEW
@given(worlds())
def test_mesh_agrees_with_smi_in_the_lenient_reading(world: World) -> None:
    """The same with both switches of the reading turned."""
    must_agree(world, LENIENT)


@FEW
@given(worlds())
def test_vm_agrees_with_smi_when_it_normalises_paths(world: World) -> None:
    """SMI judges the path that the application receives, so this is no wider."""
    found = find(world.values, world.requests, DEFAULT, compiling_normalised)
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


@each_mesh
@FEW
@given(world=worlds(), seed=st.integers(min_value=0))
def test_order_of_documents_changes_nothing(mesh: SinklessMesh, world: World, seed: int) -> None:
    """The same objects in another order: the same answers and the same native objects."""
    shuffled = list(world.values)
    Random(seed).shuffle(shuffled)
    one, other = explainer_of(world.documents, (mesh,)), explainer_of(documents_of(shuffled), (mesh,))
    assert [one.explain(request) for request in world.requests] == [
        other.explain(request) for request in world.requests
    ]
    assert translate_units(one.compiled.units, mesh) == translate_units(other.compiled.units, mesh)


@each_mesh
@FEW
@given(world=worlds())
def test_units_are_translated_independently(mesh: SinklessMesh, world: World) -> None:
    """Each unit alone, in any order, gives the very objects that all together give, and no two share a ref."""
    units = compile_documents(world.documents, Scope()).units
    together = translate_units(units, mesh)
    alone = {key: translate_units({key: units[key]}, mesh)[key] for key in reversed(list(units))}
    assert together == alone
    refs = [native.ref for translation in together.values() for native in translation.objects]
    assert len(refs) == len(set(refs))
    for key, translation in together.items():
        assert {loss.unit for loss in translation.losses} <= {key}
        named = {origin for native in translation.objects for origin in native.origins}
        assert named <= set(units[key].origins)


@each_mesh
@FEW
@given(world=worlds())
def test_deleting_every_target_leaves_deny(mesh: SinklessMesh, world: World) -> None:
    """Without a TrafficTarget nobody is allowed anything, by SMI or by the mesh, and the deny is explicit."""
    kept = [value for value in world.values if not (isinstance(value, dict) and value.get("kind") == "TrafficTarget")]
    explainer = explainer_of(documents_of(kept), (mesh,))
    for request in world.requests:
        smi, meshes = explainer.explain(request)
        assert (smi.verdict, meshes[mesh.name].verdict) == ("deny", "deny")
    access = {key for key in explainer.compiled.units if key.kind == "access"}
    assert access >= {
        UnitKey("access", placed.identity.namespace, placed.identity.service_account)
        for placed in explainer.compiled.facts.placements.values()
    }


# ------------------------------------------------------------------------------------------------------- in between


@pytest.mark.thorough
@each_mesh
def test_no_prefix_of_a_change_is_wider_than_before_or_after(mesh: SinklessMesh) -> None:
    """After each write of a plan: whatever is allowed was allowed before, or is after."""
    tally: Counter[str] = Counter()

    @FEW
    @given(world=worlds(requests=48), other=worlds(requests=8), rng=st.randoms(use_true_random=False))
    def changed(world: World, other: World, rng: Random) -> None:
        tally.update(stepped(mesh, edited(world, other, rng), rng))

    changed()
    assert tally["between"] > 25, tally
    assert min(tally["allow"], tally["deny"]) > tally.total() / 30, tally

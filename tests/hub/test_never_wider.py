"""Never wider: on random worlds a mesh allows nothing that SMI denies, and differs only where it reports a loss.

The fast tests use fixed seeds; the slow one a new seed each time, which it prints when it fails. What fails is made small
and written to hub/testing/cases/found, where test_cases runs it for ever.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random, SystemRandom
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.model import Answer, Facts, NativeObject, Observation, Observed, Op, Placement, Reading, Request, Role, UnitKey
from hub.plan.changes import Desired
from hub.plan.plan import plan
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.counterexamples import write_found
from hub.testing.documents import Scope, SinklessMesh, compile_documents, explainer_of, translate_units
from hub.testing.grammar import LEAST
from hub.testing.random_requests import Hints
from hub.testing.search import find
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


Owned = tuple[UnitKey, NativeObject]


def observed(objects: Iterable[Owned]) -> Observation:
    """What stands in a mesh after these objects were written."""
    standing = {one.ref: Observed(one.ref, one.body, key, "1", one.role, one.needs) for key, one in objects}
    return Observation(standing, {one.owner: b"" for one in standing.values() if one.owner}, "1")


def desired(values: Sequence[Any], mesh: SinklessMesh) -> dict[UnitKey, Desired]:
    """Every unit of these documents with its translation."""
    units = compile_documents(documents_of(values), Scope()).units
    translations = translate_units(units, mesh)
    return {key: Desired(unit, translations[key]) for key, unit in units.items()}


_SMI = ("access.smi-spec.io", "specs.smi-spec.io", "split.smi-spec.io")


def edited(world: World, other: World, rng: Random) -> tuple[Any, ...]:
    """The world after a change: some objects gone, some of another world's put in their place; mostly of SMI alone."""
    everything = rng.randrange(4) == 0

    def may_change(value: Any) -> bool:
        return everything or (isinstance(value, dict) and str(value.get("apiVersion")).startswith(_SMI))

    kept = [value for value in world.values if not may_change(value) or rng.randrange(4)]
    return (*kept, *(value for value in other.values if may_change(value) and rng.randrange(3) == 0))


@pytest.mark.thorough
@each_mesh
def test_no_prefix_of_a_change_is_wider_than_before_or_after(mesh: SinklessMesh) -> None:
    """After each write of a plan: whatever is allowed was allowed before, or is after."""
    tally: Counter[str] = Counter()

    @FEW
    @given(world=worlds(requests=48), other=worlds(requests=8), rng=st.randoms(use_true_random=False))
    def changed(world: World, other: World, rng: Random) -> None:
        tally.update(stepped(mesh, world, other, rng))

    changed()
    assert tally["between"] > 25, tally
    assert min(tally["allow"], tally["deny"]) > tally.total() / 20, tally


def stepped(mesh: SinklessMesh, world: World, other: World, rng: Random) -> Counter[str]:
    """Write a change of a world step by step, and ask between; how often, and with which answers."""
    tally: Counter[str] = Counter()
    values = edited(world, other, rng)
    before = [(key, one) for key, unit in desired(world.values, mesh).items() for one in unit.translation.objects]
    after = desired(values, mesh)
    gone = {key: Desired(None) for key, _ in before if key not in after}
    changes = plan(mesh.name, {**gone, **after}, observed(before), mesh.spec.carry_over).changes
    smi = (Semantics(world.documents), Semantics(documents_of(values)))
    facts = [compile_documents(documents, Scope()).facts for documents in (world.documents, documents_of(values))]
    # Who may receive what is decided at the receiver; which Service a call reaches changes with its routes.
    near = (*_near(rng, world.values, smi[0]), *_near(rng, values, smi[1]))
    asked = [one for one in near if one.dst.service is None]
    requests = [one for one in asked if concerned(one, facts[0]) == concerned(one, facts[1])]
    standing = {native.ref: (key, native) for key, native in before}
    stops = {rng.randrange(len(changes)) for _ in range(6)} if changes else set()
    for number, change in enumerate(changes):
        if change.op is Op.DELETE:
            del standing[change.ref]
        else:
            assert change.after is not None
            standing[change.ref] = (change.unit, change.after)
        last = number + 1 == len(changes) or changes[number + 1].wave != change.wave
        if last or number in stops:
            tally.update(must_not_be_wider(mesh, tuple(standing.values()), facts[rng.randrange(2)], requests, smi))
            tally["between"] += number + 1 < len(changes)
    return tally


def _near(rng: Random, values: Sequence[Any], semantics: Semantics) -> Iterator[Request]:
    """Requests of any kind, and some close to those of them that SMI allows."""
    yield from (one.request for one in row(rng, Hints.of(values), semantics.judge, 40, 40))


def must_not_be_wider(
    mesh: SinklessMesh,
    standing: Sequence[Owned],
    facts: Facts,
    requests: Sequence[Request],
    smi: tuple[Semantics, Semantics],
) -> Counter[str]:
    """Fail if these objects allow anything that SMI denied before and denies after; how often they say what.

    Who stands where is as in one of both. A workload whose policy is not written yet is not governed yet (nothing of ours
    opens it), save in a mesh whose workloads receive only by what we write.
    """
    judge = mesh.spec.evaluator([native for _, native in standing], facts)
    governed = {key for key, native in standing if native.role is Role.GRANT}
    tally: Counter[str] = Counter()
    for request in requests:
        answer = judge.judge(request)
        tally[answer.verdict] += 1
        real = request if answer.received is None else replace(request, path=answer.received)
        words = [each.judge(real) for each in smi]
        wider = answer.verdict != "deny" and all(_wider(word, answer) for word in words)
        if wider and (mesh.spec.governs == ("all",) or receivers(request, facts) <= governed):
            pytest.fail(f"{request} is {answer}, SMI says {words}")
    return tally


def concerned(request: Request, facts: Facts) -> list[Placement]:
    """Where those stand whom a request names; who comes, goes or changes is judged by one of both readings only."""
    pods = {request.src.pod, request.dst.pod}
    return [
        one
        for ref, one in sorted(facts.placements.items())
        if f"{ref.namespace}/{ref.name}" in pods
        or f"{one.identity.namespace}/{one.identity.service_account}" == request.dst.identity
    ]


def receivers(request: Request, facts: Facts) -> set[UnitKey]:
    """The units that protect whom a request is for."""
    if request.dst.identity is not None:
        namespace, _, account = request.dst.identity.partition("/")
        return {UnitKey("access", namespace, account)}
    found = [
        one.identity for one in facts.placements.values() if f"{one.ref.namespace}/{one.ref.name}" == request.dst.pod
    ]
    return {UnitKey("access", one.namespace, one.service_account) for one in found}


def _wider(smi: Answer, mesh: Answer) -> bool:
    rank = {"deny": 0, "mixed": 1, "allow": 2, "ungoverned": 2}
    return rank[mesh.verdict] > rank[smi.verdict]

"""A change of a world written step by step: after each write of a plan, whatever is allowed was allowed before, or is after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from random import Random
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.explain import Compiled
from hub.model import (
    Answer,
    Baseline,
    Change,
    Facts,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    Op,
    Placement,
    Request,
    Role,
    UnitKey,
)
from hub.plan.changes import Constraints, Desired, in_steps
from hub.plan.plan import plan
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.random_requests import Hints
from hub.testing.worlds import World, documents_of

Owned = tuple[UnitKey, NativeObject]
_SMI = ("access.smi-spec.io", "specs.smi-spec.io", "split.smi-spec.io")


class OpenedBetween(AssertionError):  # noqa: N818 - what a test fails with
    """Something in between is allowed that SMI denied before and denies after: the request, the mesh's answer, SMI's two words.

    `left`: it is allowed after the last write, and SMI denies it then. `moved`: after that it goes elsewhere than by what was planned,
    which is the word then.
    """

    def __init__(self, request: Request, answer: Answer, words: Sequence[Answer]) -> None:
        super().__init__(f"{request} is {answer}, SMI says {words}")
        self.request = request
        self.answer = answer
        self.words = tuple(words)
        self.left = self.moved = False


class Edit(Struct, frozen=True):
    """A change of a world: its objects before and after."""

    before: tuple[Any, ...]
    after: tuple[Any, ...]


def observed(objects: Iterable[Owned]) -> Observation:
    """What stands in a mesh after these objects were written."""
    standing = {one.ref: Observed(one.ref, one.body, key, "1", one.role, one.needs) for key, one in objects}
    return Observation(standing, {one.owner: b"" for one in standing.values() if one.owner}, "1")


def desired(values: Sequence[Any], mesh: SinklessMesh) -> dict[UnitKey, Desired]:
    """Every unit of these documents with its translation."""
    return desired_of(compile_documents(documents_of(values), Scope()), mesh)


def desired_of(made: Compiled, mesh: SinklessMesh) -> dict[UnitKey, Desired]:
    """Every unit of what documents became, with its translation."""
    translations = translate_units(made.units, mesh)
    return {key: Desired(made.units.get(key, Baseline(key.namespace)), each) for key, each in translations.items()}


def edited(world: World, other: World, rng: Random) -> Edit:
    """The world and what it is after a change: some objects gone, some of another world's in their place; mostly of SMI alone."""
    everything = rng.randrange(4) == 0

    def may_change(value: Any) -> bool:
        return everything or (isinstance(value, dict) and str(value.get("apiVersion")).startswith(_SMI))

    kept = [value for value in world.values if not may_change(value) or rng.randrange(4)]
    return Edit(
        world.values, (*kept, *(value for value in other.values if may_change(value) and rng.randrange(3) == 0))
    )


class Steps(Struct, frozen=True):
    """How a change is tried: requests that are asked after each write, or if there are none `more` than those that the dice give.

    `order` is any text that says in which order the writes of one wave come: it is the same for those that are left when a world becomes
    smaller.
    """

    asked: tuple[Request, ...] = ()
    more: tuple[Request, ...] = ()
    order: str = ""


_USUAL = Steps()


def stepped(mesh: SinklessMesh, edit: Edit, rng: Random, steps: Steps = _USUAL) -> Counter[str]:
    """Write a change of a world step by step, and ask between; how often, and with which answers. Raises OpenedBetween."""
    tally: Counter[str] = Counter()
    asked = steps.asked
    made = [compile_documents(documents_of(values), Scope()) for values in (edit.before, edit.after)]
    before = [(key, one) for key, unit in desired_of(made[0], mesh).items() for one in unit.translation.objects]
    after = desired_of(made[1], mesh)
    gone = {key: Desired(None) for key, _ in before if key not in after}
    constraints = Constraints(new_first=mesh.spec.new_first)
    planned = plan(mesh.name, {**gone, **after}, observed(before), mesh.spec.carry_over, constraints).changes
    changes = [*in_some_order(planned, {native.ref: native.needs for _, native in before}, steps.order)]
    smi = (Semantics(documents_of(edit.before)), Semantics(documents_of(edit.after)))
    facts = [one.facts for one in made]
    # Who may receive what is decided at the receiver; which Service a call reaches changes with its routes.
    near = asked or (*near_requests(rng, edit.before, smi[0]), *near_requests(rng, edit.after, smi[1]), *steps.more)
    requests = [one for one in near if one.dst.service is None and concerned(one, facts[0]) == concerned(one, facts[1])]
    standing = {native.ref: (key, _made(mesh, native, 1)) for key, native in before}
    stops = {rng.randrange(len(changes)) for _ in range(6)} if changes else set()
    for number, change in enumerate(changes):
        if change.op is Op.DELETE:
            del standing[change.ref]
        else:
            assert change.after is not None
            standing[change.ref] = (change.unit, _made(mesh, change.after, 1 if change.ref in standing else 2))
        last = number + 1 == len(changes) or changes[number + 1].wave != change.wave
        if asked or last or number in stops:
            for at in facts if asked else (facts[rng.randrange(2)],):
                tally.update(must_not_be_wider(mesh, tuple(standing.values()), at, requests, smi))
            tally["between"] += number + 1 < len(changes)
    try:
        must_not_be_wider(mesh, tuple(standing.values()), facts[1], requests, (smi[1], smi[1]))
    except OpenedBetween as found:
        found.left = True
        raise
    made_anew = [native for unit in after.values() for native in unit.translation.objects]
    must_go_as_planned(mesh, ([native for _, native in standing.values()], made_anew), facts[1], near)
    return tally


def must_go_as_planned(
    mesh: SinklessMesh,
    objects: tuple[Sequence[NativeObject], Sequence[NativeObject]],
    facts: Facts,
    requests: Iterable[Request],
) -> None:
    """Raise OpenedBetween if by the objects that stand a call of a Service goes elsewhere than by those that were planned."""
    standing, planned = (mesh.spec.evaluator(each, facts).judge for each in objects)
    for request in requests:
        if request.dst.service is not None:
            now, wanted = standing(request), planned(request)
            if (now.route, now.weights) != (wanted.route, wanted.weights):
                found = OpenedBetween(request, now, (wanted,))
                found.left = found.moved = True
                raise found


def in_some_order(
    planned: Sequence[Change], needs: Mapping[ObjectRef, Sequence[ObjectRef]], order: object
) -> Iterator[Change]:
    """One of the orders in which the changes of a plan may be written: those of one step in any."""
    for _, wave in groupby(planned, key=lambda change: change.wave):
        for step in in_steps(list(wave), lambda ref: needs.get(ref, ())):
            yield from sorted(step, key=lambda change: sha256(f"{order}/{change.ref}".encode()).digest())


def _made(mesh: SinklessMesh, native: NativeObject, day: int) -> NativeObject:
    """The object with the day on which it was made, where old and new ones stand together and a mesh may go by their age."""
    try:
        body: Any = msgspec.json.decode(native.body) if mesh.spec.new_first else None
        body["metadata"]["creationTimestamp"] = f"2026-01-0{day}T00:00:00Z"
    except (msgspec.DecodeError, KeyError, TypeError):
        return native
    return replace(native, body=msgspec.json.encode(body))


def near_requests(rng: Random, values: Sequence[Any], semantics: Semantics) -> Iterator[Request]:
    """Requests of any kind, and some close to those of them that SMI allows."""
    yield from (one.request for one in row(rng, Hints.of(values), semantics.judge, 40, 40))


def must_not_be_wider(
    mesh: SinklessMesh,
    standing: Sequence[Owned],
    facts: Facts,
    requests: Sequence[Request],
    smi: tuple[Semantics, Semantics],
) -> Counter[str]:
    """Raise OpenedBetween if these objects allow anything that SMI denied before and denies after; how often they say what.

    Who stands where is as in one of both. A workload whose policy is not written yet is not governed yet (nothing of ours
    opens it), save in a mesh whose workloads receive only by what we write.
    """
    judge = mesh.spec.evaluator([native for _, native in standing], facts)
    governed = {key for key, native in standing if native.role is Role.GRANT}
    tally: Counter[str] = Counter()
    for request in requests:
        answer = judge.judge(request)
        tally[answer.verdict] += 1
        if answer.verdict == "deny":  # most are, and nothing is less than that
            continue
        real = request if answer.received is None else replace(request, path=answer.received)
        words = [each.judge(real) for each in smi]
        wider = all(_wider(word, answer) for word in words)
        if wider and (mesh.spec.governs == ("all",) or receivers(request, facts) <= governed):
            raise OpenedBetween(request, answer, words)
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

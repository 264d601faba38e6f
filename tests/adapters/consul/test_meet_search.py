"""Random worlds before and after a change, with intentions that somebody edited in between: nobody gains, and what is revoked goes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from adapters.consul.evaluate.intentions import Default
from adapters.consul.evaluate.mesh import BOTH, mesh_of
from adapters.consul.plugin import K8S_SPEC, SPEC
from adapters.consul.translate.meet import meet
from hub.api import AdapterSpec, Evaluator, Facts, NativeObject, Request, Role, UnitKey, UnmodelledError
from hub.plan.changes import Desired
from hub.semantics import Semantics
from hub.testing.cluster import SERVICES
from hub.testing.documents import Scope, SinklessMesh, compile_documents
from hub.testing.stepping import desired_of, near_requests
from hub.testing.worlds import documents_of
from tests.adapters.consul.native import raw_entry
from tests.adapters.consul.worlds import consul_values

pytestmark = pytest.mark.thorough
WORLDS = 40
Units = Mapping[UnitKey, tuple[NativeObject, ...]]
_WORDS = ("allow", "deny", "", "*", "GET", "/x", "/", ".*", "d_api", "d_web", "d--api", "x", "consul", "PathPrefix")
_FIELDS = ("JWT", "Peer", "Type", "Namespace", "Description", "action", "Action", "Permissions", "Name", "Invert")


class Edited(Struct, frozen=True):
    """What stands of every Access unit, what is wanted, what is written instead, and requests.

    `http` is that services speak it of which permissions stand or are wanted: which protocol one has is not for intentions to say.
    """

    standing: Units
    wanted: Units
    met: Units
    http: tuple[NativeObject, ...]
    facts: Facts
    asked: tuple[Request, ...]


def worlds(seed: str, spec: AdapterSpec[Any], often: float) -> Iterator[tuple[Random, Edited]]:
    """Each with `often` so many of its intentions edited."""
    mesh = SinklessMesh(spec.name, spec, None)
    for number in range(WORLDS):
        dice = Random(f"{seed}/{spec.name}/{number}")
        before = consul_values(dice)
        after = [value for value in before if not _is_target(value) or dice.randrange(3)]
        # Without edits the search is about revocations alone.
        after += [value for value in consul_values(dice) if often and _is_target(value) and dice.randrange(4) == 0]
        made = [compile_documents(documents_of(values), Scope()) for values in (before, after)]
        asked = [one for values in (before, after) for one in near_requests(dice, values, _smi(values))]
        stands, wanted = (_access(desired_of(one, mesh)) for one in made)
        standing = {key: edited(dice, one, stands, often) for key, one in sorted(stands.items())}
        wanted = {key: wanted.get(key, ()) for key in standing}
        met = {key: tuple(meet(one, wanted[key])) for key, one in standing.items()}
        requests = tuple(one for one in asked if _is_there(one, made[1].facts))
        yield dice, Edited(standing, wanted, met, _http(stands, standing, wanted), made[1].facts, requests)


def _is_there(request: Request, facts: Facts) -> bool:
    """Whether it is for a Pod, or for an account that has one: `evaluate` takes an intention to say that somebody receives."""
    accounts = {f"{one.identity.namespace}/{one.identity.service_account}" for one in facts.placements.values()}
    return request.dst.service is None and (request.dst.identity is None or request.dst.identity in accounts)


def _http(*states: Units) -> tuple[NativeObject, ...]:
    objects = [one for units in states for one in _objects(units)]
    names = sorted({one.ref.name for one in objects if b"ermissions" in one.body})
    return tuple(raw_entry("service-defaults", name, Protocol="http") for name in names)


def _is_target(value: Any) -> bool:
    return isinstance(value, dict) and value.get("kind") == "TrafficTarget"


def _smi(values: Sequence[Any]) -> Semantics:
    return Semantics(documents_of(values))


def _access(units: Mapping[UnitKey, Desired]) -> dict[UnitKey, tuple[NativeObject, ...]]:
    return {key: one.translation.objects for key, one in units.items() if key.kind == "access"}


# --------------------------------------------------------------------------- hand edits


def edited(dice: Random, objects: Sequence[NativeObject], around: Units, often: float) -> tuple[NativeObject, ...]:
    """The objects of a unit as somebody leaves them."""
    others = [one for unit in around.values() for one in unit]
    found = []
    for one in objects:
        if dice.random() >= often:
            found.append(one)
        elif dice.randrange(10):
            marked = replace(
                one, needs=one.needs if dice.randrange(6) else (), role=dice.choice([one.role, Role.GUARD])
            )
            found.append(replace(marked, body=_body(dice, one, dice.choice(others))))
    return tuple(found)


def _body(dice: Random, one: NativeObject, other: NativeObject) -> bytes:
    if dice.randrange(25) == 0:
        return dice.choice((other.body, b"", b"[]", one.body[:-1], one.body.replace(b"deny", b"allow")))
    whole, donor = json.loads(one.body), json.loads(other.body)
    for _ in range(dice.choice((1, 1, 2, 3))):
        _edit(dice, whole, donor)
    return msgspec.json.encode(whole, order="sorted")


def _edit(dice: Random, whole: Any, donor: Any) -> None:
    """One edit, of a list mostly."""
    lists = [place for place in _places(whole) if isinstance(place, list) and place]
    maps = [place for place in _places(whole) if isinstance(place, dict) and place and "metadata" not in place]
    mine = dice.choice(lists) if lists else []
    theirs = [
        place for place in _places(donor) if isinstance(place, list) and place and type(place[0]) in map(type, mine)
    ]
    how = dice.randrange(9)
    if how < 2 and mine:
        del mine[dice.randrange(len(mine))]
    elif how < 4 and theirs:
        mine.insert(dice.randrange(len(mine) + 1), deepcopy(dice.choice(dice.choice(theirs))))
    elif how == 4 and mine:
        dice.shuffle(mine)
    elif how == 5 and mine:
        mine.append(deepcopy(dice.choice(mine)))
    elif maps:
        where = dice.choice(maps)
        key = dice.choice(sorted(where)) if dice.randrange(5) else dice.choice(_FIELDS)
        if dice.randrange(4) == 0:
            where.pop(key, None)
        elif not isinstance(where.get(key), list | dict):
            where[key] = dice.choice(_WORDS)


def _places(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _places(inner)


# --------------------------------------------------------------------------- what is asked of them


def judge_of(units: Units, world: Edited, default: Default, others: Sequence[NativeObject]) -> Evaluator:
    """What these objects mean where agents have this default."""
    objects = _objects(units)
    entries = any(one.ref.group == "" for one in objects)
    config = (SPEC if entries else K8S_SPEC).config()
    return mesh_of((*objects, *others, *world.http), world.facts, config.naming, (default,), theirs=True)


def _others(dice: Random, spec: AdapterSpec[Any]) -> list[NativeObject]:
    """An intention of somebody else for every service, now and then."""
    between = "_" if spec is SPEC else "--"
    sources = [{"Name": f"d{between}{dice.choice(SERVICES)}", "Action": dice.choice(("allow", "deny"))}]
    sources += dice.choice(([], [{"Name": "*", "Action": dice.choice(("allow", "deny"))}]))
    return [raw_entry("service-intentions", "*", Sources=sources)] if dice.randrange(3) == 0 else []


@pytest.mark.parametrize("spec", [SPEC, K8S_SPEC], ids=lambda spec: str(spec.name))
def test_nobody_gains_by_what_is_written_after_edits(spec: AdapterSpec[Any]) -> None:
    """At no point of the writing, under both defaults, and whatever others allow or deny to every service."""
    seen = Counter[str]()
    for dice, world in worlds("gains", spec, 0.4):
        others = _others(dice, spec)
        standing = {key: unit for key, unit in world.standing.items() if _is_read(unit, world)}
        written = [key for key in sorted(standing) if dice.randrange(2)]
        steps = ({**standing, **{key: world.met[key] for key in written}}, {key: world.met[key] for key in standing})
        if not all(_is_read([*_objects(units), *others], world) for units in (standing, *steps)):
            seen["two for one service"] += 1
            continue
        for default in BOTH:
            before, *after = (judge_of(units, world, default, others) for units in (standing, *steps))
            for request in world.asked:
                words = [judge.judge(request).verdict for judge in after]
                seen.update(words)
                assert set(words) == {"deny"} or before.judge(request).verdict == "allow", request
    assert seen["allow"] > 2 * WORLDS
    assert seen["two for one service"] < WORLDS / 4


def _objects(units: Units) -> list[NativeObject]:
    return [one for unit in units.values() for one in unit]


def _is_read(objects: Sequence[NativeObject], world: Edited) -> bool:
    """Whether `evaluate` tells what these objects mean."""
    try:
        judge_of({UnitKey("access", "", ""): tuple(objects)}, world, "deny", ())
    except UnmodelledError:
        return False
    return True


@pytest.mark.parametrize("spec", [SPEC, K8S_SPEC], ids=lambda spec: str(spec.name))
def test_what_is_revoked_goes_whatever_was_edited(spec: AdapterSpec[Any]) -> None:
    """At every service whose intention is still for it."""
    seen = Counter[str]()
    for _, world in worlds("revoked", spec, 0.5):
        wanted, met = {}, {}
        for key, objects in world.met.items():
            about = {_destination(one) for one in objects}
            if {_destination(one) for one in world.wanted[key]} <= about:
                wanted[key], met[key] = world.wanted[key], objects
        if not _is_read(_objects(_readable(met)), world):
            seen["two for one service"] += 1
            continue
        for default in BOTH:
            bound, after = (judge_of(units, world, default, ()) for units in (wanted, _readable(met)))
            for request in world.asked:
                now = after.judge(request).verdict
                seen[now] += 1
                assert now == "deny" or bound.judge(request).verdict == now, request
    assert seen["allow"] > WORLDS
    assert seen["two for one service"] < WORLDS / 4


def _destination(one: NativeObject) -> str:
    whole = json.loads(one.body)
    return str(whole["Name"] if "Kind" in whole else whole["spec"]["destination"]["name"])


def _readable(units: Units) -> Units:
    """Without the denials of sources in other meshes, which `evaluate` does not read: they are about nobody here."""
    return {key: tuple(replace(one, body=_of_this_mesh(one.body)) for one in unit) for key, unit in units.items()}


def _of_this_mesh(body: bytes) -> bytes:
    whole = json.loads(body)
    held = whole.get("spec", whole)
    for name in ("Sources", "sources"):
        if name in held:
            held[name] = [one for one in held[name] if not {"Peer", "peer", "Namespace", "namespace"} & one.keys()]
    return json.dumps(whole).encode()


@pytest.mark.parametrize("spec", [SPEC, K8S_SPEC], ids=lambda spec: str(spec.name))
def test_after_a_revocation_all_that_is_wanted_stays(spec: AdapterSpec[Any]) -> None:
    """Where nobody edited anything; and what stands as it is wanted is written as it stands."""
    seen = Counter[str]()
    for _, world in worlds("kept", spec, often=0):
        for objects in world.wanted.values():
            assert meet(objects, objects) == tuple(replace(one, origins=()) for one in objects)
        for default in BOTH:
            before, wanted, after = (
                judge_of(units, world, default, ()) for units in (world.standing, world.wanted, world.met)
            )
            for request in world.asked:
                was, word = before.judge(request).verdict, wanted.judge(request).verdict
                seen[was + word] += 1
                # Of two targets of one name neither counts, so that one is gone may grant something, too.
                assert after.judge(request).verdict == (word if was == "allow" else "deny"), request
    assert min(seen["allowallow"], seen["allowdeny"]) > WORLDS / 2


@pytest.mark.parametrize("spec", [SPEC, K8S_SPEC], ids=lambda spec: str(spec.name))
def test_what_was_cut_down_once_stays_as_it_is(spec: AdapterSpec[Any]) -> None:
    """Whatever was edited."""
    for _, world in worlds("again", spec, 0.9):
        for key, met in world.met.items():
            assert meet(met, world.wanted[key]) == met

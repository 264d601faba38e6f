"""Meeting: what is written of a unit that somebody edited, while nobody can tell what stands of it permits.

Objects of a random world are edited as by hand, its sources change, and what `AdapterSpec.meet` gives is held against both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from hub.api import Evaluator
from hub.errors import UnmodelledError
from hub.model import Access, Answer, NativeObject, ObjectRef, Op, Request, Translation, UnitKey
from hub.plan.changes import Constraints, Desired
from hub.plan.meet import Meet, by_object
from hub.plan.plan import plan
from hub.semantics import Semantics
from hub.testing.conformance.smallest import Trial, first_failure
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, misjudged
from hub.testing.documents import Scope, compile_documents
from hub.testing.hand_edits import HandEdits
from hub.testing.stepping import desired_of, edited, in_some_order, near_requests, observed
from hub.testing.worlds import documents_of, make_world

EDITED, AGAIN = "edited-units-gain-nothing", "edited-units-settle"
_RANK = {"deny": 0, "mixed": 1, "allow": 2, "ungoverned": 2}
_Units = dict[UnitKey, tuple[NativeObject, ...]]


class _Made(Struct, frozen=True):
    """The objects of every Access unit as they stand, as they are wanted, and what is to be written; and those of all other units."""

    standing: _Units
    wanted: _Units
    met: _Units
    others: tuple[NativeObject, ...]

    def all_of(self, units: _Units) -> list[NativeObject]:
        """These units, and all others."""
        return [*(one for each in units.values() for one in each), *self.others]


def edited_units(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Whatever somebody made of the objects that stand, nothing is allowed by what is written that they refuse, or that is revoked."""
    yield from first_failure(subject, _trials(subject), _gained)


def settled(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """What stands as it is wanted stays, and what was cut down once is not written again."""
    yield from first_failure(subject, _trials(subject), _restless)


def _trials(subject: AdapterUnderTest) -> Iterator[Trial]:
    for number in range(subject.sizes.few):
        seed = f"{subject.sizes.seed}/edited/{number}"
        dice = Random(seed)
        edit = edited(make_world(dice, 8), make_world(dice, 8), dice)
        yield Trial(edit.after, edit.before, dice=dice, about=seed if number % 4 else "")


def _gained(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    made = _made(subject, trial)
    facts = compile_documents(documents_of(trial.world), Scope()).facts
    try:
        standing = subject.spec.evaluator(made.all_of(made.standing), facts)
    except UnmodelledError:
        return  # nobody can tell what somebody made of them
    asked = trial.requests or tuple(_requests(trial))
    for objects in _prefixes(subject, made, trial):
        judge = subject.spec.evaluator(objects, facts)
        for request, now in _more(judge, standing, asked):
            why = "somebody edited what stands, and what is written instead allows what that refuses"
            yield misjudged(EDITED, why, request, {"as it stands": Answer("deny"), "mesh": now})
    if trial.about == "":  # a guard that somebody took away is missed on a request that is granted
        wanted = subject.spec.evaluator(made.all_of(made.wanted), facts)
        for request, now in _more(subject.spec.evaluator(made.all_of(made.met), facts), wanted, asked):
            why = "what is written where nobody can tell what stands permits allows what is revoked"
            yield misjudged(EDITED, why, request, {"as it is wanted": Answer("deny"), "mesh": now})


def _more(judge: Evaluator, than: Evaluator, asked: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
    """The requests of which the first allows more; none of which the mesh's own words do not tell what an edit makes of them."""
    for request in asked:
        try:
            now, bound = judge.judge(request), than.judge(request)
        except UnmodelledError:
            continue
        if _RANK[bound.verdict] < _RANK[now.verdict]:
            yield request, now


def _requests(trial: Trial) -> Iterator[Request]:
    for values in (trial.before or (), trial.world):
        yield from near_requests(trial.dice, values, Semantics(documents_of(values)))


def _made(subject: AdapterUnderTest, trial: Trial) -> _Made:
    before, after = (
        desired_of(compile_documents(documents_of(values), Scope()), subject.mesh)
        for values in (trial.before or (), trial.world)
    )
    edits = HandEdits(trial.about, subject.family, (*_bodies(before), *_bodies(after)))
    keys = sorted(key for key in before if key.kind == "access")
    after |= {key: _without_grants(subject, before[key]) for key in keys if key not in after}
    # Of one unit: where several are edited, what one of them came to refuse may be what another one came to allow.
    whose = min(keys, key=lambda key: sha256(f"{trial.about}/{key}".encode()).digest(), default=None)
    standing = {key: before[key].translation.objects for key in keys}
    standing |= {key: tuple(edits.of(standing[key])) for key in keys if key == whose}
    wanted, meet = {key: after[key].translation.objects for key in keys}, _meet(subject)
    met = {key: tuple(meet(standing[key], wanted[key])) for key in keys}
    others = tuple(one for key, each in after.items() if key not in met for one in each.translation.objects)
    return _Made(standing, wanted, met, others)


def _without_grants(subject: AdapterUnderTest, unit: Desired) -> Desired:
    assert isinstance(unit.unit, Access)
    bare = Access(unit.unit.identity)
    return Desired(bare, subject.spec.translate(bare, subject.settings))


def _meet(subject: AdapterUnderTest) -> Meet:
    return subject.spec.meet or by_object(subject.spec.narrowest)


def _bodies(units: Mapping[UnitKey, Desired]) -> Iterator[NativeObject]:
    return (native for each in units.values() for native in each.translation.objects)


def _prefixes(subject: AdapterUnderTest, made: _Made, trial: Trial) -> Iterator[list[NativeObject]]:
    """What stands after each write on the way to what is to be written; last all of it."""
    owned = [(key, one) for key, each in made.standing.items() for one in each]
    goal = {key: Desired(None, Translation(each)) for key, each in made.met.items()}
    rules = Constraints(unproven=frozenset(goal), new_first=subject.spec.new_first)
    found = plan(subject.spec.name, goal, observed(owned), subject.spec.carry_over, rules).changes
    now: dict[ObjectRef, NativeObject] = {one.ref: one for _, one in owned}
    needs = {one.ref: one.needs for _, one in owned}
    for change in in_some_order(found, needs, trial.about):
        if change.op is Op.DELETE:
            del now[change.ref]
        else:
            assert change.after is not None
            now[change.ref] = change.after
        yield [*now.values(), *made.others]
    yield [*now.values(), *made.others]


def _restless(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    made, meet = _made(subject, trial), _meet(subject)
    for key, wanted in made.wanted.items():
        cases = {
            "objects stand as they are wanted, and are written otherwise": (wanted, wanted),
            "what was cut down once is cut down again": (made.met[key], wanted),
        }
        for why, (standing, asked) in cases.items():
            found = meet(standing, asked)
            if other := sorted(str(one.ref) for one in _unlike(standing, found)):
                yield PropertyFailure(AGAIN, why, by=(str(key), *other))


def _unlike(one: Sequence[NativeObject], other: Sequence[NativeObject]) -> list[NativeObject]:
    """The objects that are not the same in both; which SMI objects caused them does not count."""
    first, second = ({replace(each, origins=()) for each in some} for some in (one, other))
    return [*(first ^ second)]


CHECKS = (
    PropertyCheck(
        "edited", {EDITED: "of a unit that somebody edited, what is written allows nothing new"}, edited_units
    ),
    PropertyCheck("settled", {AGAIN: "what was cut down once stays as it is"}, settled),
)

"""Fields: each part of SMI is in some field of a native object, and `evaluate` reads each field that carries one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.errors import SmihubError, UnmodelledError
from hub.features import Support
from hub.model import Answer, Facts, NativeObject, Request, UnitKey
from hub.semantics import Semantics
from hub.testing.conformance.made import Made, make
from hub.testing.conformance.sentinels import SENTINELS, Sentinel
from hub.testing.conformance.smallest import Trial, smallest
from hub.testing.conformance.subject import (
    AdapterUnderTest,
    PropertyCheck,
    PropertyFailure,
    bodies_of,
    misjudged,
)
from hub.testing.counterexamples import Budget
from hub.testing.kit import read_documents
from hub.testing.search import raised
from hub.testing.worlds import documents_of

READS, CARRIED, UNKNOWN = "evaluate-reads-fields", "fields-are-carried", "evaluate-guesses-nothing"
_WORKS = (Support.FULL, Support.PARTIAL, Support.APPROXIMATE)
_NONSENSE = {"zqNonsense": [None]}
"""What no field of any mesh may hold."""
_UNKNOWN = "zqUnknown"
Path = tuple[Any, ...]
_Told = tuple[Answer, ...] | Exception


# ---------------------------------------------------------------------------------------------- what evaluate must read


def reads(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """A field that carries a sentinel, changed or deleted, changes an answer somewhere, or is an UnmodelledError."""
    seen, budget = _Seen(), Budget()
    for world in SENTINELS:
        if all(subject.features.get(feature) in _WORKS for feature in world.features):
            _read(subject, Trial(tuple(one.value for one in read_documents(world.text)), about=world), seen)
    for found in seen.first_of_each():
        yield smallest(subject, found.trial, found.failure, partial(_again, found), budget)


class _FieldFault(Struct, frozen=True):
    """A failure with its trial, and what it is about: a kind, field, part and edit; the part, where one is."""

    trial: Trial
    failure: PropertyFailure
    about: tuple[str, ...]
    part: Sentinel | None = None


class _Seen:
    """Which fields had an effect when they were edited, over all worlds, by kind, pattern, part and edit; the first failures.

    `kinds` are those of which an object was read at all, `idle` those of which one was not; `within` the inner objects to which a field
    was added.
    """

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.within: set[tuple[str, ...]] = set()
        self.idle: dict[str, _FieldFault] = {}
        self.read: set[tuple[str, ...]] = set()
        self.unread: dict[tuple[str, ...], _FieldFault] = {}
        self.failures: dict[tuple[str, ...], _FieldFault] = {}

    def all(self) -> Iterator[_FieldFault]:
        """Everything that fails in the worlds that were seen."""
        yield from self.failures.values()
        yield from (found for key, found in self.unread.items() if key not in self.read)
        yield from (found for kind, found in self.idle.items() if kind not in self.kinds)

    def first_of_each(self) -> Iterable[_FieldFault]:
        """The first failure of each property."""
        return {found.failure.property: found for found in reversed([*self.all()])}.values()


def _again(first: _FieldFault, subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    """The same of a smaller world, in which SMI grants the request still, and by the part that it is about, if it is about one."""
    seen, request, judge = _Seen(), trial.about.request, Semantics(documents_of(trial.world)).judge
    smi = judge(request)
    if smi.verdict != "allow":
        return
    if first.part and Semantics(documents_of(first.part.other_world(trial.world))).judge(request) == smi:
        return
    _read(subject, trial, seen)
    for found in seen.all():
        answers = (each.failure.answers.get("mesh") for each in (first, found))
        one, other = (None if answer is None else answer.verdict for answer in answers)
        if found.about == first.about and one == other:
            yield found.failure


def _read(subject: AdapterUnderTest, trial: Trial, seen: _Seen) -> None:
    world, made = trial.about, make(subject, documents_of(trial.world))
    if made.losses:
        return
    about = {native.ref for key in made.translations if _concerns(key) for native in made.translations[key].objects}
    objects = [native for native in bodies_of(made.translations) if native.ref in about]
    others = [native for native in bodies_of(made.translations) if native.ref not in about]
    try:
        bodies = [subject.family.view(one.body, one.ref.kind) for one in objects]
    except Exception as error:  # noqa: BLE001 - whatever the author's own functions raise
        why = f"the kit cannot read the bodies ({error}): define a fixture smihub_family that gives the FamilySpec"
        failure = PropertyFailure(CARRIED, why, trial.world, by=tuple(str(one.ref) for one in objects))
        seen.failures.setdefault(("bodies",), _FieldFault(trial, failure, ("bodies",)))
        return
    fields = _Fields(subject, (trial, made), (objects, others), bodies)
    for part in (part for part in world.parts if part.part != "caller" or not subject.spec.routes_only):
        places = [place for place in fields.places() if part.held_by(place.leaf)]
        if not places and part.part != "labels of the receiver":
            fields.nowhere(part, seen)
        for place in places:
            fields.edit(place, part, seen)
    fields.spoil(seen)
    fields.guessed(seen)


def _concerns(key: UnitKey) -> bool:
    """Whether a unit is of the receiver or Service that a world of sentinels is about."""
    return key.kind == "baseline" or key.name in {"zqapi", "zqroot"}


class _Place(Struct, frozen=True):
    """A field: the number of its object, its path there, what stands in it, and whether that is a key."""

    index: int
    path: Path
    leaf: Any
    key: bool = False


class _Fields:
    """The fields of a world's bodies, and what evaluate says when one is another; `objects` are those in question, and the rest."""

    def __init__(
        self,
        subject: AdapterUnderTest,
        world: tuple[Trial, Made],
        objects: tuple[Sequence[NativeObject], Sequence[NativeObject]],
        bodies: Sequence[Any],
    ) -> None:
        self._subject = subject
        self._trial, self._made = world
        self._name, self._asked = self._trial.about.name, tuple(self._trial.about.requests())
        self._objects, self._rest, self._bodies = list(objects[0]), list(objects[1]), list(bodies)
        self._normal = self._answers(self._objects)
        self._decided = _decisions(self._normal)

    def places(self) -> Iterator[_Place]:
        """Every leaf and key that may mean something."""
        for index, body in enumerate(self._bodies):
            for path, leaf, key in _leaves(body, ()):
                dotted = ".".join(map(str, path))
                if not any(fnmatchcase(dotted, pattern) for pattern in self._subject.meaningless):
                    yield _Place(index, path, leaf, key)

    def nowhere(self, part: Sentinel, seen: _Seen) -> None:
        """Note that no field carries a part."""
        why = f"{self._name}: no field of any native object carries the {part.part} ({part.value})"
        smi = Semantics(documents_of(self._trial.world)).judge(self._asked[0])
        answers = {"smi": smi, **self._said("mesh", self._normal)}
        failure = replace(misjudged(CARRIED, why, self._asked[0], answers), world=self._trial.world)
        seen.failures.setdefault((CARRIED, part.part), _FieldFault(self._trial, failure, (CARRIED, part.part), part))

    def edit(self, place: _Place, part: Sentinel, seen: _Seen) -> None:
        """Have this field be another, and be gone, and see what happens; a failure for what raises the wrong error."""
        edits = {"changed": _changed(self._bodies[place.index], place, part.changed_in(place.leaf))}
        edits["deleted"] = _deleted(self._bodies[place.index], place.path)
        for word, body in edits.items():
            objects = self._with(place.index, body)
            told = self._answers(objects)
            native = self._objects[place.index]
            where = f"{native.ref.kind} {'.'.join(map(str, place.path))}"
            key = (native.ref.kind, *_pattern(place.path), part.part, word)
            if isinstance(objects, Exception) and word == "changed" and not place.key:
                why = f"{self._name}: {where} carries the {part.part}, and its family cannot write another there ({objects})"
                about = (CARRIED, *key)
                seen.failures.setdefault(about, self._found(why, native, told, about, part))
            elif self._has_effect(told):
                seen.read.add(key)
            else:
                why = f"{self._name}: {where} carries the {part.part}; when it is {word}, evaluate answers the same"
                seen.unread.setdefault(key, self._found(why, native, told, key, part))
            if isinstance(told, Exception) and not isinstance(told, UnmodelledError):
                why = f"{self._name}: {where} {word}: evaluate raised {raised(told)}, not UnmodelledError"
                seen.failures.setdefault((UNKNOWN, *key), self._found(why, native, told, (UNKNOWN, *key), part))

    def spoil(self, seen: _Seen) -> None:
        """Put nonsense into every field, also those that carry no sentinel: what nobody looks at may open everything."""
        for place in self.places():
            native = self._objects[place.index]
            key = (native.ref.kind, *_pattern(place.path), "", "nonsense")
            if place.key or key in seen.read:
                continue
            told = self._answers(self._with(place.index, _changed(self._bodies[place.index], place, _NONSENSE)))
            if self._has_effect(told):
                seen.read.add(key)
            else:
                where = f"{native.ref.kind} {'.'.join(map(str, place.path))}"
                why = f"{self._name}: with nonsense in {where}, evaluate answers the same: it does not look at it"
                seen.unread.setdefault(key, self._found(why, native, told, key))

    def guessed(self, seen: _Seen) -> None:
        """Note each kind to which an unknown field can be added, or whose bytes can be spoiled, unnoticed."""
        for index, body in enumerate(self._bodies):
            native = self._objects[index]
            # An evaluator may read late: what decides none of these requests need not be read for them.
            if not self._has_effect(self._answers([*self._objects[:index], *self._objects[index + 1 :]])):
                self._look_at(index, seen)
                continue
            seen.kinds.add(native.ref.kind)
            spoiled = {
                "bytes that are no body": [replace(native, body=b"\xff{")],
                "an unknown kind": [self._of_no_kind(native, body)],
                "an unknown field": self._with_unknown_fields(native, body),
            }
            self._guessed_within(index, seen)
            for word, other in ((word, other) for word, others in spoiled.items() for other in others):
                told = self._answers([*self._objects[:index], other, *self._objects[index + 1 :]])
                if not isinstance(told, UnmodelledError):
                    said = f"raised {raised(told)}" if isinstance(told, Exception) else "answered"
                    why = f"{native.ref.kind} with {word}: evaluate {said}, and must raise UnmodelledError"
                    key = (UNKNOWN, native.ref.kind, word)
                    seen.failures.setdefault(key, self._found(why, native, told, key))

    def _guessed_within(self, index: int, seen: _Seen) -> None:
        """Note each inner object to which an unknown field can be added, with no other answer."""
        native = self._objects[index]
        for path in _inner(self._bodies[index], ()):
            dotted = ".".join(map(str, (*path, _UNKNOWN)))
            key = (UNKNOWN, native.ref.kind, *_pattern(path))
            if key in seen.within or any(fnmatchcase(dotted, pattern) for pattern in self._subject.meaningless):
                continue
            seen.within.add(key)
            other = deepcopy(self._bodies[index])
            _at(other, path)[_UNKNOWN] = True
            told = self._answers(self._with(index, other))
            if not self._has_effect(told):
                why = f"{native.ref.kind} with an unknown field in {'.'.join(map(str, path))}: evaluate answered, and must raise UnmodelledError"
                seen.failures.setdefault(key, self._found(why, native, told, key))

    def _look_at(self, index: int, seen: _Seen) -> None:
        """Note whether an object that decides nothing here is read."""
        native = self._objects[index]
        told = self._answers([*self._objects[:index], replace(native, body=b"\xff{"), *self._objects[index + 1 :]])
        if self._has_effect(told):
            seen.kinds.add(native.ref.kind)
        else:
            why = f"evaluate answers the same without the {native.ref.kind}, and where its bytes are no body: it does not look at it"
            found = self._found(f"{self._name}: {why}", native, told, ("idle", native.ref.kind))
            seen.idle.setdefault(native.ref.kind, found)

    def _with_unknown_fields(self, native: NativeObject, body: Any) -> list[NativeObject]:
        """The object with a field that nobody knows, as far as such a body can be written at all."""
        if not isinstance(body, dict):
            return []
        inner = body.get("spec")
        more = [
            {**body, _UNKNOWN: True},
            *([{**body, "spec": {**inner, _UNKNOWN: True}}] if isinstance(inner, dict) else []),
        ]
        try:
            return [replace(native, body=self._subject.family.body(one, native.ref.kind)) for one in more]
        except Exception:  # noqa: BLE001 - the author's own function, which knows every field that there is
            return []

    def _of_no_kind(self, native: NativeObject, body: Any) -> NativeObject:
        """The object under another kind, also where its body says which."""
        other = replace(native, ref=replace(native.ref, kind="ZqUnknown"))
        if isinstance(body, dict) and "kind" in body:
            return replace(other, body=self._subject.family.body({**body, "kind": "ZqUnknown"}, native.ref.kind))
        return other

    def _found(
        self, why: str, native: NativeObject, told: _Told, key: tuple[str, ...], part: Sentinel | None = None
    ) -> _FieldFault:
        """A failure about one native object: what is said of the request with the object as it is, and as it was edited."""
        answers = {**self._said("mesh", self._normal), **self._said("edited", told)}
        by = (str(native.ref), *map(str, native.origins))
        name = key[0] if key[0] in {UNKNOWN, CARRIED} else READS
        failure = PropertyFailure(name, why, self._trial.world, self._asked[0], answers, by)
        return _FieldFault(self._trial, failure, key, part)

    def _has_effect(self, told: _Told) -> bool:
        """Whether anything is decided otherwise than of the objects as they are."""
        return _decisions(told) != self._decided

    def _said(self, name: str, told: _Told) -> dict[str, Answer]:
        return {name: told[0]} if isinstance(told, tuple) else {}

    def _with(self, index: int, body: Any) -> list[NativeObject] | Exception:
        native = self._objects[index]
        try:
            raw = self._subject.family.body(body, native.ref.kind)
        except Exception as error:  # noqa: BLE001 - the author's own function; a body that cannot be written is none
            return UnmodelledError(str(error))
        return [*self._objects[:index], replace(native, body=raw), *self._objects[index + 1 :]]

    def _answers(self, objects: list[NativeObject] | Exception) -> _Told:
        """What evaluate decides on each request, or what it raises."""
        if isinstance(objects, Exception):
            return objects
        return _judged(self._subject, [*objects, *self._rest], self._made.compiled.facts, self._asked)


def _judged(
    subject: AdapterUnderTest, objects: Sequence[NativeObject], facts: Facts, asked: Sequence[Request]
) -> _Told:
    try:
        judge = subject.spec.evaluator(objects, facts)
        return tuple(judge.judge(request) for request in asked)
    except (SmihubError, Exception) as error:  # noqa: BLE001 - told to the author
        return error


def _decisions(told: _Told) -> object:
    return told if isinstance(told, Exception) else [replace(answer, by=(), losses=()) for answer in told]


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any, bool]]:
    """Path, content, and whether it is a key, of every leaf and every key."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key), key, True
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value, False


def _inner(value: Any, path: Path) -> Iterator[Path]:
    """The path of every object within this one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, dict):
            yield (*path, key)
        yield from _inner(item, (*path, key))


def _pattern(path: Path) -> Iterator[str]:
    """A path in which all entries of a list are one."""
    return ("*" if isinstance(one, int) else str(one) for one in path)


def _changed(body: Any, place: _Place, value: Any) -> Any:
    other = deepcopy(body)
    holder = _at(other, place.path[:-1])
    if place.key:
        holder[value] = holder.pop(place.path[-1])
    else:
        holder[place.path[-1]] = value
    return other


def _deleted(body: Any, path: Path) -> Any:
    other = deepcopy(body)
    del _at(other, path[:-1])[path[-1]]
    return other


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


CHECKS = (
    PropertyCheck(
        "fields",
        {
            READS: "evaluate reads every field that is written, and to the letter each that carries a caller, port, method, path, header or weight",
            CARRIED: "each of those is in some field of a native object",
            UNKNOWN: "evaluate raises UnmodelledError for what it does not know",
        },
        reads,
    ),
)

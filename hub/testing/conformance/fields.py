"""Fields: each part of SMI is in the native objects or a Loss, and `evaluate` reads each field that carries one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.errors import SmihubError, UnmodelledError
from hub.explain import Compiled
from hub.features import Support
from hub.model import Answer, Facts, Loss, NativeObject, Request, Translation, UnitKey
from hub.testing.conformance.sentinels import SENTINELS, Sentinel, SentinelWorld
from hub.testing.conformance.subject import (
    AdapterUnderTest,
    PropertyCheck,
    PropertyFailure,
    bodies_of,
)
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.worlds import documents_of, make_values

SILENT, FULL, REAL, SHAPE = "nothing-silent", "full-loses-nothing", "loss-is-real", "losses-say-what"
READS, CARRIED, UNKNOWN = "evaluate-reads-fields", "fields-are-carried", "evaluate-guesses-nothing"
_WORKS = (Support.FULL, Support.PARTIAL, Support.APPROXIMATE)
_CODE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
Path = tuple[Any, ...]


class _Made(Struct, frozen=True):
    """A world of sentinels with what the adapter makes of it."""

    world: SentinelWorld
    values: tuple[Any, ...]
    compiled: Compiled
    translations: Mapping[UnitKey, Translation]

    @property
    def told(self) -> tuple[Loss, ...]:
        """All losses."""
        return tuple(loss for each in self.translations.values() for loss in each.losses)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Those for which the mesh does something else than SMI says of what it governs."""
        return tuple(loss for loss in self.told if not loss.is_unenforced)


def _make(subject: AdapterUnderTest, world: SentinelWorld, text: str) -> _Made:
    documents = read_documents(text)
    made = compile_documents(documents, Scope())
    return _Made(world, tuple(one.value for one in documents), made, translate_units(made.units, subject.mesh))


# ------------------------------------------------------------------------------------------------------------- losses


def honesty(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Every part shows in the native objects or is a Loss; FULL loses nothing; what is lost is refused."""
    found: set[str] = set()
    for failure in _of_random_worlds(subject):
        found.add(failure.property)
        yield failure
    for world in SENTINELS:
        made = _make(subject, world, world.text)
        for failure in (
            *_silent(subject, made),
            *_lost(subject, made),
            *_shapeless(subject, made.values, made.compiled, made.translations),
        ):
            if failure.property not in found:
                found.add(failure.property)
                yield failure


def _of_random_worlds(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The first Loss of random worlds that does not say what is lost."""
    for number in range(subject.sizes.few):
        values = make_values(Random(f"{subject.sizes.seed}/losses/{number}"))
        made = compile_documents(documents_of(values), Scope())
        wrong = next(_shapeless(subject, tuple(values), made, translate_units(made.units, subject.mesh)), None)
        if wrong is not None:
            yield wrong
            return


def _silent(subject: AdapterUnderTest, made: _Made) -> Iterator[PropertyFailure]:
    for part in made.world.parts:
        other = _make(subject, made.world, made.world.text.replace(part.value, part.other))
        alike = {one.ref: one.body for one in bodies_of(made.translations)} == {
            one.ref: one.body for one in bodies_of(other.translations)
        }
        if alike and not (made.told or other.told):
            why = f"{made.world.name}: another {part.part} changes no native object, and nothing is reported as lost"
            yield PropertyFailure(SILENT, why, made.values, made.world.request)


def _lost(subject: AdapterUnderTest, made: _Made) -> Iterator[PropertyFailure]:
    """Losses where all is declared FULL; losses where nothing is refused."""
    lost = next((loss for loss in made.losses), None)
    if lost is None:
        return
    told = {feature: subject.spec.features.get(feature) for feature in made.world.features}
    if all(support is Support.FULL for support in told.values()):
        names = ", ".join(sorted(told))
        yield PropertyFailure(
            FULL, f'{made.world.name}: {names} is declared "full", and "{lost.code}" is lost', made.values
        )
    explainer, mesh = subject.explained(read_documents(made.world.text))
    answers = [explainer.explain(request) for request in made.world.requests()]
    pairs = [(smi, meshes[mesh.name]) for smi, meshes in answers]
    if all(
        (one.verdict, one.weights, one.route) == (other.verdict, other.weights, other.route) for one, other in pairs
    ):
        why = f'{made.world.name}: "{lost.code}" is reported as lost, and the mesh does all that SMI says'
        yield PropertyFailure(REAL, why, made.values, made.world.request, *pairs[0], pairs[0][1].by)


def _shapeless(
    subject: AdapterUnderTest,
    values: tuple[Any, ...],
    compiled: Compiled,
    translations: Mapping[UnitKey, Translation],
) -> Iterator[PropertyFailure]:
    """Losses that do not say what is lost, where, and what to do."""
    for key, translation in translations.items():
        for loss in translation.losses:
            told = (loss.message, loss.example, loss.remedy, loss.field)
            wrong = (
                "has no code" if not _CODE.fullmatch(loss.code) else "" if all(told) else "leaves out what it is about"
            )
            if not wrong and loss.origin not in compiled.units[key].origins:
                wrong = f"names {loss.origin}, which {key} is not made from"
            if not wrong and loss.is_unenforced and not subject.spec.routes_only:
                wrong = "says that access is not enforced, which is for adapters that govern routes alone"
            if wrong:
                yield PropertyFailure(SHAPE, f'the Loss "{loss.code}" {wrong}', values)


# ---------------------------------------------------------------------------------------------- what evaluate must read


def reads(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """A field that carries a sentinel, changed or deleted, changes an answer somewhere, or is an UnmodelledError."""
    seen = _Seen()
    for world in SENTINELS:
        if all(subject.spec.features.get(feature) in _WORKS for feature in world.features):
            made = _make(subject, world, world.text)
            for failure in () if made.losses else _read(subject, made, seen):
                seen.failures.setdefault(failure.property, failure)
    seen.failures.update((READS, failure) for key, failure in seen.unread.items() if key not in seen.read)
    yield from seen.failures.values()


class _Seen:
    """Which fields had an effect when they were edited, over all worlds, by kind, pattern, part and edit; the first failures."""

    def __init__(self) -> None:
        self.read: set[tuple[str, ...]] = set()
        self.unread: dict[tuple[str, ...], PropertyFailure] = {}
        self.failures: dict[str, PropertyFailure] = {}


def _read(subject: AdapterUnderTest, made: _Made, seen: _Seen) -> Iterator[PropertyFailure]:
    about = {native.ref for key in made.translations if _concerns(key) for native in made.translations[key].objects}
    objects = [native for native in bodies_of(made.translations) if native.ref in about]
    others = [native for native in bodies_of(made.translations) if native.ref not in about]
    try:
        bodies = [subject.bodies.decode(one.body, one.ref.kind) for one in objects]
    except Exception as error:  # noqa: BLE001 - whatever the author's own functions raise
        why = f"the kit cannot read the bodies ({error}): define a fixture smihub_bodies that gives a Bodies"
        yield PropertyFailure(CARRIED, why)
        return
    fields = _Fields(subject, made, (objects, others), bodies)
    parts = [part for part in made.world.parts if part.part != "caller" or not subject.spec.routes_only]
    for part in parts:
        places = [place for place in fields.places() if part.held_by(place.leaf)]
        if not places and part.part != "labels of the receiver":
            why = f"{made.world.name}: no field of any native object carries the {part.part} ({part.value})"
            yield PropertyFailure(CARRIED, why, made.values, made.world.request)
        for place in places:
            yield from fields.edit(place, part, seen)
    yield from fields.guessed()


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
        made: _Made,
        objects: tuple[Sequence[NativeObject], Sequence[NativeObject]],
        bodies: Sequence[Any],
    ) -> None:
        self._subject, self._made = subject, made
        self._objects, self._rest, self._bodies = list(objects[0]), list(objects[1]), list(bodies)
        self._asked = tuple(made.world.requests())
        self._normal = self._answers(self._objects)

    def places(self) -> Iterator[_Place]:
        """Every leaf and key that may mean something."""
        for index, body in enumerate(self._bodies):
            for path, leaf, key in _leaves(body, ()):
                dotted = ".".join(map(str, path))
                if not any(fnmatchcase(dotted, pattern) for pattern in self._subject.meaningless):
                    yield _Place(index, path, leaf, key)

    def edit(self, place: _Place, part: Sentinel, seen: _Seen) -> Iterator[PropertyFailure]:
        """Have this field be another, and be gone, and see what happens; a failure for what raises the wrong error."""
        edits = {"changed": _changed(self._bodies[place.index], place, part.changed_in(place.leaf))}
        edits["deleted"] = _deleted(self._bodies[place.index], place.path)
        for word, body in edits.items():
            told = self._answers(self._with(place.index, body))
            ref = self._objects[place.index].ref
            where = f"{ref.kind} {'.'.join(map(str, place.path))}"
            key = (ref.kind, *("*" if isinstance(one, int) else str(one) for one in place.path), part.part, word)
            if told != self._normal:
                seen.read.add(key)
            else:
                why = f"{self._made.world.name}: {where} carries the {part.part}; when it is {word}, evaluate answers the same"
                seen.unread.setdefault(key, self._failure(READS, why, ref))
            if isinstance(told, Exception) and not isinstance(told, UnmodelledError):
                why = f"{self._made.world.name}: {where} {word}: evaluate raised {told!r}, not UnmodelledError"
                yield self._failure(UNKNOWN, why, ref)

    def guessed(self) -> Iterator[PropertyFailure]:
        """A failure for each kind to which an unknown field can be added, or whose bytes can be spoiled, unnoticed."""
        for index, body in enumerate(self._bodies):
            native = self._objects[index]
            # An evaluator may read late: what decides none of these requests need not be read for them.
            if self._answers([*self._objects[:index], *self._objects[index + 1 :]]) == self._normal:
                continue
            spoiled = {
                "bytes that are no body": [replace(native, body=b"\xff{")],
                "an unknown kind": [self._of_no_kind(native, body)],
                "an unknown field": self._with_unknown_fields(native, body),
            }
            for word, other in ((word, other) for word, others in spoiled.items() for other in others):
                told = self._answers([*self._objects[:index], other, *self._objects[index + 1 :]])
                if not isinstance(told, UnmodelledError):
                    said = f"raised {told!r}" if isinstance(told, Exception) else "answered"
                    why = f"{native.ref.kind} with {word}: evaluate {said}, and must raise UnmodelledError"
                    yield self._failure(UNKNOWN, why, native.ref)

    def _with_unknown_fields(self, native: NativeObject, body: Any) -> list[NativeObject]:
        """The object with a field that nobody knows, as far as such a body can be written at all."""
        if not isinstance(body, dict):
            return []
        inner = body.get("spec")
        more = [
            {**body, "zqUnknown": True},
            *([{**body, "spec": {**inner, "zqUnknown": True}}] if isinstance(inner, dict) else []),
        ]
        try:
            return [replace(native, body=self._subject.bodies.encode(one, native.ref.kind)) for one in more]
        except Exception:  # noqa: BLE001 - the author's own function, which knows every field that there is
            return []

    def _of_no_kind(self, native: NativeObject, body: Any) -> NativeObject:
        """The object under another kind, also where its body says which."""
        other = replace(native, ref=replace(native.ref, kind="ZqUnknown"))
        if isinstance(body, dict) and "kind" in body:
            return replace(other, body=self._subject.bodies.encode({**body, "kind": "ZqUnknown"}, native.ref.kind))
        return other

    def _failure(self, name: str, why: str, ref: object) -> PropertyFailure:
        smi, mesh = None, self._normal[0] if isinstance(self._normal, tuple) else None
        return PropertyFailure(name, why, self._made.values, self._asked[0], smi, mesh, (str(ref),))

    def _with(self, index: int, body: Any) -> list[NativeObject] | Exception:
        native = self._objects[index]
        try:
            raw = self._subject.bodies.encode(body, native.ref.kind)
        except Exception as error:  # noqa: BLE001 - the author's own function; a body that cannot be written is none
            return UnmodelledError(str(error))
        return [*self._objects[:index], replace(native, body=raw), *self._objects[index + 1 :]]

    def _answers(self, objects: list[NativeObject] | Exception) -> tuple[Answer, ...] | Exception:
        """What evaluate decides on each request, or what it raises."""
        if isinstance(objects, Exception):
            return objects
        return _judged(self._subject, [*objects, *self._rest], self._made.compiled.facts, self._asked)


def _judged(
    subject: AdapterUnderTest, objects: Sequence[NativeObject], facts: Facts, asked: Sequence[Request]
) -> tuple[Answer, ...] | Exception:
    try:
        judge = subject.spec.evaluator(objects, facts)
        return tuple(replace(judge.judge(request), by=(), losses=()) for request in asked)
    except (SmihubError, Exception) as error:  # noqa: BLE001 - told to the author
        return error


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
        "losses",
        {
            SILENT: "each part of SMI is in a native object, or reported as lost",
            FULL: 'a feature that is declared "full" has no Loss',
            REAL: "what is reported as lost is refused",
            SHAPE: "a Loss has a code, an object of the unit, a field, a message, an example and a remedy",
        },
        honesty,
    ),
    PropertyCheck(
        "fields",
        {
            READS: "evaluate reads every field that carries a caller, port, method, path, header or weight",
            CARRIED: "each of those is in some field of a native object",
            UNKNOWN: "evaluate raises UnmodelledError for what it does not know",
        },
        reads,
    ),
)

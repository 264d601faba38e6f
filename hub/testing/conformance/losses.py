"""Losses: each part of SMI is in the native objects or a Loss, and every Loss is one, of what it says that it is of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from random import Random
from typing import Any, Literal

from msgspec.structs import replace

from hub.features import Support
from hub.model import Access, Loss, ObjectRef, Route, RoutePort, Unit, UnitKey
from hub.testing.compare import NEAREST
from hub.testing.conformance.asked import asked_by
from hub.testing.conformance.made import Made, make
from hub.testing.conformance.many import many_worlds
from hub.testing.conformance.sentinels import SENTINELS, SentinelWorld
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.counterexamples import shrink
from hub.testing.documents import translate_units
from hub.testing.kit import read_documents
from hub.testing.worlds import documents_of, make_values

SILENT, FULL, REAL, SHAPE = "nothing-silent", "full-loses-nothing", "loss-is-real", "losses-say-what"
_CODE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def honesty(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Every part shows in the native objects or is a Loss; FULL loses nothing; what is lost is refused. The first failure of each."""
    found: set[str] = set()
    for failure in _failures(subject):
        if failure.property not in found:
            found.add(failure.property)
            yield failure if failure.request is not None else _made_small(subject, failure)


def _made_small(subject: AdapterUnderTest, failure: PropertyFailure) -> PropertyFailure:
    """The failure with the smallest world in which a loss is still wrong in the same way."""

    def fails(kept: Sequence[Any], request: Any) -> bool:
        made = make(subject, documents_of(kept))
        return any(one.property == failure.property for one in _wrong_in(subject, made))

    return replace(failure, world=shrink(failure.world, None, fails))  # type: ignore[arg-type] # no request is asked


def _failures(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    for world in SENTINELS:
        made = make(subject, read_documents(world.text))
        yield from _silent(subject, world, made)
        yield from _lost(subject, world, made)
        yield from _shapeless(subject, made)
    for many in many_worlds():
        yield from _wrong_in(subject, make(subject, documents_of(many.values)), {NEAREST})
    for number in range(subject.sizes.few):
        made = make(subject, documents_of(make_values(Random(f"{subject.sizes.seed}/losses/{number}"))))
        yield from _wrong_in(subject, made)


def _wrong_in(subject: AdapterUnderTest, made: Made, but: Collection[str] = ()) -> Iterator[PropertyFailure]:
    """Losses that are wrong in themselves, in any world; those of the codes `but` are no fault of a feature.

    Weights of 64 bits are beyond every mesh: whose shares are the nearest that there are may call splits "full".
    """
    yield from _shapeless(subject, made)
    yield from _misnamed(subject, made)
    yield from _lost_in_full(subject, made, but)


# --------------------------------------------------------------------------------------------------- worlds of sentinels


def _silent(subject: AdapterUnderTest, world: SentinelWorld, made: Made) -> Iterator[PropertyFailure]:
    for part in world.parts:
        other = make(subject, read_documents(world.text.replace(part.value, part.other)))
        alike = {one.ref: one.body for one in bodies_of(made.translations)} == {
            one.ref: one.body for one in bodies_of(other.translations)
        }
        if alike and not (made.told or other.told):
            why = f"{world.name}: another {part.part} changes no native object, and nothing is reported as lost"
            yield PropertyFailure(SILENT, why, made.values, world.request)


def _lost(subject: AdapterUnderTest, world: SentinelWorld, made: Made) -> Iterator[PropertyFailure]:
    """Losses where all is declared FULL; losses where nothing is refused."""
    lost = next((loss for loss in made.losses), None)
    if lost is None:
        return
    told = {feature: subject.features.get(feature) for feature in world.features}
    if all(support is Support.FULL for support in told.values()):
        names = ", ".join(sorted(told))
        yield PropertyFailure(FULL, f'{world.name}: {names} is declared "full", and "{lost.code}" is lost', made.values)
    explainer, mesh = subject.explained(read_documents(world.text))
    answers = [explainer.explain(request) for request in world.requests()]
    pairs = [(smi, meshes[mesh.name]) for smi, meshes in answers]
    if all(
        (one.verdict, one.weights, one.route) == (other.verdict, other.weights, other.route) for one, other in pairs
    ):
        why = f'{world.name}: "{lost.code}" is reported as lost, and the mesh does all that SMI says'
        yield PropertyFailure(REAL, why, made.values, world.request, *pairs[0], pairs[0][1].by)


# ------------------------------------------------------------------------------------------------------------ any world


def _shapeless(subject: AdapterUnderTest, made: Made) -> Iterator[PropertyFailure]:
    """Losses that do not say what is lost, where, and what to do."""
    for key, loss in _losses(made):
        told = (loss.message, loss.example, loss.remedy, loss.field)
        wrong = "has no code" if not _CODE.fullmatch(loss.code) else "" if all(told) else "leaves out what it is about"
        if not wrong and loss.origin not in made.compiled.units[key].origins:
            wrong = f"names {loss.origin}, which {key} is not made from"
        if not wrong and loss.is_unenforced and not subject.spec.routes_only:
            wrong = "says that access is not enforced, which is for adapters that govern routes alone"
        if wrong:
            yield PropertyFailure(SHAPE, f'the Loss "{loss.code}" {wrong}', made.values)


def _losses(made: Made) -> Iterator[tuple[UnitKey, Loss]]:
    return ((key, loss) for key, translation in made.translations.items() for loss in translation.losses)


def _misnamed(subject: AdapterUnderTest, made: Made) -> Iterator[PropertyFailure]:
    """Losses of an object's grants alone that are told of another object, or of none, where there are more grants."""
    for key in sorted({key for key, _ in _losses(made)}):
        unit, told = made.compiled.units.get(key), {(one.code, one.origin) for one in made.translations[key].losses}
        origins = {grant.origin for grant in unit.grants} if isinstance(unit, Access) else set()
        for origin in sorted(origins) if len(origins) > 1 else ():
            assert isinstance(unit, Access)
            for loss in translate_units({key: _reduced(unit, origin)}, subject.mesh)[key].losses:
                if (loss.code, loss.origin) not in told:
                    why = f'the Loss "{loss.code}" is of {loss.origin} where {key} has no other grants, and where it has, of none or of others'
                    yield PropertyFailure(SHAPE, why, made.values)


def _reduced(unit: Access, origin: ObjectRef) -> Access:
    return replace(unit, grants=tuple(grant for grant in unit.grants if grant.origin == origin))


def _lost_in_full(subject: AdapterUnderTest, made: Made, but: Collection[str]) -> Iterator[PropertyFailure]:
    """Losses of objects that ask for nothing but features that are declared FULL, and are lost where nothing else is there."""
    for key, loss in _losses(made):
        unit = made.compiled.units.get(key)
        asked = frozenset() if unit is None else asked_by(unit, loss.origin)
        full = asked and all(subject.features.get(feature) is Support.FULL for feature in asked)
        full = full and loss.code not in but
        if unit is not None and full and not loss.is_unenforced and loss.code in _lost_alone(subject, key, unit, loss):
            why = f'"{loss.code}" is lost of {loss.origin}, which asks for {", ".join(sorted(asked))}, declared "full"'
            yield PropertyFailure(FULL, why, made.values)


def _lost_alone(subject: AdapterUnderTest, key: UnitKey, unit: Unit, loss: Loss) -> set[str]:
    """What is lost of an object alone, where no workload and no Service says anything about its ports that could be in the way."""
    if isinstance(unit, Access):
        unit = replace(_reduced(unit, loss.origin), ports=(), sliced=(), words=(), doubts=(), beyond=("none",))
    elif isinstance(unit, Route):
        unit = replace(unit, ports=tuple(_plain(port) for port in unit.ports))
    return {one.code for one in translate_units({key: unit}, subject.mesh)[key].losses}


def _plain(port: RoutePort) -> RoutePort:
    """The port as one that says HTTP or TCP in the plainest way."""
    word: Literal["http", "tcp"] = "tcp" if port.declared == "tcp" else "http"
    splits = (replace(one, backends=tuple(replace(each, word=word) for each in one.backends)) for one in port.splits)
    return replace(port, declared=word, word=word, splits=tuple(splits))


CHECKS = (
    PropertyCheck(
        "losses",
        {
            SILENT: "each part of SMI is in a native object, or reported as lost",
            FULL: 'a feature that is declared "full" has no Loss',
            REAL: "what is reported as lost is refused",
            SHAPE: "a Loss has a code, the object that is lost, a field, a message, an example and a remedy",
        },
        honesty,
    ),
)

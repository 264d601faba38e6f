"""Losses: each part of SMI is in the native objects or a Loss, and every Loss is one, of what it says that it is of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Literal

from msgspec.structs import replace

from hub.features import Support
from hub.model import Access, Answer, Loss, ObjectRef, Request, Route, RoutePort, Unit, UnitKey
from hub.testing.compare import NEAREST
from hub.testing.conformance.asked import asked_by
from hub.testing.conformance.made import Made, make
from hub.testing.conformance.many import ManyWorld, many_worlds
from hub.testing.conformance.sentinels import SENTINELS, SentinelWorld
from hub.testing.conformance.smallest import Trial, first_failures
from hub.testing.conformance.subject import (
    AdapterUnderTest,
    PropertyCheck,
    PropertyFailure,
    bodies_of,
    misjudged,
)
from hub.testing.documents import translate_units
from hub.testing.kit import read_documents
from hub.testing.worlds import documents_of, make_values

SILENT, FULL, REAL, SHAPE = "nothing-silent", "full-loses-nothing", "loss-is-real", "losses-say-what"
_CODE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def honesty(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Every part shows in the native objects or is a Loss; FULL loses nothing; what is lost is refused. The first failure of each."""
    yield from first_failures(subject, _trials(subject), _wrong_in)


def _trials(subject: AdapterUnderTest) -> Iterator[Trial]:
    for world in SENTINELS:
        yield Trial(tuple(one.value for one in read_documents(world.text)), about=world)
    yield from (Trial(many.values, about=many) for many in many_worlds())
    for number in range(subject.sizes.few):
        yield Trial(tuple(make_values(Random(f"{subject.sizes.seed}/losses/{number}"))))


def _wrong_in(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    """Parts of a world of sentinels that are silent or lost, and losses that are wrong in themselves, in any world."""
    made = make(subject, documents_of(trial.world))
    if isinstance(trial.about, SentinelWorld):
        yield from _silent(subject, trial.about, made)
        yield from _lost(subject, trial.about, made)
    yield from _shapeless(subject, made)
    yield from _misnamed(subject, made)
    # Weights of 64 bits are beyond every mesh: whose shares are the nearest that there are may call splits "full".
    yield from _lost_in_full(subject, made, {NEAREST} if isinstance(trial.about, ManyWorld) else ())


# --------------------------------------------------------------------------------------------------- worlds of sentinels


def _silent(subject: AdapterUnderTest, world: SentinelWorld, made: Made) -> Iterator[PropertyFailure]:
    """Parts of which SMI decides otherwise when they are other ones, and nothing that is written, or lost, differs."""
    for part in world.parts:
        values = part.other_world(made.values)
        other = make(subject, documents_of(values))
        if made.told or other.told or _bodies(made) != _bodies(other):
            continue
        answers = _answers(subject, values, world.request)
        if answers["smi"] != _answers(subject, made.values, world.request)["smi"]:
            why = f"{world.name}: another {part.part} changes no native object, and nothing is reported as lost"
            yield replace(misjudged(SILENT, why, world.request, answers), world=values, before=made.values)


def _bodies(made: Made) -> dict[ObjectRef, bytes]:
    return {one.ref: one.body for one in bodies_of(made.translations)}


def _answers(subject: AdapterUnderTest, values: Sequence[Any], request: Request) -> Mapping[str, Answer]:
    explainer, mesh = subject.explained(documents_of(values))
    smi, meshes = explainer.explain(request)
    return {"smi": smi, "mesh": meshes[mesh.name]}


def _lost(subject: AdapterUnderTest, world: SentinelWorld, made: Made) -> Iterator[PropertyFailure]:
    """Losses where all is declared FULL; losses where nothing is refused."""
    lost = next(((key, loss) for key, loss in _losses(made) if not loss.is_unenforced), None)
    if lost is None:
        return
    key, loss = lost
    explainer, mesh = subject.explained(documents_of(made.values))
    pairs = {request: explainer.explain(request) for request in world.requests()}
    smi, meshes = pairs[world.request]
    if smi.verdict != "allow" and not subject.spec.routes_only:
        return  # a smaller world, in which nothing is granted that could be lost
    unit = made.compiled.units.get(key)
    asked = (asked_by(unit, loss.origin) if unit else None) or world.features
    if all(subject.features.get(feature) is Support.FULL for feature in asked):
        why = f'{world.name}: {", ".join(sorted(asked))} is declared "full", and "{loss.code}" of {loss.origin} is lost'
        yield misjudged(FULL, why, world.request, {"smi": smi, "mesh": meshes[mesh.name]})
    if all(_decision(one) == _decision(other[mesh.name]) for one, other in pairs.values()):
        why = f'{world.name}: "{loss.code}" of {loss.origin} is reported as lost, and the mesh does all that SMI says'
        yield misjudged(REAL, why, world.request, {"smi": smi, "mesh": meshes[mesh.name]})


def _decision(answer: Answer) -> tuple[object, ...]:
    return answer.verdict, answer.weights, answer.route


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
            yield PropertyFailure(SHAPE, f'the Loss "{loss.code}" {wrong}', by=(str(loss.origin), str(key)))


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
                    yield PropertyFailure(SHAPE, why, by=(str(loss.origin),))


def _reduced(unit: Access, origin: ObjectRef) -> Access:
    return replace(unit, grants=tuple(grant for grant in unit.grants if grant.origin == origin))


def _lost_in_full(subject: AdapterUnderTest, made: Made, but: Collection[str]) -> Iterator[PropertyFailure]:
    """Losses of objects that ask for nothing but features that are declared FULL, and are lost where nothing else is there."""
    for key, loss in _losses(made):
        unit = made.compiled.units.get(key)
        asked = frozenset() if unit is None else asked_by(unit, loss.origin)
        full = (
            asked and loss.code not in but and all(subject.features.get(feature) is Support.FULL for feature in asked)
        )
        if unit is not None and full and not loss.is_unenforced and loss.code in _lost_alone(subject, key, unit, loss):
            why = f'"{loss.code}" is lost of {loss.origin}, which asks for {", ".join(sorted(asked))}, declared "full"'
            yield PropertyFailure(FULL, why, by=(str(loss.origin),))


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

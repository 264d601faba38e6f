"""Each emitted object by itself: against the vendor's schema, where the author names one, and against its own family.

What an API refuses, or drops, protects nobody; nor does what no sink writes, or what a file gives back as something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from random import Random

from msgspec.structs import replace

from hub.api import FamilySpec, NativeObject
from hub.errors import SmihubError
from hub.model import UnitKey
from hub.sinks.manifest import ObjectFiles
from hub.testing.conformance.made import make
from hub.testing.conformance.sentinels import SENTINELS
from hub.testing.conformance.smallest import Trial, first_failures
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.worlds import documents_of, make_values

VALID, VIEWED, WRITTEN = "valid-by-schema", "bodies-come-back", "files-come-back"
_Faults = Callable[[UnitKey, NativeObject], Iterable[str]]
"""What is wrong with an object of a unit."""


def valid(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The first object of small or random worlds that the schema does not take."""
    schema = subject.schema
    if schema is not None:
        yield from _first(subject, {VALID: lambda _, native: schema(native)})
        if not any(fault for native in _nonsense(subject) for fault in schema(native)):
            why = "the schema takes objects that are nothing but an unknown field: it looks at nothing"
            yield PropertyFailure(VALID, why)


def come_back(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The first object whose body, and the first whose file, its family does not give back as it is."""
    family = subject.family
    faults: dict[str, _Faults] = {VIEWED: lambda _, native: _viewed(family, native)}
    if family.files is not None:
        files = ObjectFiles(family.files, subject.spec.name, "kit")
        faults[WRITTEN] = lambda key, native: _written(files, key, native)
    yield from _first(subject, faults)


def _viewed(family: FamilySpec, native: NativeObject) -> Iterator[str]:
    """Where a view left something out, the kit could not change it there, and no plan could show it."""
    kind = native.ref.kind
    try:
        same = family.body(family.view(native.body, kind), kind) == native.body
    except Exception as error:  # noqa: BLE001 - whatever the author's own functions raise
        yield f'family "{family.name}" cannot read its body ({error!r}): define a fixture smihub_family, or install what brings it'
        return
    if not same:
        yield f'family "{family.name}" makes other bytes of what it reads there (FamilySpec.view and .body)'


def _written(files: ObjectFiles, key: UnitKey, native: NativeObject) -> Iterator[str]:
    try:
        files.stamp(native, key)
    except SmihubError as error:
        yield str(error)


def _first(subject: AdapterUnderTest, faults: Mapping[str, _Faults]) -> Iterator[PropertyFailure]:
    """The first failure of each property."""
    yield from first_failures(subject, _trials(subject), partial(_wrong, faults))


def _nonsense(subject: AdapterUnderTest) -> Iterator[NativeObject]:
    """The objects of the first world that has any, each with a body that no vendor's schema takes."""
    for world in SENTINELS:
        if made := bodies_of(make(subject, read_documents(world.text)).translations):
            yield from (replace(native, body=b'{"zqUnknown":[null]}') for native in made)
            return


def _trials(subject: AdapterUnderTest) -> Iterator[Trial]:
    for world in SENTINELS:
        yield Trial(tuple(one.value for one in read_documents(world.text)))
    for number in range(subject.sizes.few):
        yield Trial(tuple(make_values(Random(f"{subject.sizes.seed}/schema/{number}"))))


def _wrong(faults: Mapping[str, _Faults], subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    """What is wrong with any object of a world."""
    units = compile_documents(documents_of(trial.world), Scope()).units
    for key, made in translate_units(units, subject.mesh).items():
        for native in made.objects:
            by = (str(native.ref), *map(str, native.origins))
            for name, find in faults.items():
                yield from (PropertyFailure(name, f"{native.ref}: {fault}", by=by) for fault in find(key, native))


CHECKS = (
    PropertyCheck("schema", {VALID: "every object is as the vendor's schema has it, if one is named"}, valid),
    PropertyCheck(
        "bodies",
        {
            VIEWED: "the family reads every body, and makes the same bytes of what it read",
            WRITTEN: "where objects stand in files, every object is written as one, and read back as the same",
        },
        come_back,
    ),
)

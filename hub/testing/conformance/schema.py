"""Each emitted object by itself: against the vendor's schema, where the author names one, and against its own family.

What an API refuses, or drops, protects nobody; nor does what no sink writes, or what a file gives back as something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from hub.api import FamilySpec, NativeObject
from hub.errors import SmihubError
from hub.model import UnitKey
from hub.sinks.manifest import ObjectFiles
from hub.testing.conformance.sentinels import SENTINELS
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure
from hub.testing.counterexamples import shrink
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
    """A failure of each property for the first object with a fault, in the smallest world that has one."""
    left = dict(faults)
    for values in _worlds(subject):
        made = _objects(subject, values)
        for name in [name for name, find in left.items() if _wrong(made, find)]:
            find = left.pop(name)

            def wrong(kept: Sequence[Any], find: _Faults = find) -> str:
                return _wrong(_objects(subject, kept), find)

            small = shrink(values, None, lambda kept, _, wrong=wrong: bool(wrong(kept)))  # type: ignore[arg-type,misc] # no request is asked
            yield PropertyFailure(name, wrong(small), small)


def _nonsense(subject: AdapterUnderTest) -> Iterator[NativeObject]:
    """The objects of the first world that has any, each with a body that no vendor's schema takes."""
    for world in SENTINELS:
        made = _objects(subject, [one.value for one in read_documents(world.text)])
        if made:
            yield from (replace(native, body=b'{"zqUnknown":[null]}') for _, native in made)
            return


def _worlds(subject: AdapterUnderTest) -> Iterator[Sequence[Any]]:
    for world in SENTINELS:
        yield tuple(one.value for one in read_documents(world.text))
    for number in range(subject.sizes.few):
        yield make_values(Random(f"{subject.sizes.seed}/schema/{number}"))


def _objects(subject: AdapterUnderTest, values: Sequence[Any]) -> list[tuple[UnitKey, NativeObject]]:
    units = compile_documents(documents_of(values), Scope()).units
    made = translate_units(units, subject.mesh)
    return [(key, native) for key, translation in made.items() for native in translation.objects]


def _wrong(made: Sequence[tuple[UnitKey, NativeObject]], find: _Faults) -> str:
    """The first fault of an object; "" if there is none."""
    return next((f"{native.ref}: {fault}" for key, native in made for fault in find(key, native)), "")


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

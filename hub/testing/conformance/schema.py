"""Each emitted object against the vendor's schema, where the author names one: what an API refuses, or drops, protects nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from hub.testing.conformance.sentinels import SENTINELS
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.counterexamples import shrink
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.worlds import documents_of, make_values

VALID = "valid-by-schema"


def valid(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The first object of small or random worlds that the schema does not take."""
    for values in _worlds(subject) if subject.schema else ():
        if wrong := _wrong(subject, values):
            small = shrink(values, None, lambda kept, _: bool(_wrong(subject, kept)))  # type: ignore[arg-type] # no request is asked
            yield PropertyFailure(VALID, wrong, small)
            return


def _worlds(subject: AdapterUnderTest) -> Iterator[Sequence[Any]]:
    for world in SENTINELS:
        yield tuple(one.value for one in read_documents(world.text))
    for number in range(subject.sizes.few):
        yield make_values(Random(f"{subject.sizes.seed}/schema/{number}"))


def _wrong(subject: AdapterUnderTest, values: Sequence[Any]) -> str:
    """The first fault of an object of a world; "" if there is none."""
    assert subject.schema is not None
    units = compile_documents(documents_of(values), Scope()).units
    for native in bodies_of(translate_units(units, subject.mesh)):
        for fault in subject.schema(native):
            return f"{native.ref}: {fault}"
    return ""


CHECKS = (PropertyCheck("schema", {VALID: "every object is as the vendor's schema has it, if one is named"}, valid),)

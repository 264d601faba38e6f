"""The same object twice: in one source, in several, valid and invalid."""

from __future__ import annotations

from collections import Counter

import pytest

from hub.model import ObjectRef, Severity
from hub.store import Store
from hub.testing.documents import decoded

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: d}}
spec: {{ports: [{{port: {port}}}]}}
"""
REF = ObjectRef("", "Service", "d", "web")
NOTED = SERVICE.replace("namespace: d", "namespace: d, annotations: {{a: b}}").format(port=1)
ONE, TWO, BROKEN = SERVICE.format(port=1), SERVICE.format(port=2), SERVICE.format(port=-1)


def read(*copies: tuple[str, str]) -> Store:
    """A store that reads (source, text) copies, each in a file of its own."""
    store = Store("td")
    for index, (source, text) in enumerate(copies):
        store.upsert(source, f"{index}.yaml", decoded(text, source, f"{index}.yaml"))
    return store


@pytest.mark.parametrize(
    ("copies", "counts", "code"),
    [
        ((("a", ONE),), True, ""),
        ((("a", ONE), ("a", ONE)), True, "object.duplicate"),
        ((("a", ONE), ("a", TWO)), False, "object.unequal"),
        ((("a", ONE), ("b", ONE)), True, ""),
        ((("a", ONE), ("b", TWO)), False, "object.unequal"),
        ((("a", ONE), ("b", BROKEN)), False, "object.unequal"),
        ((("a", ONE), ("a", BROKEN)), False, "object.unequal"),
        ((("a", BROKEN), ("a", BROKEN)), False, "object.duplicate"),
        ((("a", ONE), ("b", ONE), ("b", ONE)), True, "object.duplicate"),
        ((("a", ONE), ("b", ONE), ("b", TWO)), False, "object.unequal"),
        ((("a", ONE), ("a", NOTED)), False, "object.unequal"),
    ],
)
def test_object_counts_unless_copies_dispute_it(copies: tuple[tuple[str, str], ...], counts: bool, code: str) -> None:  # noqa: FBT001 - a column
    """Equal copies are one, unequal ones (by what they say, not by what we read of it) none: each is told; of too many, one."""
    store = read(*copies)
    assert (store.service(REF) is not None) == counts
    told = Counter(
        problem.code for problem in store.problems() if problem.ref == REF and problem.code.startswith("object")
    )
    assert told == ({code: len(copies) if code == "object.unequal" else 1} if code else {})


@pytest.mark.parametrize(
    ("second", "severity", "expected"),
    [
        (ONE, Severity.WARNING, {"0.yaml": "a/1.yaml:1, a/2.yaml:1"}),
        (TWO, Severity.ERROR, {
            "0.yaml": "a/1.yaml:1, a/2.yaml:1",
            "1.yaml": "a/0.yaml:1, a/2.yaml:1",
            "2.yaml": "a/0.yaml:1, a/1.yaml:1",
        }),
    ],
    ids=["equal", "unequal"],
)  # fmt: skip
def test_copies_in_one_source_name_the_others(second: str, severity: Severity, expected: dict[str, str]) -> None:
    """Equal copies are told once; unequal ones, which take something away, at each, as places that one can open."""
    told = read(("a", ONE), ("a", second), ("a", ONE)).problems()
    assert {problem.severity for problem in told} == {severity}
    assert {problem.origin.file: problem.message.rpartition("also at ")[2] for problem in told} == expected


def test_message_of_many_copies_ends() -> None:
    """A generated folder may hold an object a thousand times."""
    (told,) = read(*[("a", ONE)] * 31).problems()
    assert told.message.endswith("a/10.yaml:1, a/11.yaml:1, a/12.yaml:1, a/13.yaml:1, a/14.yaml:1, a/15.yaml:1, a/16.yaml:1,"
        " a/17.yaml:1, a/18.yaml:1 and 20 more")  # fmt: skip


def test_object_counts_again_when_the_other_copy_goes() -> None:
    """Taking one of two copies away restores the other."""
    store = read(("a", ONE), ("a", TWO))
    store.upsert("a", "0.yaml", ())
    found = store.service(REF)
    assert found is not None
    assert found.ports[0].port == 2
    assert store.problems() == ()


def test_one_file_may_hold_both_copies() -> None:
    """Two documents of one file are as much copies as two files."""
    store = read(("a", ONE + "---" + TWO))
    assert store.service(REF) is None
    assert {problem.origin.line for problem in store.problems()} == {1, 2}


def test_origins_are_those_of_every_copy() -> None:
    """Whoever freezes a file finds the objects that stand in it."""
    store = read(("a", ONE), ("b", ONE))
    assert [origin.source for origin in store.origins(REF)] == ["a", "b"]

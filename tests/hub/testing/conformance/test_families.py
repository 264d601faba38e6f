"""A family that hides something, or that no sink could rely on, is found by the kit: it reads and writes bodies by the author's functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.istio.plugin import SPEC as ISTIO
from hub.api import FamilySpec, FileMark, UnmodelledError
from hub.sinks.kubernetes import KUBERNETES
from hub.testing.conformance import schema
from hub.testing.conformance.subject import JSON, AdapterUnderTest, PropertyFailure, Sizes
from hub.testing.conformance.suite import CHECKS, run
from tests.hub.testing.conformance.gate_mesh import SPEC

pytestmark = pytest.mark.thorough
KNOWN: dict[str, bytes] = {}


def hides_ports(body: bytes, kind: str) -> Any:
    """A view in which ports are not seen."""
    return {key: value for key, value in json.loads(body).items() if key != "ports"}


def fails(*_: Any) -> Any:
    """A function with a mistake."""
    raise KeyError("a mistake of the family")


def remembers(body: bytes, kind: str) -> Any:
    """A view for `gives_back`."""
    value = json.loads(body)
    KNOWN[json.dumps(value)] = body
    return value


def gives_back(value: Any, kind: str) -> bytes:
    """Bodies that it has seen, and no other."""
    try:
        return KNOWN[json.dumps(value)]
    except KeyError:
        raise UnmodelledError("it is not known") from None


def spaces(value: Any, kind: str) -> bytes:
    """JSON in another form."""
    return json.dumps(value).encode()


def found(subject: AdapterUnderTest, check: str) -> dict[str, PropertyFailure]:
    """The failures of one check, on few worlds."""
    (outcome,) = run(replace(subject, sizes=Sizes(worlds=40, few=4)), [one for one in CHECKS if one.name == check])
    return {failure.property: failure for failure in outcome.failures}


def test_a_good_family_passes() -> None:
    """With files, and without."""
    for subject in (AdapterUnderTest(SPEC), AdapterUnderTest(ISTIO, family=KUBERNETES)):
        assert found(subject, "bodies") == {}
        assert found(subject, "fields") == {}


def test_a_view_that_leaves_something_out_is_found() -> None:
    """In the smallest world in which there is something to leave out: plans would not show it, and the kit could not change it."""
    failures = found(AdapterUnderTest(SPEC, family=FamilySpec("gate", hides_ports)), "bodies")
    assert failures.keys() == {schema.VIEWED}
    assert 'family "gate" makes other bytes of what it reads there' in failures[schema.VIEWED].why
    assert [one["kind"] for one in failures[schema.VIEWED].world or ()] == ["Service"]


def test_a_family_that_cannot_read_a_body_is_told_what_to_do() -> None:
    """It may be that the family is not installed, and bodies are taken for JSON."""
    failures = found(AdapterUnderTest(SPEC, family=FamilySpec("gate", fails)), "bodies")
    assert "define a fixture smihub_family, or install what brings it" in failures[schema.VIEWED].why


def test_a_family_that_writes_no_changed_body_is_found() -> None:
    """Else every change of a field would be one that evaluate does not know, and nothing would be asked of it."""
    failures = found(AdapterUnderTest(SPEC, family=FamilySpec("gate", remembers, body=gives_back)), "fields")
    assert "its family cannot write another there (it is not known)" in failures["fields-are-carried"].why


@pytest.mark.parametrize("broken", ["loses the mark", "writes another", "fails"])
def test_a_form_of_files_that_no_sink_could_use_is_found(broken: str) -> None:
    """As the sink would refuse each object of the mesh."""
    form = KUBERNETES.files
    assert form is not None

    def writes_another(body: bytes, mark: FileMark | None) -> bytes:
        return form.write(body.replace(b"ALLOW", b"AUDIT"), mark)

    def loses_the_mark(body: bytes, mark: FileMark | None) -> bytes:
        return form.write(body, None)

    writes = {"loses the mark": loses_the_mark, "writes another": writes_another, "fails": fails}
    family = replace(KUBERNETES, files=replace(form, write=writes[broken]))
    failures = found(AdapterUnderTest(ISTIO, family=family), "bodies")
    assert failures.keys() == {schema.WRITTEN}
    assert " cannot be written as a file: " in failures[schema.WRITTEN].why


def test_the_default_is_json_in_one_form() -> None:
    """Keys in order, no blanks; what is other JSON is found."""
    assert JSON.body({"b": [1, "\u00e9"], "a": {}}, "Pass") == '{"a":{},"b":[1,"\u00e9"]}'.encode()
    spaced = FamilySpec("gate", JSON.view, body=spaces)
    assert found(AdapterUnderTest(SPEC, family=spaced), "bodies").keys() == {schema.VIEWED}

"""Case files: what they hold, and how a reading of SMI or a mesh is held against them.

A case file gives an input of YAML objects, requests, and what must come out. Its stages are: the input, every variant
(another way to write the same, same answers), and the steps, which edit the input one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, convert
from msgspec.structs import replace

from hub.model import Answer, Document, Origin, Problem, Reading, Request
from hub.requests import answer_to_json, decode, to_json
from hub.sources.yaml import load
from hub.testing.compare import NEAREST, disagreement

CASES = Path(__file__).parent / "cases"
FOUND = CASES / "found"

Judge = Callable[[Request], Answer]


class Check(Struct, frozen=True):
    """One request and the answer wanted: `expect` holds the parts of the JSON answer that must be equal.

    `narrower` names the loss codes for which a mesh may deny what SMI allows; empty: it must answer as SMI does.
    """

    request: Request
    expect: Mapping[str, Any]
    narrower: tuple[str, ...] = ()


class Stage(Struct, frozen=True):
    """One state of the input with its checks; `problems` are the parts of Problems that must be reported."""

    title: str
    documents: tuple[Document, ...]
    checks: tuple[Check, ...]
    problems: tuple[Mapping[str, str], ...] = ()


class Case(Struct, frozen=True):
    """A case file. `number` is 0 for cases that were found by random search; `source` says why this is the answer."""

    name: str
    number: int
    title: str
    source: str
    reading: Reading
    stages: tuple[Stage, ...]


class _Row(Struct, forbid_unknown_fields=True):
    request: dict[str, Any]
    expect: dict[str, Any]
    narrower: list[str] = []


class _Step(Struct, forbid_unknown_fields=True):
    title: str
    requests: list[_Row]
    put: str = ""
    delete: list[str] = []
    problems: list[dict[str, str]] = []


class _Variant(Struct, forbid_unknown_fields=True):
    name: str
    input: str


class _CaseFile(Struct, forbid_unknown_fields=True):
    title: str
    source: str
    input: str
    requests: list[_Row]
    case: int = 0
    reading: dict[str, str] = {}
    variants: list[_Variant] = []
    problems: list[dict[str, str]] = []
    steps: list[_Step] = []


def load_cases(directory: Path = CASES) -> tuple[Case, ...]:
    """Every `*.yaml` of a directory (not of those below it), by file name. Raises where a file is not a case."""
    return tuple(load_case(path) for path in sorted(directory.glob("*.yaml")))


def load_case(path: Path) -> Case:
    """One case file."""
    raw = convert(yaml.load(path.read_text("utf-8"), yaml.CSafeLoader), _CaseFile)
    return Case(
        name=path.stem,
        number=raw.case,
        title=raw.title,
        source=raw.source,
        reading=convert(raw.reading, Reading),
        stages=tuple(_stages(raw, path.name)),
    )


def _stages(raw: _CaseFile, file: str) -> Iterator[Stage]:
    checks, documents = _checks(raw.requests), read_documents(raw.input, file)
    yield Stage("input", documents, checks, tuple(raw.problems))
    for variant in raw.variants:
        yield Stage(f"variant: {variant.name}", read_documents(variant.input, file), checks)
    for step in raw.steps:
        documents = _edited(documents, read_documents(step.put, file), step.delete)
        yield Stage(f"step: {step.title}", documents, _checks(step.requests), tuple(step.problems))


def read_documents(text: str, file: str = "") -> tuple[Document, ...]:
    """The objects of a YAML text, as the hub's own reader sees them."""
    return load(text.encode(), Origin("case", file))


def _checks(rows: Iterable[_Row]) -> tuple[Check, ...]:
    return tuple(Check(decode(row.request).request, row.expect, tuple(row.narrower)) for row in rows)


def _edited(documents: Sequence[Document], put: Sequence[Document], deleted: Sequence[str]) -> tuple[Document, ...]:
    replaced = {_key(one) for one in put}
    unknown = set(deleted) - {_name(one) for one in documents}
    if unknown:
        raise ValueError(f"the step deletes what is not there: {', '.join(sorted(unknown))}")
    kept = [one for one in documents if _key(one) not in replaced and _name(one) not in deleted]
    return (*kept, *put)


def _key(document: Document) -> tuple[str, str]:
    value: Any = document.value
    return str(value["apiVersion"]).rpartition("/")[0], _name(document)


def _name(document: Document) -> str:
    value: Any = document.value
    return f"{value['kind']}/{value['metadata'].get('namespace', 'default')}/{value['metadata']['name']}"


# ------------------------------------------------------------------------------------------------------------ judging


def wrong_answers(stage: Stage, judge: Judge) -> tuple[str, ...]:
    """Hold a reading of SMI against a stage; one line for every request that it answers otherwise."""
    return tuple(line for check in stage.checks for line in _wrong(check, judge(check.request)))


def _wrong(check: Check, answer: Answer) -> Iterator[str]:
    given = answer_to_json(answer)
    for part, wanted in check.expect.items():
        got = given.get(part)
        if not (set(wanted) <= set(got or ()) if part == "by" else wanted == got):
            yield f"{to_json(check.request)}: {part} is {got!r}, not {wanted!r}; decided by {list(answer.by)}"


def wrong_mesh_answers(stage: Stage, judge: Judge, smi: Judge) -> tuple[str, ...]:
    """Hold a mesh against a stage: as SMI, except that it may deny where the check names one of its loss codes.

    Where a mesh hands on another path than was sent, SMI's reading of that path is what it is held against.
    """
    return tuple(line for check in stage.checks for line in _mesh_wrong(check, judge(check.request), smi))


def _mesh_wrong(check: Check, answer: Answer, smi: Judge) -> Iterator[str]:
    if answer.received is not None:
        received = replace(check.request, path=answer.received)
        check = Check(received, answer_to_json(smi(received)), check.narrower)
        answer = replace(answer, received=None)
    excused = answer.verdict == "deny" and bool(set(check.narrower) & set(answer.losses))
    wanted = {part: value for part, value in check.expect.items() if part != "by"}
    if excused:
        return
    if "weights" in wanted and NEAREST in answer.losses and not disagreement(check.request, smi(check.request), answer):
        wanted["weights"] = answer_to_json(answer)["weights"]
    for line in _wrong(Check(check.request, wanted), answer):
        yield f"{line}; losses {list(answer.losses)}"


def missing_problems(stage: Stage, problems: Iterable[Problem]) -> tuple[str, ...]:
    """The Problems that a stage wants and that were not reported."""
    reported = [{"code": one.code, "ref": str(one.ref), "field": one.field} for one in problems]
    return tuple(
        f"no Problem {dict(wanted)!r} among {reported!r}"
        for wanted in stage.problems
        if not any(wanted.items() <= one.items() for one in reported)
    )

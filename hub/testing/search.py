"""Searches random worlds for a request on which the mesh and SMI must not stand together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hub.model import Answer, Document, Reading, Request
from hub.testing.compare import disagreement
from hub.testing.conditions import Without, answers_without
from hub.testing.counterexamples import Disagreement, shrink
from hub.testing.worlds import documents_of

Explain = Callable[[Request], tuple[Answer, Mapping[str, Answer]]]
Compile = Callable[[tuple[Document, ...], Reading], Explain]
"""From documents to a function that gives SMI's answer and each mesh's."""


Excusing = Callable[[tuple[Document, ...], Reading], Without]
"""From documents to SMI's answers without what a mesh reports as lost."""


def find(
    values: Sequence[Any],
    requests: Iterable[Request],
    reading: Reading,
    compiling: Compile,
    excusing: Excusing = answers_without,
) -> Disagreement | None:
    """The first disagreement in a world, with the world made small; None if there is none."""
    asked, how = tuple(requests), (reading, compiling, excusing)
    for request, why in _disagreements(values, asked, how):
        word = _word(why)

        def fails(kept: Sequence[Any], request: Request = request, word: str = word) -> bool:
            return any(_word(reason) == word for _, reason in _disagreements(kept, (request,), how))

        small = tuple(shrink(list(values), fails))
        reason = next((reason for _, reason in _disagreements(small, (request,), how)), why)
        return Disagreement(small, request, reason, reading)
    return None


def _word(why: str) -> str:
    return why.partition(":")[0]


def _disagreements(
    values: Sequence[Any], requests: Iterable[Request], how: tuple[Reading, Compile, Excusing]
) -> Iterator[tuple[Request, str]]:
    """Every request that is judged differently; what raises is a disagreement too, whatever it raises."""
    asked, (reading, compiling, excusing) = tuple(requests), how
    try:
        documents = documents_of(values)
        explain = compiling(documents, reading)
    except Exception as error:  # noqa: BLE001 - the property is that nothing raises
        yield from ((request, f"raised while compiling: {raised(error)}") for request in asked[:1])
        return
    yield from find_in(explain, asked, excusing(documents, reading))


def find_in(explain: Explain, requests: Iterable[Request], without: Without) -> Iterator[tuple[Request, str]]:
    """Every request on which SMI and a mesh must not stand together, and why.

    `without` gives SMI's answers where conditions are false that a mesh may report as lost.
    """
    for request in requests:
        why = _judged(explain, request, without)
        if why:
            yield request, why


def raised(error: BaseException) -> str:
    """An exception, and where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return repr(error)
    code = trace.tb_frame.f_code
    return f"{error!r} in {code.co_name}, {Path(code.co_filename).name}:{trace.tb_lineno}"


def _judged(explain: Explain, request: Request, without: Without) -> str:
    try:
        smi, meshes = explain(request)
    except Exception as error:  # noqa: BLE001 - the property is that nothing raises
        return f"raised while judging: {raised(error)}"
    return next((why for mesh in meshes.values() if (why := _against(explain, request, smi, mesh, without))), "")


def _against(explain: Explain, request: Request, smi: Answer, mesh: Answer, without: Without) -> str:
    """Why SMI and a mesh must not stand together: SMI judges the path that an application receives."""
    if mesh.received is not None:
        request = replace(request, path=mesh.received)
        smi = explain(request)[0]
    why = disagreement(request, smi, mesh)
    if not why or not mesh.losses:
        return why
    return "" if any(not disagreement(request, other, mesh) for other in without(request, mesh.losses)) else why

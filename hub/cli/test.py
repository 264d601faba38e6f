"""`smihub test`: whether SMI and every mesh answer requests as files of expectations say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from hub.cli.context import (
    OUT,
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    OutputOption,
    emit,
    line,
    print_lines,
    run_now,
)
from hub.cli.data import SCHEMA
from hub.cli.explained import DomainOption, FolderOption, Sources, explained
from hub.cli.show import counted
from hub.cli.verdict import near_text
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.expect.judge import SMI, Failure, Tested, judge
from hub.expect.junit import junit
from hub.expect.read import check_names, read, shares_text
from hub.requests import near_to_json, to_json


def run_tests(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Expectations in YAML, or - for standard input.")],
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write a JUnit report to this file.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only print failures.")] = False,
    source: FolderOption = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    domain: DomainOption = "",
    output: OutputOption = Output.TEXT,
) -> Exit:
    """Hold what SMI and every mesh say of requests against expectations. Exit code 0 if all hold, 1 if one fails."""
    if "-" in files and str(source) == "-":
        raise ConfigError("FILE and --source cannot both be standard input; use a file for one of them")
    # Read before the sources: a typing error in a test file is then told at once, not after a long compilation.
    expectations = [one for name in dict.fromkeys(files) for one in read(name)]
    found = run_now(explained(Sources(source, config, domain, tuple(mesh or ()))))
    meshes = sorted({name for each in found.explainers.values() for name in each.meshes})
    check_names(expectations, meshes, [*found.explainers])
    outcomes = [judge(each, found.explainers) for each in expectations]
    if junit_file is not None:
        _write(junit_file, junit(outcomes, _failure_text))
    failed = [each for each in outcomes if each.failures]
    _show(outcomes, failed, output, quiet=quiet)
    return Exit.ERROR if failed or not found.whole else Exit.SAME


def _write(path: Path, report: bytes) -> None:
    try:
        path.write_bytes(report)
    except OSError as error:
        raise ConfigError(f'--junit "{path}": {(error.strerror or "unusable").lower()}; choose another file') from None


def _show(outcomes: Sequence[Tested], failed: Sequence[Tested], output: Output, *, quiet: bool) -> None:
    if output is not Output.TEXT:
        shown = failed if quiet else outcomes
        summary = {"total": len(outcomes), "passed": len(outcomes) - len(failed), "failed": len(failed)}
        emit({"schema": SCHEMA, "summary": summary, "tests": [_data(each) for each in shown]}, output)
        return
    print_lines(map(_line, failed))
    if not quiet:
        files = len({one.expectation.file.name for one in outcomes})
        verdict = (f"{len(failed)} failed", "bold red") if failed else ("all passed", "bold green")
        OUT.print(line((f"{counted(len(outcomes), 'test')} in {counted(files, 'file')}: ", "bold"), verdict))


def _line(outcome: Tested) -> Text:
    one = outcome.expectation
    named = f"{one.name}: {one.asked}" if one.name else one.asked
    return line(f"{one.file.name}:{one.line}: ", ("FAIL", "bold red"), f" {named}: {_failure_text(outcome)}")


def _failure_text(outcome: Tested) -> str:
    """What was expected, and who says what instead; those of one answer together, with what explains it."""
    alike: dict[tuple[str, str], list[Failure]] = {}
    for failure in outcome.failures:
        alike.setdefault((str(failure.expected), _answer(failure)), []).append(failure)
    return " | ".join(
        f"expected {expected}, {' and '.join(map(_who, found))} {'say' if len(found) > 1 else 'says'} {answer}{_why(found)}"
        for (expected, answer), found in alike.items()
    )


def _who(failure: Failure) -> str:
    who = failure.who if failure.who == SMI else f"mesh {failure.who}"
    return f'{who} (cluster "{failure.cluster}")' if failure.cluster else who


def _answer(failure: Failure) -> str:
    answer = failure.answer
    if failure.expected.verdict == answer.verdict:
        return shares_text(answer.weights or {})
    if answer.verdict == "mixed":
        return f"mixed ({shares_text(answer.backends or {})})"
    if answer.verdict == "ungoverned":
        return 'ungoverned (outside of "governed" in smihub.yaml; every caller that can reach it is accepted)'
    if answer.received is not None:
        return f'{answer.verdict} (the application receives "{answer.received}")'
    return answer.verdict


def _why(alike: Sequence[Failure]) -> str:
    """The near miss of what is denied, what grants the rest, and why a mesh does something else than SMI."""
    if near := next((each.near for each in alike if each.near), ()):
        return f"; {near_text(near[0])}"
    if reasons := list(dict.fromkeys(reason for each in alike for reason in each.reasons)):
        return f"; {'; '.join(reasons)}"
    by = next((each.answer.by for each in alike if each.who == SMI), ())
    return f"; by {', '.join(by)}" if by else ""


# --------------------------------------------------------------------------- as data


def _data(outcome: Tested) -> dict[str, Any]:
    one = outcome.expectation
    about = {"file": one.file.name, "line": one.line, "name": one.name, "request": to_json(one.request)}
    return {**about, "passed": not outcome.failures, "failures": [_failure_data(each) for each in outcome.failures]}


def _failure_data(failure: Failure) -> dict[str, Any]:
    answer = failure.answer
    who = {"mesh": None if failure.who == SMI else failure.who, "cluster": failure.cluster}
    given = {"verdict": answer.verdict, "by": list(answer.by), "weights": answer.weights, "backends": answer.backends}
    why = {"near": near_to_json(failure.near), "reasons": list(failure.reasons)}
    return {**who, "expected": failure.expected.shares or failure.expected.verdict, **given, **why}

"""Run the mutants: each dangerous change of mutants.yaml must make the proof fail.

    python tests/mutants/run.py [--only WORD] [--jobs N] [--suite all|cases|kit|regex] [--list FILE]

Every mutant is applied in a temporary copy of the tree, never in the working tree. First the copy must pass without
any change. A mutant counts as caught only if tests fail (exit 1 of pytest), not if the copy cannot be imported.
Exit 0: all caught. 1: a mutant survived, or no longer fits the source.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import yaml
from msgspec import Struct, convert

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CASES = "tests/hub/test_cases.py"
KIT = (
    "tests/adapters/istio/test_conformance.py",
    "tests/adapters/vm/test_conformance.py",
    "tests/hub/test_never_wider.py",
)
SUITES = {"all": (CASES, *KIT), "cases": (CASES,), "kit": KIT, "regex": ("tests/hub/regex",)}
COPIED = ("hub", "adapters", "tests", "bench", "deploy", "docs", ".ci", "pyproject.toml", "constraints.txt", "Makefile")
LIMIT_S = 900


class Mutant(Struct, frozen=True, forbid_unknown_fields=True):
    """One small change: in `file`, the only occurrence of `old` becomes `new`; `why` says what it would do to users.

    `tests`, where given, are the ones that must notice it, in place of the suite.
    """

    name: str
    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...] = ()


class Result(Struct, frozen=True):
    """What became of a mutant: caught or not, by which test, in how many seconds."""

    mutant: Mutant
    caught: bool
    how: str
    seconds: float


def load_mutants(path: Path = HERE / "mutants.yaml") -> tuple[Mutant, ...]:
    """The list, in the order of the file."""
    return tuple(convert(yaml.load(path.read_text("utf-8"), yaml.CSafeLoader), list[Mutant]))


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The text of the file with the change in it. Raises ValueError where it does not fit exactly once."""
    text = (root / mutant.file).read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f'{mutant.name}: "{mutant.old}" is {text.count(mutant.old)} times in {mutant.file}, not once')
    return text.replace(mutant.old, mutant.new)


def judge(mutant: Mutant | None, suite: Sequence[str]) -> tuple[int, str]:
    """Run the suite in a copy, with the change if there is one; pytest's exit code and the last lines it printed."""
    with tempfile.TemporaryDirectory(prefix="smihub-mutant-") as folder:
        copy = Path(folder)
        _copy_tree(copy)
        if mutant is not None:
            (copy / mutant.file).write_text(mutated(mutant), "utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *suite]
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return -1, f"no end within {LIMIT_S} s"
        return done.returncode, "\n".join(done.stdout.strip().splitlines()[-3:] + done.stderr.strip().splitlines()[-3:])


def _copy_tree(copy: Path) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
        else:
            shutil.copy(ROOT / name, copy / name)


def run_one(mutant: Mutant, suite: Sequence[str]) -> Result:
    """Judge one mutant."""
    begun = monotonic()
    try:
        code, said = judge(mutant, mutant.tests or suite)
    except (OSError, ValueError) as error:
        return Result(mutant, caught=False, how=str(error), seconds=0.0)
    failed = next((line for line in said.splitlines() if line.startswith("FAILED")), said)
    return Result(mutant, code == 1, failed if code == 1 else f"exit {code}: {said}", monotonic() - begun)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all, print one line each and a sum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="run only mutants whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--suite", choices=SUITES, default="all", help="the case files, the conformance kit, or both")
    parser.add_argument("--list", default="mutants.yaml", help="the list to take them from, a file beside this one")
    options = parser.parse_args(arguments)
    suite = SUITES[options.suite]
    chosen = [mutant for mutant in load_mutants(HERE / options.list) if options.only in mutant.name]
    needed = {test for mutant in chosen for test in mutant.tests or suite}
    files = [sorted(test for test in needed if test.partition("::")[0] == file) for file in sorted(_files(needed))]
    with ThreadPoolExecutor(options.jobs) as pool:
        unsound = [said for code, said in pool.map(judge, [None] * len(files), files) if code != 0]
        if unsound:
            print("the tree itself does not pass, so no mutant proves anything", *unsound, sep="\n")  # noqa: T201 - a script
            return 1
        results = [_told(result) for result in pool.map(run_one, chosen, [suite] * len(chosen))]
    survivors = [result.mutant.name for result in results if not result.caught]
    print(  # noqa: T201 - a script
        f"{len(results) - len(survivors)} of {len(results)} mutants caught"
        + "".join(f"; {n} survived" for n in survivors)
    )
    return 1 if survivors or not results else 0


def _files(tests: Iterable[str]) -> set[str]:
    return {test.partition("::")[0] for test in tests}


def _told(result: Result) -> Result:
    word = "caught  " if result.caught else "SURVIVED"
    print(f"{word} {result.mutant.name} ({result.seconds:.0f} s): {result.how}", flush=True)  # noqa: T201 - a script
    return result


if __name__ == "__main__":
    sys.exit(main())

"""Fail unless every test report names tests that really ran; suites on real servers may not skip a single one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

REAL = frozenset({"envoy", "istio", "consul", "browser"})
"""Reports of suites that need real servers, or a browser."""


def total(suites: Sequence[ET.Element], key: str) -> int:
    """The sum of one count over all suites of a report."""
    return sum(int(suite.get(key, "0")) for suite in suites)


def complaint(report: Path) -> str | None:
    """What is wrong with one junit report, or None."""
    if not report.is_file():
        return f"{report}: there is no report"
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - written by our own pytest just now
    ran, skipped, failures, errors = (total(suites, key) for key in ("tests", "skipped", "failures", "errors"))
    seconds = sum(float(suite.get("time", "0")) for suite in suites)
    print(f"{report.stem}: {ran} tests, {skipped} skipped, {seconds:.0f} s")
    if failures + errors:
        return f"{report}: {failures + errors} failed"
    if ran - skipped <= 0:
        return f"{report}: no test ran"
    if skipped and report.stem in REAL:
        return f"{report}: {skipped} tests on real servers were skipped"
    return None


def main(reports: Sequence[str]) -> int:
    """Exit code: 1 if any report is wrong, else 0."""
    complaints = [text for report in reports if (text := complaint(Path(report)))]
    for text in complaints:
        print(text, file=sys.stderr)
    return 1 if complaints or not reports else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Outcomes as a JUnit report, which CI systems show beside a change.

Shape: the elements testsuites, testsuite, testcase and failure, as in https://github.com/testmoapp/junitxml. What XML does not allow
(https://www.w3.org/TR/xml/#charsets) stands there as escapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from hub.expect.judge import Tested
from hub.model import printable


def junit(outcomes: Sequence[Tested], describe: Callable[[Tested], str]) -> bytes:
    """The report: a suite for each file, a case for each expectation; `describe` is what a failed one says, on one line."""
    root = ET.Element("testsuites", {"name": "smihub test", **_counts(outcomes)})
    for name, found in groupby(outcomes, key=lambda each: each.expectation.file.name):
        cases = list(found)
        suite = ET.SubElement(root, "testsuite", {"name": printable(name), **_counts(cases)})
        for outcome in cases:
            _case(suite, outcome, describe)
    ET.indent(root)
    report: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return report + b"\n"


def _case(suite: ET.Element, outcome: Tested, describe: Callable[[Tested], str]) -> None:
    one = outcome.expectation
    name = f"{one.name}: {one.asked}" if one.name and one.several else one.name or one.asked
    file = printable(one.file.name)
    case = ET.SubElement(suite, "testcase", name=printable(name), classname=file, file=file)
    if outcome.failures:
        case.set("line", str(one.line))
        ET.SubElement(case, "failure", message=printable(describe(outcome)), type="unexpected")


def _counts(outcomes: Sequence[Tested]) -> dict[str, str]:
    failures = sum(bool(each.failures) for each in outcomes)
    return {"tests": str(len(outcomes)), "failures": str(failures), "errors": "0"}

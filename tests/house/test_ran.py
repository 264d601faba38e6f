"""CI's check that tests really ran."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "ran.py"


def complaint(folder: Path, name: str, **counts: int) -> str:
    """What the script says about a report with these counts; "" if it is content."""
    numbers = " ".join(f'{key}="{value}"' for key, value in counts.items())
    report = folder / f"{name}.xml"
    report.write_text(f'<testsuites><testsuite time="1.5" {numbers}/></testsuites>', encoding="utf-8")
    done = subprocess.run([sys.executable, SCRIPT, report], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if done.stderr else 0)
    return done.stderr.strip().partition(": ")[2]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "counts", "said"),
    [
        ("fast", {"tests": 5, "skipped": 1, "failures": 0, "errors": 0}, ""),
        ("envoy", {"tests": 5, "skipped": 0, "failures": 0, "errors": 0}, ""),
        ("envoy", {"tests": 5, "skipped": 1, "failures": 0, "errors": 0}, "1 tests on real servers were skipped"),
        ("istio", {"tests": 5, "skipped": 2, "failures": 0, "errors": 0}, "2 tests on real servers were skipped"),
        ("fast", {"tests": 0, "skipped": 0, "failures": 0, "errors": 0}, "no test ran"),
        ("fast", {"tests": 5, "skipped": 5, "failures": 0, "errors": 0}, "no test ran"),
        ("fast", {"tests": 5, "skipped": 0, "failures": 1, "errors": 0}, "1 failed"),
        ("fast", {"tests": 5, "skipped": 0, "failures": 0, "errors": 2}, "2 failed"),
    ],
)
def test_a_report_is_believed_only_if_tests_ran(tmp_path: Path, name: str, counts: dict[str, int], said: str) -> None:
    """Skipped Envoys, nothing run, and failures are all refused."""
    assert complaint(tmp_path, name, **counts) == said


def test_a_missing_report_is_refused(tmp_path: Path) -> None:
    """A suite that never started wrote none; no report at all is no pass either."""
    for arguments in ([tmp_path / "no.xml"], []):
        assert subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, check=False).returncode == 1

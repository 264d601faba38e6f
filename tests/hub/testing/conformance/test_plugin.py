"""The pytest plugin as an author meets it: one file, exit codes, a certificate; and what it costs those who have no adapter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hub.testing.conformance.suite import CHECKS, PROPERTIES

pytestmark = pytest.mark.thorough
FILE = """
import pytest
from tests.hub.testing.conformance.bad_adapters import BAD
from tests.hub.testing.conformance.gate_mesh import SPEC
from tests.hub.testing.conformance.gate_requests import REQUESTS

@pytest.fixture
def smihub_adapter():
    return {adapter}

@pytest.fixture
def smihub_version():
    return "1.2"
"""
TABLE = """
@pytest.fixture
def smihub_requests():
    return REQUESTS
"""


def suite(folder: Path, text: str, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any], str]:
    """Run pytest on a file elsewhere: what it said, and the certificate as JSON and as text."""
    (folder / "test_gate.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--smihub-worlds=100", *options, "test_gate.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    built = folder / "build" / "conformance"
    return done, json.loads((built / "gate.json").read_bytes()), (built / "gate.txt").read_text()


def test_a_good_adapter_gets_its_certificate(tmp_path: Path) -> None:
    """Every property was asked, in several processes too; without a data plane it is about the model only."""
    done, certificate, text = suite(tmp_path, FILE.format(adapter="SPEC") + TABLE, "-n", "2")
    assert done.returncode == 0, done.stdout
    assert certificate["passed"]
    assert certificate["properties"] == dict.fromkeys(PROPERTIES, True)
    assert (certificate["adapter"], certificate["version"], certificate["proof"]) == ("gate", "1.2", "model only")
    assert list(certificate["cpu_s"]) == list(PROPERTIES)
    assert {tuple(each) for each in certificate["together"]} == {
        tuple(check.properties) for check in CHECKS if len(check.properties) > 1
    }
    assert (certificate["seed"], certificate["worlds"]) == ("smihub", 100)
    assert certificate["features"]["access.udp"] == "never"
    assert text.startswith("gate 1.2 passes the conformance kit 7 (model only), 20")
    took = certificate["cpu_s"]["never-wider"]
    assert f"\nnever-wider: {took:.1f} CPU s\nexact-shares: with never-wider\n" in done.stdout
    assert f"ok   never-wider: nothing that SMI denies is allowed ({took:.1f} CPU s)\n" in text
    assert "ok   exact-shares: splits share out exactly as SMI says (with never-wider)\n" in text
    assert "gate passes the conformance kit (model only)" in done.stdout


def test_a_bad_adapter_fails_with_the_smallest_world(tmp_path: Path) -> None:
    """The exit code is 1, and the certificate has world, request, both answers and what decided."""
    file = FILE.format(adapter='BAD["drops headers"][0]') + TABLE
    done, certificate, text = suite(tmp_path, file, "-k", "agreement")
    assert done.returncode == 1
    failure = next(one for one in certificate["failures"] if one["property"] == "never-wider")
    assert failure.keys() - {"scope"} == {"property", "why", "world", "request", "answers", "by", "bodies"}
    assert {name: answer["verdict"] for name, answer in failure["answers"].items()} == {"smi": "deny", "mesh": "allow"}
    assert failure["by"][0].startswith("Pass/")
    assert failure["bodies"][failure["by"][0]]["elsewhere"] == "any"
    assert failure["world"].count("kind: TrafficTarget") == 1
    assert text.startswith("gate 1.2 does not pass the conformance kit")
    assert "FAIL never-wider:" in text
    assert "\n  smi: deny, no object decides\n  mesh: allow, by Pass/" in text
    assert "never-wider: wider: the mesh says allow, SMI says deny" in done.stdout


def test_a_certificate_of_a_part_is_no_certificate(tmp_path: Path) -> None:
    """What was not asked is listed, and nothing passes."""
    done, certificate, text = suite(tmp_path, FILE.format(adapter="SPEC") + TABLE, "-k", "features")
    assert done.returncode == 0
    assert not certificate["passed"]
    assert set(certificate["missing"]) == PROPERTIES.keys() - {"features-are-declared"}
    assert "not asked: " in text


def test_an_author_without_requests_judged_by_hand_is_told(tmp_path: Path) -> None:
    """The suite fails, and says which fixture is missing."""
    done, certificate, _ = suite(tmp_path, FILE.format(adapter="SPEC"), "-k", "judged")
    assert done.returncode == 1
    assert certificate["properties"] == {"judged-by-hand": False}
    assert "define a fixture smihub_requests" in done.stdout


def test_the_plugin_costs_others_nothing() -> None:
    """Where no file asks for the suite, nothing of the hub is imported."""
    code = "import sys, hub.testing.conformance.plugin; print(*[m for m in sys.modules if m.startswith(('hub', 'msgspec'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "hub",
        "hub.testing",
        "hub.testing.conformance",
        "hub.testing.conformance.plugin",
    }

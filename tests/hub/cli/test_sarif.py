"""`smihub check -o sarif`: what code scanning needs to show a finding beside its line.

Required and recommended properties: OASIS, SARIF 2.1.0, sections 3.13 to 3.30; GitHub, "SARIF support for code scanning".
`FORM` is the part of the official schema that we write, closed: nothing that it does not name, so nothing that the official one does
not know. (That one is under OASIS's policies, which are no licence to ship it in a repository of ours, and no package on PyPI that could
be a dependency has it. It accepts what is written for every input of tests/docs/bad, 313 results: tried with its version of 2026-03.)
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from hub.cli.codes import documented
from tests.docs.bad_inputs import prepare, topics
from tests.hub.cli.test_losses import CONFIG as ISTIO
from tests.hub.cli.test_losses import lossy
from tests.servers.folder import Folder, shop

TEXT = {"type": "object", "required": ["text"], "additionalProperties": False, "properties": {"text": {"type": "string", "minLength": 1, "maxLength": 2000}}}  # fmt: skip
OBJECT = {"type": "object", "required": ["fullyQualifiedName", "kind"], "additionalProperties": False, "properties": {"fullyQualifiedName": {"type": "string"}, "kind": {"const": "object"}}}  # fmt: skip
LEVEL = {"enum": ["none", "note", "warning", "error"]}
FORM = {
    "type": "object",
    "required": ["$schema", "version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "https://json.schemastore.org/sarif-2.1.0.json"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "additionalProperties": False,
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"const": "smihub"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id", "shortDescription", "help", "defaultConfiguration"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": {"type": "string", "maxLength": 255},
                                                "shortDescription": TEXT,
                                                "help": TEXT,
                                                "defaultConfiguration": {"additionalProperties": False, "properties": {"level": LEVEL}},
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": LEVEL,
                                "message": TEXT,
                                "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
                                "locations": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 10,
                                    "items": {
                                        "type": "object",
                                        "required": ["physicalLocation"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "logicalLocations": {"type": "array", "items": OBJECT},
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation", "region"],
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": {
                                                        "additionalProperties": False,
                                                        "properties": {
                                                            "uri": {"type": "string", "pattern": "^[!-~]+$"},
                                                            "uriBaseId": {"const": "%SRCROOT%"},
                                                        }
                                                    },
                                                    "region": {
                                                        "additionalProperties": False,
                                                        "properties": {"startLine": {"type": "integer", "minimum": 1}}
                                                    },
                                                },
                                            }
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}  # fmt: skip
CHECKED = fastjsonschema.compile(FORM)
BAD = "apiVersion: v1\nkind: Service\nmetadata: {name: UPPER, namespace: shop}\n"


def found(folder: Folder, code: int) -> list[dict[str, Any]]:
    """The results, in the form that is asked for; every one has its rule."""
    result = folder.run("check", "-o", "sarif")
    assert result.exit_code == code
    log = json.loads(result.stdout)
    CHECKED(log)
    (run,) = log["runs"]
    rules = [each["id"] for each in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    assert all(rules[each["ruleIndex"]] == each["ruleId"] for each in run["results"])
    return list(run["results"])


def places(results: list[dict[str, Any]]) -> dict[str, tuple[str, int]]:
    """By rule, path and line."""
    spots = {each["ruleId"]: each["locations"][0]["physicalLocation"] for each in results}
    return {rule: (each["artifactLocation"]["uri"], each["region"]["startLine"]) for rule, each in spots.items()}


def test_nothing_wrong_is_a_log_without_results(folder: Folder) -> None:
    """Code scanning closes what was open."""
    assert found(folder, 0) == []


def test_problems_and_losses_have_their_lines(folder: Folder) -> None:
    """An error of an object, and what a mesh would refuse, at the match that it cannot say."""
    lossy(folder)
    folder.write("bad.yaml", BAD)
    results = found(folder, 3)
    assert places(results) == {
        "name.invalid": ("manifests/bad.yaml", 3),
        "istio.path-not-expressible": ("manifests/routes.yaml", 7),
    }
    (loss,) = (each for each in results if each["ruleId"].startswith("istio"))
    assert "Effect on mesh east: " in loss["message"]["text"]
    assert loss["locations"][0]["logicalLocations"] == [
        {"fullyQualifiedName": "HTTPRouteGroup/shop/routes", "kind": "object"}
    ]


def test_paths_begin_at_the_root_of_the_repository(tmp_path: Path) -> None:
    """smihub.yaml lies deep in it, its source beside it or above."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "infra" / "mesh").mkdir(parents=True)
    folder = shop(tmp_path / "infra" / "mesh")
    (tmp_path / "p\u00f6l icy").mkdir()
    (tmp_path / "p\u00f6l icy" / "more.yaml").write_text(BAD)
    folder.config(ISTIO.replace("[{path: manifests}]", "[{path: manifests}, {path: '../../p\u00f6l icy', name: up}]"))
    folder.write("bad.yaml", BAD.replace("UPPER", "Another"))
    spots = sorted(places([each])["name.invalid"] for each in found(folder, 1))
    assert spots == [("infra/mesh/manifests/bad.yaml", 3), ("p%C3%B6l%20icy/more.yaml", 3)]


def test_a_finding_keeps_its_fingerprint_when_lines_move(folder: Folder) -> None:
    """So that code scanning knows it again; another finding has another one."""
    folder.write("bad.yaml", BAD, BAD.replace("UPPER", "Other"))
    first = [each["partialFingerprints"]["smihub/v1"] for each in found(folder, 1)]
    folder.write("bad.yaml", "# a remark\n" + BAD, BAD.replace("UPPER", "Other"))
    assert [each["partialFingerprints"]["smihub/v1"] for each in found(folder, 1)] == first
    assert len(set(first)) == len(first) > 1


def test_every_code_of_the_documentation_is_explained(folder: Folder) -> None:
    """Its meaning is that of docs/problems.md."""
    folder.write("bad.yaml", BAD)
    log = json.loads(folder.run("check", "-o", "sarif").stdout)
    (rule,) = log["runs"][0]["tool"]["driver"]["rules"]
    meaning, remedy = documented()["name.invalid"]
    assert (rule["shortDescription"]["text"], rule["help"]["text"]) == (meaning, f"{meaning}. Remedy: {remedy}")
    assert len(documented()) > 100
    texts = [text for both in documented().values() for text in both]
    assert [text for text in texts if "*warning*" in text or "**" in text] == []


def test_hostile_text_is_no_link(folder: Folder) -> None:
    """A message may hold links; what users write is none."""
    folder.write("bad.yaml", BAD.replace("UPPER", '"[click](https://evil.example)\\u202e"'))
    (result,) = found(folder, 1)
    assert "](" not in result["message"]["text"]
    assert result["message"]["text"].isprintable()


@pytest.mark.thorough
@pytest.mark.parametrize("name", topics())
def test_whatever_is_wrong_has_the_form(name: str, tmp_path: Path) -> None:
    """Every bad input of docs/bad-inputs.md that `check` or `plan` reads; a folder that cannot be read at all has no log."""
    cases = [case for case in topics()[name].cases if case.run in {"check", "plan"}]
    for number, case in enumerate(cases):
        result = prepare(case, tmp_path / str(number)).run("check", "-o", "sarif")
        if result.stdout or not result.stderr.startswith("error: "):
            CHECKED(json.loads(result.stdout))

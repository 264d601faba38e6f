"""The same folder for a second mesh. Istio's objects are planned, reviewed, and rendered for GitOps."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml
from fleet import smihub
from rich.markup import escape
from rows import ROWS
from story import Story

from hub.config.file import new_owner

CONFIG = f"""\
owner: "{new_owner()}"
domain: {{trustDomain: cluster.local}}
sources: [{{path: pristine}}]
meshes:
- {{name: istio, adapter: istio, sink: {{kind: directory, path: rendered}}}}
"""
FILTERS = CONFIG.replace("adapter: istio,", "adapter: istio, config: {patterns: envoyfilter},")
CODES = ("istio.path-not-expressible", "istio.header-not-text")
CHANGES = "15 to add, 0 to change, 0 to delete"
WITH_FILTERS = "3 to add, 2 to change, 0 to delete"
ACCEPT = tuple(part for code in CODES for part in ("--accept", code))


async def istio(story: Story) -> str:
    """Plan the example for Istio, which cannot say some of its patterns; accept that, and look at what is written."""
    base = story.world.base
    (base / "istio.yaml").write_text(CONFIG)
    planned = smihub(base, "plan", "--config", "istio.yaml")
    if story.full:
        story.console.print(escape(planned.stdout))
    story.check(f"smihub plan: {CHANGES}", CHANGES in planned.stdout)
    story.check(f"not possible in Istio, refused until accepted: {', '.join(CODES)}", _refused(planned))
    applied = smihub(base, "apply", "--config", "istio.yaml", "--yes", *ACCEPT)
    files = sorted((base / "rendered" / "objects").glob("*.yaml"))
    story.check(
        f"smihub apply, both accepted: {len(files)} files for GitOps, one object each",
        _whole(files, applied.returncode),
    )
    again = smihub(base, "plan", "--config", "istio.yaml", *ACCEPT)
    story.check("smihub plan again: nothing to do", again.returncode == 0)
    _compare(story, "istio.yaml", {*CODES})
    _add_filters(story)
    return "Istio's objects allow nothing that SMI denies"


def _add_filters(story: Story) -> None:
    """The same with EnvoyFilters: what was refused is granted, and nothing is refused any more."""
    base = story.world.base
    (base / "istio-filters.yaml").write_text(FILTERS)
    planned = smihub(base, "plan", "--config", "istio-filters.yaml")
    if story.full:
        story.console.print(escape(planned.stdout))
    whole = (
        planned.returncode == 2
        and "newly allowed (4)" in planned.stdout
        and not any(code in planned.stdout for code in CODES)
    )
    story.check(
        f"with patterns: envoyfilter: {WITH_FILTERS}; 4 newly allowed",
        whole and WITH_FILTERS in planned.stdout,
    )
    applied = smihub(base, "apply", "--config", "istio-filters.yaml", "--yes")
    filters = list((base / "rendered" / "objects").glob("*_EnvoyFilter.*.yaml"))
    story.check(
        f"smihub apply: {len(filters)} EnvoyFilters, each named by its content",
        applied.returncode == 0 and len(filters) == 3,
    )
    _compare(story, "istio-filters.yaml", set())


def _refused(planned: subprocess.CompletedProcess[str]) -> bool:
    return planned.returncode == 3 and all(code in planned.stdout for code in CODES)


def _whole(files: list[Path], code: int) -> bool:
    """Each file is one object with the label of smihub."""
    objects = [yaml.safe_load(file.read_text()) for file in files]
    labels = [found["metadata"]["labels"].get("app.kubernetes.io/managed-by") for found in objects]
    return code == 0 and len(files) == 15 and set(labels) == {"smihub"}


def _compare(story: Story, config: str, lost: set[str]) -> None:
    """Judge the rows of the first table by what these objects mean to Istio, as documented and measured; `lost` says why some are denied."""
    questions = story.world.base / "istio-questions.jsonl"
    questions.write_text("".join(json.dumps(row.question()) + "\n" for row in ROWS))
    done = smihub(story.world.base, "explain", "--batch", str(questions), "--config", config)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    pairs = [(found["smi"]["verdict"], found["meshes"]["istio"]) for found in answers]
    wider = [mesh for smi, mesh in pairs if smi == "deny" and mesh["verdict"] != "deny"]
    narrower = [mesh for smi, mesh in pairs if smi == "allow" and mesh["verdict"] == "deny"]
    text = f"smihub explain: {len(pairs)} requests, 0 denied by SMI and allowed by Istio, {len(narrower)} the other way round"
    told = all(mesh["losses"] for mesh in narrower) and {code for mesh in narrower for code in mesh["losses"]} == lost
    story.check(text, len(pairs) == len(ROWS) and not wider and told)

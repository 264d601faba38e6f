"""The last act: the same folder for a second mesh. Istio's objects are planned, reviewed, and rendered for GitOps."""

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
CODES = ("istio.path-not-expressible", "istio.header-not-text")
ACCEPT = tuple(part for code in CODES for part in ("--accept", code))


async def istio(story: Story) -> None:
    """Plan the example for Istio, which cannot say some of its patterns; accept that, and look at what is written."""
    base = story.world.base
    story.console.print("\n[bold]The same folder for Istio[/bold]: smihub plan")
    (base / "istio.yaml").write_text(CONFIG)
    planned = smihub(base, "plan", "--config", "istio.yaml")
    story.console.print(escape(planned.stdout), highlight=False)
    story.check(
        "what Istio cannot say is refused, with a request that shows it, until somebody accepts", _refused(planned)
    )
    applied = smihub(base, "apply", "--config", "istio.yaml", "--yes", *ACCEPT)
    files = sorted((base / "rendered" / "objects").glob("*.yaml"))
    story.check(
        f"applied into a folder for GitOps: {len(files)} files, one object each", _whole(files, applied.returncode)
    )
    again = smihub(base, "plan", "--config", "istio.yaml", *ACCEPT)
    story.check("planned again: nothing to do", again.returncode == 0)
    _hold_against_smi(story)


def _refused(planned: subprocess.CompletedProcess[str]) -> bool:
    return planned.returncode == 3 and all(code in planned.stdout for code in CODES) and "15 to add" in planned.stdout


def _whole(files: list[Path], code: int) -> bool:
    """Each file is one object that carries our mark."""
    objects = [yaml.safe_load(file.read_text()) for file in files]
    marks = [found["metadata"]["labels"].get("app.kubernetes.io/managed-by") for found in objects]
    return code == 0 and len(files) == 15 and set(marks) == {"smihub"}


def _hold_against_smi(story: Story) -> None:
    """Judge the rows of the first table by what these objects mean to Istio, as documented and measured."""
    questions = story.world.base / "istio-questions.jsonl"
    questions.write_text("".join(json.dumps(row.question()) + "\n" for row in ROWS))
    done = smihub(story.world.base, "explain", "--batch", str(questions), "--source", str(story.world.pristine))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    pairs = [(found["smi"]["verdict"], found["meshes"]["istio"]) for found in answers]
    wider = [mesh for smi, mesh in pairs if smi == "deny" and mesh["verdict"] != "deny"]
    narrower = [mesh for smi, mesh in pairs if smi == "allow" and mesh["verdict"] == "deny"]
    reasons = sorted({code for mesh in narrower for code in mesh["losses"]})
    text = f"{len(pairs)} rows by Istio's own rules: none wider, {len(narrower)} refused for {', '.join(reasons)}"
    story.check(text, len(pairs) == len(ROWS) and not wider and all(mesh["losses"] for mesh in narrower))

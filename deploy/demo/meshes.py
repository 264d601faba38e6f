"""The last act: the same requests on every mesh. Istio and Linkerd are given the workloads as Pods; nothing is started."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from fleet import smihub
from rich.table import Table
from rows import ROWS
from story import Story, print_table

Answered = list[tuple[str, dict[str, Any]]]
"""For each request what SMI says, and what a mesh does."""


async def meshes(story: Story) -> str:
    """Judge every row by what the objects of each mesh mean there, as documented and measured."""
    pods = story.world.base / "pods"
    as_pods(story.world.pristine, pods)
    found = {
        **_answers(story, story.world.pristine, "vm"),
        **_answers(story, pods, "istio", "linkerd"),
        # Without a smihub.yaml Consul is not asked: its settings say which service a workload is.
        **_answers(story, story.world.pristine, "consul", config=_CONSUL),
    }
    shown = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in (
        "mesh",
        "allowed as by SMI",
        "denied as by SMI",
        "denied, and SMI allows",
        "allowed, and SMI denies",
    ):
        shown.add_column(heading, justify="left" if heading == "mesh" else "right")
    for mesh, answered in found.items():
        counts = Counter((smi, one["verdict"]) for smi, one in answered)
        pairs = ("allow", "allow"), ("deny", "deny"), ("allow", "deny"), ("deny", "allow")
        shown.add_row(mesh, *(str(counts[pair]) for pair in pairs))
        if sum(counts[pair] for pair in pairs) < len(ROWS) or counts["deny", "allow"]:
            story.failures.append(f"{mesh} allows something that SMI denies, or in part")
        if not all(one["losses"] for smi, one in answered if (smi, one["verdict"]) == ("allow", "deny")):
            story.failures.append(f"{mesh} denies something without a reason")
    print_table(story.console, shown)
    return f"{len(ROWS)} requests to {len(found)} meshes; what SMI denies, all deny"


def as_pods(folder: Path, pods: Path) -> None:
    """A copy of a folder with its Workloads as Pods, labelled and annotated as meshes of Pods ask for."""
    pods.mkdir()
    for file in sorted(folder.glob("*.yaml")):
        documents = [one for one in yaml.safe_load_all(file.read_text()) if one]
        made = [_pod(one) if one["kind"] == "Workload" else one for one in documents]
        (pods / file.name).write_text(yaml.safe_dump_all(made))


def _pod(workload: dict[str, Any]) -> dict[str, Any]:
    metadata, spec = workload["metadata"], workload["spec"]
    account, ports = spec["serviceAccount"], spec.get("ports", ())
    listed = [{"name": one["name"], "containerPort": one["port"]} for one in ports]
    labels = {**metadata["labels"], "smihub.io/sa": account}
    annotations = {"config.linkerd.io/default-inbound-policy": "deny"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "labels": labels, "annotations": annotations},
        "spec": {"serviceAccountName": account, "containers": [{"name": "app", "ports": listed}]},
    }


_CONSUL = """\
domain: {{trustDomain: cluster.local}}
sources: [{{path: {folder}}}]
meshes: [{{name: consul, adapter: consul, governed: all, sink: {{kind: directory, path: rendered-consul}}}}]
"""


def _answers(story: Story, folder: Path, *asked: str, config: str = "") -> dict[str, Answered]:
    """What these meshes answer: of a folder alone, or as this smihub.yaml configures them."""
    questions = story.world.base / "all-questions.jsonl"
    questions.write_text("".join(json.dumps(row.question()) + "\n" for row in ROWS))
    where = ["--source", str(folder)]
    if config:
        file = story.world.base / "consul.yaml"
        file.write_text(config.format(folder=folder))
        where = ["--config", str(file)]
    done = smihub(story.world.base, "explain", "--batch", str(questions), *where)
    if done.returncode:
        raise RuntimeError(f"smihub explain failed:\n{done.stderr}{done.stdout[-500:]}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {mesh: [(one["smi"]["verdict"], one["meshes"][mesh]) for one in answers] for mesh in asked}

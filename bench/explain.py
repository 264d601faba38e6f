"""How many requests `smihub explain --batch` answers per second: `python bench/explain.py [requests] [SMI objects]`.

The command runs as a user runs it, in a process of its own. Its time to read the folder is measured with a batch of one
request and taken off. Requests go to Services, identities and Pods, over HTTP and TCP; most of them are denied.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import world

PATHS = ("/v1/items", "/v1/items/42", "/v1/users/ann/orders", "/v1/orders/7", "/healthz", "/metrics", "/admin?x=1")
METHODS = ("GET", "GET", "POST", "PUT", "DELETE")


def request(rng: random.Random, apps: int) -> dict[str, Any]:
    """One request between neighbours, as a line of a batch."""
    callee = rng.randrange(apps)
    caller = (callee + rng.choice((1, 2, 3, 5, 7))) % apps
    team = f"team-{callee % world.TEAMS}"
    destination, port = rng.choice(
        (
            ({"service": f"{team}/app-{callee}"}, 80),
            ({"identity": f"{team}/app-{callee}"}, 8080),
            ({"pod": f"{team}/app-{callee}-v1-1"}, 8080),
        )
    )
    asked = {"src": {"identity": f"team-{caller % world.TEAMS}/app-{caller}"}, "dst": destination, "port": port}
    if rng.random() < 0.1:
        return {**asked, "src": {"identity": "ops/backup"}, "protocol": "tcp"}
    http = {"method": rng.choice(METHODS), "path": rng.choice(PATHS)}
    headers = {"x-tier": "gold-1"} if rng.random() < 0.2 else {}
    return {**asked, **http, "headers": headers}


def run(base: Path, lines: list[str]) -> tuple[float, bytes]:
    """Seconds that a batch takes, and what it says."""
    (base / "requests.jsonl").write_text("\n".join(lines) + "\n")
    smihub = str(Path(sys.executable).with_name("smihub"))
    command = [smihub, "explain", "--batch", "requests.jsonl", "--source", "manifests"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=base, capture_output=True, check=True)
    return time.perf_counter() - started, done.stdout


def main() -> None:
    """Write the folder and the batch, run, and print."""
    given = [int(text) for text in sys.argv[1:]]
    count, smi_objects = (*given, *(50_000, 1000)[len(given) :])
    rng = random.Random(1)  # noqa: S311 - a fixed choice of requests
    with tempfile.TemporaryDirectory() as folder:
        apps = world.write(Path(folder) / "manifests", smi_objects)
        lines = [json.dumps(request(rng, apps)) for _ in range(count)]
        empty, _ = run(Path(folder), lines[:1])
        full, said = run(Path(folder), lines)
    answers = [json.loads(line) for line in said.splitlines()]
    allowed = sum(answer["smi"]["verdict"] == "allow" for answer in answers)
    same = sum(answer["smi"]["verdict"] == answer["meshes"]["vm"]["verdict"] for answer in answers)
    sys.stdout.write(
        f"{len(answers)} requests on {smi_objects} SMI objects: {len(answers) / (full - empty):.0f} per second"
        f" (start and reading: {empty:.2f} s); {allowed} allowed, {same} equal in SMI and mesh\n"
    )


if __name__ == "__main__":
    main()

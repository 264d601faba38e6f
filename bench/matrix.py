"""What `smihub matrix` costs beside `smihub explain --batch` of as many verdicts: `python bench/matrix.py [identities] [receivers]`.

The company of bench/world.py, with one port for each application, so that four meshes carry its grants out: VM, Istio, Linkerd and
Consul. Both verbs run as a user runs them, in processes of their own, on the whole company. All of its matrix takes a slow machine a
quarter of an hour, and the batch as long again, so some receivers stand for all, evenly taken: all applications are alike. For each of them the
matrix is asked `--to` it, and the batch asks the requests that it shows again and again, until as many verdicts were given. What both take
to read the company (a batch of one request) is printed, and taken off both.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import expect
import world

TARGET = 3.0


def cpu_of(base: Path, *arguments: str) -> tuple[float, bytes]:
    """CPU seconds that a verb takes, whatever else the machine does, and what it says."""
    before = os.times()
    said = expect.timed(base, *arguments)[1]
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system, said


def batch_of(base: Path, shown: dict[str, Any], count: int) -> float:
    """CPU seconds that so many requests of a matrix take, one after another."""
    examples = [each["example"] for cell in shown["cells"] for port in cell["ports"] for each in port["requests"]]
    lines = islice(cycle(map(json.dumps, examples)), count)
    (base / "requests.jsonl").write_text("".join(f"{each}\n" for each in lines))
    return cpu_of(base, "explain", "--batch", "requests.jsonl")[0]


def main() -> None:
    """Write the folder, run both for each receiver of the sample, and print."""
    given = [int(text) for text in sys.argv[1:]]
    identities, receivers = (*given, *(200, 3)[len(given) :])
    of_matrix = of_batch = reading = 0.0
    verdicts, shown = 0, dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        apps = world.write(base / "manifests", identities * world.SMI_PER_APP)
        (base / "smihub.yaml").write_text(world.FOUR)
        for number in range(0, apps, -(-apps // receivers)):
            seconds, said = cpu_of(base, "matrix", "-o", "json", "--to", f"team-{number % world.TEAMS}/app-{number}")
            shown = json.loads(said)
            reading = reading or batch_of(base, shown, 1)
            of_matrix += seconds - reading
            of_batch += batch_of(base, shown, shown["verdicts"] // (1 + len(shown["meshes"]))) - reading
            verdicts += shown["verdicts"]
    sys.stdout.write(
        f"{apps} identities, {len(shown['callers'])} callers, {len(shown['meshes'])} meshes: {verdicts} verdicts for {receivers} receivers "
        f"(for all: about {verdicts * apps // receivers}), smihub matrix {of_matrix:.1f} s of CPU, explain --batch {of_batch:.1f} s, both without "
        f"{reading:.1f} s of reading: {of_matrix / of_batch:.2f} times as long (target {TARGET})\n"
    )


if __name__ == "__main__":
    main()

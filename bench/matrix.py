"""What `smihub matrix` costs beside `smihub explain --batch` of as many verdicts: `python bench/matrix.py [identities] [rounds]`.

The company of bench/world.py, with one port for each application, so that four meshes carry its grants out: VM, Istio, Linkerd and
Consul. Both verbs run as a user runs them, in processes of their own, by turns; the best time of each counts. The batch asks the requests
that the matrix shows again and again, until as many verdicts were given as the matrix asked for.
"""

from __future__ import annotations

import json
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

import expect
import world

TARGET = 3.0


def main() -> None:
    """Write the folder, run both, and print."""
    given = [int(text) for text in sys.argv[1:]]
    identities, rounds = (*given, *(200, 1)[len(given) :])
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        world.write(base / "manifests", identities * world.SMI_PER_APP)
        (base / "smihub.yaml").write_text(world.FOUR)
        shown = json.loads(expect.timed(base, "matrix", "-o", "json")[1])
        examples = [each["example"] for cell in shown["cells"] for port in cell["ports"] for each in port["requests"]]
        asked = shown["verdicts"] // (1 + len(shown["meshes"]))
        lines = islice(cycle(map(json.dumps, examples)), asked)
        (base / "requests.jsonl").write_text("".join(f"{each}\n" for each in lines))
        batch, matrix = ("explain", "--batch", "requests.jsonl"), ("matrix", "-o", "json")
        times = [(expect.timed(base, *matrix)[0], expect.timed(base, *batch)[0]) for _ in range(rounds)]
    of_matrix, of_batch = (min(each) for each in zip(*times, strict=True))
    sys.stdout.write(
        f"{len(shown['receivers'])} receivers, {len(shown['callers'])} callers, {len(shown['meshes'])} meshes: "
        f"{shown['verdicts']} verdicts, smihub matrix {of_matrix:.1f} s, explain --batch {of_batch:.1f} s: "
        f"{of_matrix / of_batch:.2f} times as long (target {TARGET})\n"
    )


if __name__ == "__main__":
    main()

"""What `smihub test` costs beside `smihub explain --batch` on the same requests: `python bench/expect.py [requests] [SMI objects] [rounds]`.

Both run as a user runs them, in processes of their own, by turns; the best time of each counts. Half of the expectations carry a
name and headers. All hold, for what is expected was answered by the batch before; then the opposite is expected, so that all fail, each
with what nearly allows it.
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

import explain
import world
import yaml

SMIHUB = str(Path(sys.executable).with_name("smihub"))
_DUMPER: Any = yaml.CSafeDumper


def asked(rng: random.Random, apps: int) -> dict[str, Any]:
    """A request to a Service, as a line of a batch."""
    while "service" not in (found := explain.request(rng, apps))["dst"]:
        pass
    return found


def expectation(request: dict[str, Any], answer: dict[str, Any], number: int) -> dict[str, Any]:
    """The same request with its answer, as a file of expectations has it."""
    http = {name: request[name] for name in ("method", "path", "headers") if request.get(name)}
    protocol = {} if "method" in request else {"protocol": "tcp"}
    words = {name: mesh["verdict"] for name, mesh in answer["meshes"].items()}
    return {
        **({"name": f"request {number}"} if number % 2 else {}),
        "from": request["src"]["identity"],
        "to": f"{request['dst']['service']}:{request['port']}",
        **protocol,
        **http,
        "expect": answer["smi"]["verdict"],
        **({"meshes": words} if {*words.values()} != {answer["smi"]["verdict"]} else {}),
    }


def opposite(test: dict[str, Any]) -> dict[str, Any]:
    """The same request with an answer that neither SMI nor a mesh gives."""
    kept = {name: value for name, value in test.items() if name != "meshes"}
    return {**kept, "expect": "deny" if test["expect"] == "allow" else "allow"}


def timed(base: Path, *arguments: str, code: int = 0) -> tuple[float, bytes]:
    """Seconds that a verb takes, and what it says; it ends with this exit code."""
    started = time.perf_counter()
    done = subprocess.run([SMIHUB, *arguments], cwd=base, capture_output=True, check=False)
    if done.returncode != code:
        raise SystemExit((done.stdout + done.stderr).decode())
    return time.perf_counter() - started, done.stdout


def main() -> None:
    """Write the folder, the batch and the expectations, run both, and print."""
    given = [int(text) for text in sys.argv[1:]]
    count, smi_objects, rounds = (*given, *(5_000, 1_000, 3)[len(given) :])
    rng = random.Random(1)  # noqa: S311 - a fixed choice of requests
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        apps = world.write(base / "manifests", smi_objects)
        requests = [asked(rng, apps) for _ in range(count)]
        (base / "requests.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in requests))
        batch = ("explain", "--batch", "requests.jsonl", "--source", "manifests")
        test = ("test", "requests.yaml", "--source", "manifests")
        answers = [json.loads(line) for line in timed(base, *batch)[1].splitlines()]
        tests = [expectation(*pair, number) for number, pair in enumerate(zip(requests, answers, strict=True))]
        for name, each in {"requests.yaml": tests, "wrong.yaml": list(map(opposite, tests))}.items():
            written = {"apiVersion": "smihub.io/v1alpha1", "kind": "Test", "tests": each}
            (base / name).write_text(yaml.dump(written, Dumper=_DUMPER, sort_keys=False))
        wrong = ("test", "wrong.yaml", "--source", "manifests")
        times = [(timed(base, *batch)[0], timed(base, *test)[0], timed(base, *wrong, code=1)[0]) for _ in range(rounds)]
    of_batch, of_test, of_wrong = (min(each) for each in zip(*times, strict=True))
    sys.stdout.write(
        f"{count} requests on {smi_objects} SMI objects: smihub test {of_test:.2f} s, explain --batch {of_batch:.2f} s:"
        f" {of_test / of_batch:.2f} times as long; if every expectation fails {of_wrong:.2f} s: {of_wrong / of_batch:.2f} times\n"
    )


if __name__ == "__main__":
    main()

"""How long a first plan takes and how much memory: `python bench/plan.py [vm|istio|four] [SMI objects ...]` (default all, 1000 10000).

Each size is a fresh process that reads a folder and plans it for one mesh, or for four (VM, Istio, Linkerd, Consul). The named baseline, in the same run, is
parsing the same files with PyYAML's C loader and doing nothing with them. Memory is the highest
resident size over the one before reading, against the bytes of the same objects (SMI and facts) as JSON. It is counted
in a process of its own that has planned a folder of 80 objects before: libraries that are loaded when they are first
needed, and tables that are made once, are no objects. The time is a first plan's, without that.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import world
import yaml

from hub.process import collect_seldom
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub

TARGETS = {"vm": (1.8, 9.0), "istio": (1.8, 9.0), "four": (4.0, 20.0)}
"""At most so many times PyYAML alone, and bytes of memory per byte of JSON."""
FEW = 80
"""SMI objects of the folder that is planned before memory is counted."""


def weigh(folder: Path) -> dict[str, float]:
    """Plan a small folder for the same mesh, then this one; bytes of memory that the second gained."""
    meshes = Domains.open(folder.parent / "smihub.yaml").hubs[0].meshes
    adapter = "four" if len(meshes) > 1 else meshes[0].spec.name
    with tempfile.TemporaryDirectory() as base:
        few = Domains.open(make(Path(base), FEW, adapter)[0].parent / "smihub.yaml").hubs[0]
        few.read()
    asyncio.run(_plan(few))
    gc.collect()
    before = memory("VmRSS")
    measure(folder)
    few.units()  # it was there until now, so that nothing of its memory was used again
    return {"rss": memory("VmHWM") - before}


def make(base: Path, objects: int, adapter: str) -> tuple[Path, int]:
    """Write a folder and its configuration; the folder, and how many SMI objects it holds."""
    folder = base / "manifests"
    count = world.write(folder, objects) * world.SMI_PER_APP
    (base / "smihub.yaml").write_text(world.CONFIGS[adapter])
    return folder, count


def measure(folder: Path) -> dict[str, float]:
    """Plan a folder in this process, as the command would; seconds and changes."""
    collect_seldom()
    hub = Domains.open(folder.parent / "smihub.yaml").hubs[0]
    started, cpu = time.perf_counter(), time.process_time()
    hub.read()
    read = time.perf_counter()
    changes = asyncio.run(_plan(hub))
    done = time.perf_counter()
    spent = time.process_time() - cpu
    return {"read": read - started, "total": done - started, "cpu": spent, "changes": changes}


async def _plan(hub: Hub) -> int:
    """The number of changes. The plan itself must not leave `asyncio.run`: Python's signal handling prints its result."""
    return sum([len((await hub.plan(mesh)).plan.changes) for mesh in hub.meshes])


def memory(field: str) -> float:
    """A size of this process in bytes, as Linux tells it: VmRSS (now) or VmHWM (at most so far)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith(f"{field}:"))


def baseline(folder: Path) -> dict[str, float]:
    """Parse the same files with PyYAML's C loader; seconds, and the bytes of the objects as JSON."""
    total, size = 0.0, 0
    for file in sorted(folder.iterdir()):
        started = time.perf_counter()
        documents = list(yaml.load_all(file.read_bytes(), Loader=yaml.CSafeLoader))
        total += time.perf_counter() - started
        size += sum(len(json.dumps(document)) for document in documents)
    return {"total": total, "json": float(size)}


WORK = {"--measure": measure, "--weigh": weigh, "--baseline": baseline}
"""What a process of its own does, by its first argument."""


def child(what: str, folder: Path) -> dict[str, float]:
    """Run one of `WORK` in a process of its own."""
    command = [sys.executable, __file__, f"--{what}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def row(objects: int, adapter: str) -> tuple[float, float]:
    """Measure one size; print its row; give seconds and objects."""
    with tempfile.TemporaryDirectory() as base:
        folder, count = make(Path(base), objects, adapter)
        plain, ours = child("baseline", folder), child("measure", folder)
        memory = child("weigh", folder)["rss"] / plain["json"]
    ratio = ours["total"] / plain["total"]
    sys.stdout.write(
        f"{count:>8} {ours['total']:>8.2f} s {ours['read']:>8.2f} s {ours['cpu']:>8.2f} s {plain['total']:>8.2f} s {ratio:>7.2f}"
        f" {1e6 * ours['total'] / count:>9.0f} us {memory:>7.1f} {int(ours['changes']):>8}\n"
    )
    sys.stdout.flush()
    return ours["total"], float(count)


def measure_all(sizes: list[int], adapter: str) -> None:
    """Measure every size for one mesh, and how the cost per object grows from the first to the last."""
    sys.stdout.write(" objects      plan    reading   plan CPU  PyYAML alone ratio  per object  RSS/JSON  changes\n")
    rows = [row(size, adapter) for size in sizes]
    (first, fewest), (last, most) = rows[0], rows[-1]
    sys.stdout.write(
        f"cost per object, {most:.0f} against {fewest:.0f} objects: {(last / most) / (first / fewest):.2f} (1 is linear)\n"
    )


def main() -> None:
    """Measure every size for every mesh that was asked for."""
    if len(sys.argv) == 3 and sys.argv[1] in WORK:
        sys.stdout.write(json.dumps(WORK[sys.argv[1]](Path(sys.argv[2]))))
        return
    adapters = [text for text in sys.argv[1:] if text in world.CONFIGS] or list(world.CONFIGS)
    sizes = [int(text) for text in sys.argv[1:] if text not in world.CONFIGS] or [1000, 10000]
    for adapter in adapters:
        sys.stdout.write(f"mesh {adapter}\n")
        measure_all(sizes, adapter)
        ratio, memory = TARGETS[adapter]
        sys.stdout.write(f"targets: at most {ratio} x PyYAML alone, and {memory} bytes of memory per byte of JSON\n")


if __name__ == "__main__":
    main()

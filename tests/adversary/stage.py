"""What `make demo` starts, left standing until stdin ends: `python tests/adversary/stage.py FOLDER`.

The demo's own modules start it, in the demo's own order; only its acts are left out. One line of JSON on stdout says that
everything listens, which processes there are, and where sidecars receive.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parents[2] / "deploy" / "demo"


async def stand(base: Path) -> None:
    """Start applications, hub and Envoys as `deploy/demo/run.py` does, and end them once stdin is closed."""
    demo: Any = import_module("run")
    world, apps, fleet = demo.World.make(base), demo.Apps(), demo.Fleet(base)
    try:
        await demo.start(world, apps, fleet)
        pids = {"applications": os.getpid(), **{name: child.pid for name, child in fleet.children.items()}}
        print(json.dumps({"pids": pids, "inbound": world.inbound()}), flush=True)  # noqa: T201 - read by the test
        await asyncio.to_thread(sys.stdin.read)
    finally:
        fleet.stop()
        await apps.stop()


if __name__ == "__main__":
    sys.path.insert(0, str(DEMO))
    asyncio.run(stand(Path(sys.argv[1])))

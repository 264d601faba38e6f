"""The Envoys of a town, with two workers each; hubs come and go, and tokens end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from adapters.vm.bootstrap.enrol import Enrolment, enrol
from adapters.vm.resource import CDS, LDS
from tests.servers.envoy import Envoy
from tests.servers.live_mesh import warming

_AGAIN = {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.1s"}}
"""How soon an Envoy looks for a hub again. Source: Envoy API, `config.core.v3.GrpcService.EnvoyGrpc.retry_policy`."""
_VARIANTS: tuple[Literal["delta"], Literal["sotw"]] = ("delta", "sotw")
_PATIENCE_S = 30.0
_PAUSE_S = 0.01


class Sidecars:
    """One Envoy for each of these workloads; every second one speaks the state-of-the-world variant."""

    def __init__(self, base: Path, workloads: Sequence[str]) -> None:
        self.envoys: dict[str, Envoy] = {}
        self.away: set[str] = set()
        self._base = base
        self._workloads = workloads
        self._lines: dict[str, Sequence[str]] = {}  # Envoy's command lines
        self._hub = Path()  # its socket

    def enrol(self, sink: Any, workload: str) -> None:
        """What `smihub bootstrap` does."""
        folder, variant = self._folder(workload), _VARIANTS[self._workloads.index(workload) % 2]
        line = enrol(sink, Enrolment(workload, folder, variant=variant))
        file = folder / "envoy.json"
        config = json.loads(file.read_text())
        config["dynamic_resources"]["ads_config"]["grpc_services"][0]["envoy_grpc"]["retry_policy"] = _AGAIN
        endpoint = config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
        self._hub = Path(endpoint["endpoint"]["address"]["pipe"]["path"])
        endpoint["endpoint"]["address"]["pipe"]["path"] = str(folder / "hub.sock")
        file.write_text(json.dumps(config))
        self._lines[workload] = line

    def renew(self, sink: Any) -> None:
        """Give those that stand a token whose token has ended; their Envoys notice."""
        for workload, said in sink.report().items():
            if workload in self.envoys and not said["enrolled"]:
                self.enrol(sink, workload)

    def find_hub(self, away: Collection[str] = ()) -> None:
        """From now on these Envoys find no hub that starts, the others do."""
        self.away = set(away)
        for workload in self._workloads:
            door = self._folder(workload) / "hub.sock"
            door.unlink(missing_ok=True)
            if workload not in away:
                door.symlink_to(self._hub)

    async def start(self, workload: str) -> None:
        """Start the Envoy of a workload that is enrolled, or start it anew."""
        if workload in self.envoys:
            await self.envoys[workload].stop()
        folder = self._folder(workload)
        log = folder / "envoy.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(*self._lines[workload], stdout=output, stderr=output)
        self.envoys[workload] = Envoy(process, folder / "admin.sock", log)

    async def heard(self, sink: Any) -> None:
        """Wait until every Envoy whose workload stands, and who is not away, has accepted the newest revision, and warms nothing.

        Raises TimeoutError.
        """
        async with asyncio.timeout(_PATIENCE_S):
            while not _accepted(sink, self.away):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(_PAUSE_S)
            for envoy in self.envoys.values():
                while await warming(envoy):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(_PAUSE_S)
        await asyncio.sleep(0.05)  # workers take over what the main thread has accepted

    async def stop(self) -> None:
        """End them all."""
        for envoy in self.envoys.values():
            await envoy.stop()

    def _folder(self, workload: str) -> Path:
        return self._base / "envoy" / workload.replace("/", "_")


def _accepted(sink: Any, away: Collection[str]) -> bool:
    """Whether everybody who stands and is not away is connected, by a token that holds, and has accepted what is newest."""
    if sink._revision != sink._state.head()[0]:
        return False
    said = sink.status()
    for workload in sink.report().keys() - away:
        sessions, status = sink._server.connected(workload), said.get(workload)
        if not sessions or sessions[-1].ended or status is None:
            return False
        newest = sessions[-1]
        assert not status.refused, status
        moving = newest.changed.is_set() or newest.turn.locked() or newest.stream.waits
        if moving or status.pending or not {CDS, LDS} <= set(newest.stream.subscribed):
            return False
    return True

"""A sidecar: Envoy with the bootstrap that `consul connect envoy` prints, programmed by Consul."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from adapters.vm.bootstrap.envoy import find_envoy
from tests.servers.consul.agent import HOST, Agent
from tests.servers.consul.build import CONSUL
from tests.servers.processes import Program, start
from tests.servers.watched import ALONE, QUICK, QUIET, Watched


class Place(Struct, frozen=True):
    """Where a service stands: its application's port, its sidecar's, and the local port for each service that it calls."""

    name: str
    app: int
    public: int
    upstreams: Mapping[str, int]

    def registration(self) -> dict[str, Any]:
        """The service and its sidecar. Their health is that of the service, so nothing waits for a first check."""
        upstreams = [
            {"DestinationName": name, "LocalBindAddress": HOST, "LocalBindPort": port}
            for name, port in self.upstreams.items()
        ]
        proxy = {
            "LocalServiceAddress": HOST,
            "LocalServicePort": self.app,
            "Config": {"bind_address": HOST},
            "Upstreams": upstreams,
        }
        check = {"Name": "alias", "AliasService": self.name}
        sidecar = {"Port": self.public, "Address": HOST, "Checks": [check], "Proxy": proxy}
        return {"Name": self.name, "Address": HOST, "Port": self.app, "Connect": {"SidecarService": sidecar}}


class Sidecar(Watched):
    """A running Envoy, and of which service."""

    def __init__(self, place: Place, program: Program, admin: Path) -> None:
        super().__init__(program, admin)
        self.place = place

    def routes(self) -> str:
        """What decides where its calls go, and who may call it: active listeners and routes, as text."""
        active = [one["active_state"] for one in self.listeners() if "active_state" in one]
        return json.dumps(active) + self.get("/config_dump?resource=dynamic_route_configs")

    def refused(self) -> list[str]:
        """What Envoy did not accept, in its own words; it goes on with what it had."""
        states = [one["error_state"] for one in self.listeners() if "error_state" in one]
        return [f"{self.place.name}: {state.get('details', state)}" for state in states]


def start_sidecar(agent: Agent, place: Place, folder: Path) -> Sidecar:
    """Register a service and start its sidecar, both with a token that is the service's own."""
    token = agent.token({"ServiceIdentities": [{"ServiceName": place.name}]})
    agent.client(token).put("/agent/service/register", place.registration())
    config, admin = folder / f"{place.name}.json", folder / f"{place.name}.sock"
    bootstrap = _bootstrap(agent, place.name, token)
    bootstrap["admin"]["address"] = {"pipe": {"path": str(admin)}}
    config.write_text(json.dumps(bootstrap), encoding="utf-8")
    program = start([find_envoy(), "-c", config, *ALONE, *QUICK, *QUIET], folder / f"{place.name}.log")
    return Sidecar(place, program, admin)


def _bootstrap(agent: Agent, name: str, token: str) -> dict[str, Any]:
    """What Consul's own command makes of a registration."""
    where = ["-http-addr", agent.http, "-grpc-addr", agent.grpc, "-token", token]
    line = [str(CONSUL.binary), "connect", "envoy", "-sidecar-for", name, "-bootstrap", *where]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"consul connect envoy of {name} failed:\n{done.stderr}")
    made: dict[str, Any] = json.loads(done.stdout)
    return made

"""A real Consul: one server with ACLs, in a folder of its own, and clients of its HTTP API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import httpx
from msgspec import Struct

from tests.servers.consul.build import CONSUL
from tests.servers.go_servers import built
from tests.servers.ports import free_ports
from tests.servers.processes import SETPRIV, Program, check_tools, start, wait_until

HOST = "127.0.0.1"
Policy = Literal["allow", "deny"]
POLICIES: tuple[Policy, ...] = ("deny", "allow")
"""What an agent does where no intention decides (`default_intention_policy`)."""


class RefusedError(RuntimeError):
    """Consul did not take a request: its status, and its own words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class Api:
    """Consul's HTTP API as the bearer of one token."""

    def __init__(self, address: str, token: str) -> None:
        self.token = token
        self._http = httpx.Client(base_url=f"http://{address}/v1", headers={"X-Consul-Token": token}, timeout=30)

    def get(self, path: str, **parameters: str) -> Any:
        """What a page says, decoded. Raises RefusedError."""
        return self._send("GET", path, None, parameters)

    def put(self, path: str, body: Any = None, **parameters: str) -> Any:
        """Write something; gives the answer, decoded. Raises RefusedError."""
        return self._send("PUT", path, body, parameters)

    def delete(self, path: str, **parameters: str) -> Any:
        """Delete something; gives the answer, decoded. Raises RefusedError."""
        return self._send("DELETE", path, None, parameters)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _send(self, method: str, path: str, body: Any, parameters: Mapping[str, str]) -> Any:
        answer = self._http.request(method, path, json=body, params=parameters)
        if not answer.is_success:
            raise RefusedError(answer.status_code, answer.text)
        return answer.json() if answer.content else None


class Agent(Struct, frozen=True):
    """A running Consul: its addresses, who may do everything, how to get another client, and its program."""

    policy: Policy
    http: str
    grpc: str
    root: Api
    client: Callable[[str], Api]
    program: Program

    def token(self, what: Mapping[str, Any]) -> str:
        """A new token that may do what the ACL system says of these roles, policies or identities."""
        return str(self.root.put("/acl/token", dict(what))["SecretID"])

    def bearer(self, name: str, rules: str) -> Api:
        """A client who may do what these ACL rules say."""
        self.root.put("/acl/policy", {"Name": name, "Rules": rules})
        return self.client(self.token({"Policies": [{"Name": name}]}))


@contextmanager
def consul(folder: Path, policy: Policy) -> Iterator[Agent]:
    """Run a Consul while the block lasts; everything that it writes is below the folder."""
    check_tools(SETPRIV)
    ports = dict(zip(("http", "grpc", "server", "serf_lan"), free_ports(4), strict=True))
    root, config = str(uuid4()), folder / "agent.json"
    config.write_text(json.dumps(_config(folder, policy, ports, root)), encoding="utf-8")
    program = start([built(CONSUL).binary, "agent", "-config-file", config], folder / "consul.log")
    clients: list[Api] = []

    def client(token: str) -> Api:
        clients.append(Api(f"{HOST}:{ports['http']}", token))
        return clients[-1]

    http, grpc = (f"{HOST}:{ports[name]}" for name in ("http", "grpc"))
    agent = Agent(policy, http, grpc, client(root), client, program)
    try:
        wait_until("Consul leads itself and knows its token", lambda: _is_ready(agent.root), 60, program)
        yield agent
    finally:
        for one in clients:
            one.close()
        program.kill()


def _config(folder: Path, policy: Policy, ports: Mapping[str, int], root: str) -> dict[str, Any]:
    """ACLs deny by default whatever the policy for intentions is; nothing is asked of the Internet."""
    return {
        "node_name": "smihub",
        "server": True,
        "bootstrap_expect": 1,
        "data_dir": str(folder / "data"),
        "bind_addr": HOST,
        "client_addr": HOST,
        "disable_update_check": True,
        "log_level": "warn",
        "ports": {"dns": -1, "https": -1, "grpc_tls": -1, "serf_wan": -1, **ports},
        "connect": {"enabled": True},
        "peering": {"enabled": False},
        "performance": {"raft_multiplier": 1},
        "default_intention_policy": policy,
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "enable_token_persistence": True,
            "tokens": {"initial_management": root, "agent": root},
        },
    }


def _is_ready(root: Api) -> bool:
    try:
        return (
            bool(root.get("/status/leader"))
            and bool(root.get("/catalog/nodes"))
            and bool(root.get("/connect/ca/roots"))
        )
    except (httpx.HTTPError, RefusedError):
        return False

"""A hub for one callee, whose socket a group may reach."""

from __future__ import annotations

from pathlib import Path

from adapters.vm.bootstrap.envoy import read_token
from tests.adversary.machine import GROUP
from tests.servers.folder import CONFIG, Folder


def with_group(folder: Folder) -> Path:
    """Let the hub's socket be in a folder of its own, for a group; gives the socket."""
    folder.config(CONFIG.replace("adapter: vm}", f"adapter: vm, sink: {{socket: {{folder: run, group: {GROUP}}}}}}}"))
    return folder.root / "run" / "vms.sock"


def token_of(folder: Folder) -> str:
    """The token that `smihub bootstrap` wrote for api-1."""
    made = folder.run("bootstrap", "shop/api-1", "--out", "envoy")
    assert made.exit_code == 0, made.stderr
    token = read_token(folder.root / "envoy" / "token")
    assert token
    return token.reveal().decode()

"""An Envoy that somebody else's control plane programs: how it is started, and what its admin interface tells."""

from __future__ import annotations

import json
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.servers.processes import Program
from tests.servers.real_envoy import Admin

ALONE = ("--disable-hot-restart", "--concurrency", "1")
QUICK = ("--drain-time-s", "1", "--drain-strategy", "immediate", "--parent-shutdown-time-s", "2")
"""Connections that an old configuration serves end soon."""
QUIET = ("--log-level", "warning", "--component-log-level", "misc:error")  # misc tells of each deprecated field


class Watched:
    """A running Envoy and its admin interface."""

    def __init__(self, program: Program, admin: Path) -> None:
        self.program = program
        self._admin = admin

    def get(self, path: str) -> str:
        """An admin page; empty while the interface is not up."""
        connection = Admin(self._admin)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except (OSError, HTTPException):
            return ""
        finally:
            connection.close()

    def listeners(self) -> list[dict[str, Any]]:
        """Its listeners as the configuration dump has them, with what is active, warming, draining or refused."""
        found: list[dict[str, Any]] = json.loads(self.get("/config_dump?resource=dynamic_listeners") or "{}").get(
            "configs", []
        )
        return found

    def is_ready(self) -> bool:
        """Whether Envoy says that it serves."""
        return self.get("/ready").startswith("LIVE")

    def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names a regex finds."""
        lines = (line.partition(": ") for line in self.get(f"/stats?filter={pattern}").splitlines())
        return {name: int(value) for name, _, value in lines if value.isdigit()}

    def draining(self) -> int:
        """How many old listeners and filter chains still serve open connections."""
        return sum(self.stats("^listener_manager.total_(filter_chains|listeners)_(draining|warming)$").values())

    def stop(self) -> None:
        """End it, at once."""
        self.program.kill()

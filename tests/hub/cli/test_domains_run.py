"""`smihub run` with several domains: each is served and followed, and none stops another."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.hub.cli.test_run import Running, running
from tests.hub.cli.two_domains import NAMES, TEXT, Two
from tests.servers.folder import ROUTES
from tests.servers.ports import free_ports


def ready(two: Two, domain: str) -> str:
    """What the domain's own socket says."""
    transport = httpx.HTTPTransport(uds=str(two.root / f".smihub-{domain}-sockets" / "hub.http.sock"))
    with httpx.Client(transport=transport) as client:
        return client.get("http://hub/readyz").text.strip()


def until(hub: Running, event: str, domain: str, mesh: str = "vms") -> dict[str, Any]:
    """Read the log until this is said of a domain's mesh."""
    return hub.until(event, domain=domain, mesh=mesh)


@contextmanager
def serving(two: Two, *options: str) -> Iterator[Running]:
    """Both domains, run."""
    with running(two.folder, *options) as hub:
        yield hub


@pytest.mark.thorough
def test_run_serves_and_follows_every_domain(two: Two) -> None:
    """One process; an edit in one domain is told and written of that domain, and each has its socket, metrics and readiness."""
    (port,) = free_ports(1)
    two.folder.config(f"http: {{address: '127.0.0.1:{port}'}}\n{TEXT}")
    with serving(two) as hub:
        wanted = {(name, mesh) for name in NAMES for mesh in ("vms", "istio")}
        while wanted:
            said = hub.until("plan_applied")
            wanted.discard((said["domain"], said["mesh"]))
        assert [ready(two, name) for name in NAMES] == ["ok", "ok"]
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").text == "ok\n"
        status = json.loads(two.run("status", "-o", "json").stdout)
        assert status["hub"] == {"running": True, "ready": True}
        us = two.standing("us")
        two.write("eu", "access.yaml", ROUTES)
        assert until(hub, "plan_applied", "eu")["denied"] == ["shop/web -> shop/api:* GET /books"]
        assert two.standing("us") == us
        time.sleep(1.1)  # a text is handed out again for a second
        found = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
        written = [row for row in found if row.startswith("smihub_applies_total{") and 'result="written"' in row]
        assert 'smihub_applies_total{domain="eu",mesh="vms",result="written"} 2.0' in written
        assert 'smihub_applies_total{domain="us",mesh="vms",result="written"} 1.0' in written
        assert len([row for row in found if row == "# TYPE smihub_applies_total counter"]) == 1
        assert len([row for row in found if row.startswith("process_open_fds ")]) == 1
        assert hub.end()[0] == 0
    assert two.run("plan").exit_code == 0


@pytest.mark.thorough
def test_a_domain_that_cannot_be_served_stops_no_other(two: Two) -> None:
    """Another process serves a mesh of one: that is logged, the other domain is served and written; once it is gone, both are."""
    two.applied()
    us = TEXT.partition("- name: us")[2]
    (two.root / "us.yaml").write_text(f"domains:\n- name: us{us}")
    command = two.folder.command("run", "--config", "us.yaml", "--serve-only")
    with subprocess.Popen(command, cwd=two.root, stderr=subprocess.PIPE, text=True) as other:
        try:
            Running(other).until("serving_started")
            with serving(two) as hub:
                said = hub.until("domain_failed")
                assert (said["domain"], said["level"], said["retry_s"]) == ("us", "error", 1.0)
                assert '.smihub-us" by process' in said["reason"]
                two.write("eu", "access.yaml", ROUTES)
                assert until(hub, "plan_applied", "eu")["denied"] == ["shop/web -> shop/api:* GET /books"]
                other.kill()
                two.write("us", "access.yaml", ROUTES)
                assert until(hub, "plan_applied", "us")["denied"] == ["shop/web -> shop/api:* POST /orders"]
                assert hub.end()[0] == 0
        finally:
            other.kill()


@pytest.mark.thorough
def test_where_no_domain_can_be_served_run_ends(two: Two) -> None:
    """As it does with one."""
    two.applied()
    with serving(two) as hub:
        assert {hub.until("serving_started")["domain"] for _ in NAMES} == {*NAMES}
        second = two.folder.process("run")
        assert second.returncode == 1
        assert '.smihub-eu" by process' in second.stderr.splitlines()[-1]

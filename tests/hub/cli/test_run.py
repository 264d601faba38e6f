"""`smihub run` as a process: it serves, follows the folder, and ends when it is told to."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hub.cli.test_apply import revisions
from tests.servers import processes
from tests.servers.folder import CONFIG, Folder, target, workload

LIMIT_S = 20.0


class Running:
    """A hub in a process of its own, and what it logs (JSON lines on stderr)."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child
        self.events: list[dict[str, Any]] = []

    def until(self, event: str, seconds: float = processes.LIMIT_S, **fields: str) -> dict[str, Any]:
        """Read the log until this event with these fields; fails with the log if the hub ends before, or it takes longer."""
        assert self.child.stderr
        with processes.within(seconds, event, self.child, self._log):
            for text in self.child.stderr:
                self.events.append(json.loads(text))
                if {"event": event, **fields}.items() <= self.events[-1].items():
                    return self.events[-1]
        raise AssertionError(f"the hub ended without {event}: {self._log()}")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; gives the exit code and the rest of the log."""
        assert self.child.stderr
        self.child.send_signal(number)
        with processes.within(processes.LIMIT_S, "the end", self.child, self._log):
            rest = self.child.stderr.read()
        return self.child.wait(LIMIT_S), rest

    def _log(self) -> str:
        return "\n".join(map(str, self.events))


@contextmanager
def running(folder: Folder, *options: str) -> Iterator[Running]:
    """Start `smihub run`; whatever happens it is gone afterwards."""
    command = folder.command("run", *options)
    child = subprocess.Popen(command, cwd=folder.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield Running(child)
    finally:
        child.kill()
        child.communicate()


@pytest.mark.thorough
def test_nobody_waits_for_ever_for_what_a_hub_never_says(folder: Folder) -> None:
    """The wait ends with the log of the hub, which is killed."""
    with running(folder) as hub:
        with pytest.raises(RuntimeError, match=r"(?s)not within 4 s: never_said; the log: .*hub_started"):
            hub.until("never_said", 4.0)
        assert hub.child.wait(LIMIT_S) == -signal.SIGKILL


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_when_told_to_end_does_so_without_a_trace(folder: Folder, number: signal.Signals) -> None:
    """Both signals end it with exit code 0; the log says what began and how it ended."""
    with running(folder) as hub:
        started = hub.until("hub_started")
        hub.until("plan_applied")
        code, rest = hub.end(number)
    assert (started["doing"], started["meshes"]) == ("watching manifests; Ctrl-C ends", ["vms"])
    assert code == 0
    assert "Traceback" not in rest
    last = json.loads(rest.splitlines()[-1])
    assert (last["event"], last["level"], last["signal"]) == ("hub_stopped", "info", number.name)


@pytest.mark.thorough
def test_run_writes_lines_for_people_where_that_is_asked_for(folder: Folder) -> None:
    """In a pipe too, and without colours."""
    command = folder.command("run", "--log", "text")
    with subprocess.Popen(command, cwd=folder.root, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr
        with processes.within(processes.LIMIT_S, "the end", child):
            lines = iter(child.stderr.readline, "")
            said = next(each for each in lines if "hub_started" in each)
            child.send_signal(signal.SIGINT)
            rest = child.stderr.read()
    assert "watching manifests; Ctrl-C ends" in said
    assert "hub_stopped" in rest.splitlines()[-1]
    assert "\x1b" not in said + rest


@pytest.mark.thorough
def test_run_goes_on_when_nobody_reads_its_log_any_more(folder: Folder) -> None:
    """A revocation is carried out, though the other end of the pipe was closed."""
    with running(folder) as hub:
        hub.until("plan_applied")
        assert hub.child.stderr is not None
        hub.child.stderr.close()
        folder.remove("access.yaml")
        until_applied(folder)
        assert hub.child.poll() is None
        hub.child.stderr = None


@pytest.mark.thorough
def test_run_goes_on_and_ends_when_its_log_is_not_read(folder: Folder) -> None:
    """The pipe is full: a revocation is carried out all the same, and SIGTERM ends the hub within seconds."""
    for number in range(40):
        folder.write(f"w{number}.yaml", workload(f"w{number}", number), target(f"t{number}", f"w{number}"))
    with running(folder) as hub:
        hub.until("plan_applied")
        assert hub.child.stderr is not None
        fcntl.fcntl(hub.child.stderr, fcntl.F_SETPIPE_SZ, 4096)
        for number in range(40):
            folder.write(f"broken{number}.yaml", "kind: Pod\na: [")
        time.sleep(2.0)
        folder.remove("access.yaml")
        until_applied(folder)
        hub.child.terminate()
        assert hub.child.wait(LIMIT_S) == 0


def until_applied(folder: Folder) -> None:
    """Wait until what stands is what the folder says."""
    for _ in range(200):
        if not folder.plan()["meshes"][0]["changes"]:
            return
        time.sleep(0.1)
    raise AssertionError("it was not carried out")


@pytest.mark.thorough
def test_run_serves_first_then_applies_and_follows_an_edit(folder: Folder) -> None:
    """Serving starts before the folder is read; an edit arrives with what it means."""
    with running(folder) as hub:
        hub.until("serving_started")
        assert hub.until("plan_applied")["allowed"] == ["shop/web -> shop/api:* GET /books"]
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        edited = hub.until("plan_applied")
        assert edited["allowed"] == ["shop/web -> shop/api:* POST /orders"]
        assert edited["denied"] == ["shop/web -> shop/api:* GET /books"]
        assert hub.end()[0] == 0
    assert folder.run("plan").exit_code == 0


@pytest.mark.thorough
def test_run_serve_only_never_reads_the_sources(folder: Folder) -> None:
    """Even a folder that is not there does not matter."""
    folder.run("apply", "--yes")
    folder.manifests.rename(folder.root / "elsewhere")
    with running(folder, "--serve-only") as hub:
        assert hub.until("serving_started")["revision"] == 1
        code, rest = hub.end()
    told = [json.loads(each)["event"] for each in rest.splitlines()]
    assert (code, told) == (0, ["hub_started", "hub_stopped"])


@pytest.mark.thorough
def test_run_when_the_source_is_missing_serves_the_last_revision_and_waits(folder: Folder) -> None:
    """It says so, changes nothing, and goes on as soon as the folder is there."""
    folder.run("apply", "--yes")
    elsewhere = folder.manifests.rename(folder.root / "elsewhere")
    with running(folder) as hub:
        assert hub.until("serving_started")["revision"] == 1
        assert 'check "path"' in hub.until("source_unread")["reason"]
        assert revisions(folder) == {"vms": 1}
        elsewhere.rename(folder.manifests)
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        assert hub.until("plan_applied")["denied"] == ["shop/web -> shop/api:* GET /books"]
        assert hub.end()[0] == 0


@pytest.mark.thorough
def test_run_when_somebody_else_wrote_plans_again_at_once(folder: Folder) -> None:
    """What an apply from another checkout added is taken back at once, and what is new is planned against it."""
    other = folder.root / "checkout"
    other.mkdir()
    with running(folder) as hub:
        hub.until("plan_applied")
        for path in folder.manifests.iterdir():
            (other / path.name).write_bytes(path.read_bytes())
        (other / "theirs.yaml").write_text(target("theirs", source="stranger"))
        (folder.root / "other.yaml").write_text(CONFIG.replace("manifests", "checkout"))
        assert folder.process("apply", "--yes", "-c", "other.yaml").returncode == 0
        assert hub.until("plan_applied")["denied"] == ["shop/stranger -> shop/api:* GET /books"]
        folder.write("ours.yaml", target("ours", source="friend"))
        assert hub.until("plan_applied")["allowed"] == ["shop/friend -> shop/api:* GET /books"]
        hub.end()
    assert folder.run("plan").exit_code == 0


@pytest.mark.thorough
def test_run_twice_on_one_state_is_one_line(folder: Folder) -> None:
    """The second one finds the mesh served."""
    with running(folder) as hub:
        hub.until("serving_started")
        second = folder.process("run")
        assert second.returncode == 1
        assert "Traceback" not in second.stderr
        assert second.stderr.count("\n") == 1
        hub.end()


@pytest.mark.thorough
def test_run_twice_on_a_folder_of_objects_names_the_first(folder: Folder) -> None:
    """Nothing of such a mesh is served, and yet two hubs on one state folder would write it in turns."""
    folder.config(
        CONFIG.replace("adapter: vm", "adapter: istio, governed: targets, sink: {kind: directory, path: rendered}")
    )
    with running(folder) as hub:
        hub.until("plan_applied")
        second = folder.process("run")
        assert (second.returncode, second.stderr.count("\n")) == (1, 1)
        assert f"by process {hub.child.pid} already" in second.stderr
        hub.end()
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    with running(folder) as hub:  # what the first one left behind keeps nobody out
        hub.until("plan_applied")
        assert hub.end()[0] == 0


@pytest.mark.thorough
def test_run_leaves_no_core_dump(folder: Folder) -> None:
    """Neither as a file nor through a pipe: the kernel gives the files in /proc of such a process to root."""
    with running(folder) as hub:
        hub.until("serving_started")
        limits = Path(f"/proc/{hub.child.pid}/limits").read_text()
        (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"]
        hub.end()
    program = "import ctypes; from hub.process import keep_memory_private; keep_memory_private(); print(ctypes.CDLL(None).prctl(3))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


@pytest.mark.thorough
def test_run_after_a_kill_serves_what_it_had(folder: Folder) -> None:
    """SIGKILL leaves a revision that the next one serves before it reads anything."""
    with running(folder) as hub:
        hub.until("plan_applied")
        hub.child.kill()
        hub.child.wait(LIMIT_S)
    started = time.monotonic()
    with running(folder) as hub:
        assert hub.until("serving_started")["revision"] == 1
        assert time.monotonic() - started < LIMIT_S
        assert hub.end()[0] == 0


def page(folder: Folder, path: str) -> tuple[int, str]:
    """What a running hub answers on its Unix socket."""
    transport = httpx.HTTPTransport(uds=str(folder.root / ".smihub-sockets" / "hub.http.sock"))
    with httpx.Client(transport=transport) as client:
        answer = client.get(f"http://hub{path}")
    return answer.status_code, answer.text


def until_ready(folder: Folder) -> None:
    """Wait for a running hub, as an orchestrator does."""
    for _ in range(int(LIMIT_S / 0.1)):
        with suppress(httpx.TransportError):
            if page(folder, "/readyz")[0] == 200:
                return
        time.sleep(0.1)
    raise AssertionError("it never got ready")


@pytest.mark.thorough
def test_run_serves_metrics_and_says_when_it_is_ready(folder: Folder) -> None:
    """Ready once every source was read and every mesh planned; numbers, and no name of an object."""
    elsewhere = folder.manifests.rename(folder.root / "elsewhere")
    with running(folder) as hub:
        hub.until("source_unread")
        assert page(folder, "/readyz") == (503, "waiting for source manifests, mesh vms\n")
        assert page(folder, "/livez") == (200, "ok\n")
        elsewhere.rename(folder.manifests)
        hub.until("plan_applied")
        until_ready(folder)
        text = page(folder, "/metrics")[1]
        assert 'smihub_units{mesh="vms",state="applied"} 3.0' in text
        assert 'smihub_applies_total{mesh="vms",result="written"} 1.0' in text
        assert 'smihub_reconcile_seconds_count{mesh="vms"} 1.0' in text
        assert not any(name in text for name in ("shop", "api", "web", "_created"))
        hub.end()
    assert not (folder.root / ".smihub-sockets" / "hub.http.sock").exists()


@pytest.mark.thorough
def test_run_serve_only_is_ready_at_once_and_names_are_in_labels_if_asked_for(folder: Folder) -> None:
    """What an earlier run left undone is on record, and counted."""
    folder.config(CONFIG + "guards: {blastRadiusPercent: 0, minUnits: 1}\nhttp: {objectNames: true}\n")
    folder.run("apply", "--yes")
    folder.remove("access.yaml")
    folder.run("apply", "--yes")
    with running(folder, "--serve-only") as hub:
        hub.until("serving_started")
        until_ready(folder)
        text = page(folder, "/metrics")[1]
        hub.end()
    labels = 'condition="Applied",mesh="vms",reason="refused",unit="access/shop/api"'
    assert f"smihub_unit_bad{{{labels}}} 1.0" in text
    assert 'smihub_waiting_revocations{mesh="vms"} 1.0' in text
    assert re.search(r'smihub_waiting_revocations_oldest_seconds\{mesh="vms"\} [0-9.]*[1-9]', text)


@pytest.mark.thorough
def test_run_when_its_address_is_taken_ends_with_one_line(folder: Folder) -> None:
    """Metrics over TCP were asked for, so it is an error that they cannot be had."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        folder.config(f"{CONFIG}http: {{address: '127.0.0.1:{other.getsockname()[1]}'}}\n")
        ended = folder.process("run")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith("error: http.address: ")


@pytest.mark.thorough
def test_run_with_a_wrong_configuration_is_one_line(folder: Folder) -> None:
    """Before anything is served."""
    folder.config("nonsense: 1\n")
    result = folder.process("run")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)

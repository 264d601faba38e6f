"""docs/operate.md is true: its commands do what it says, and its limits are those of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from adapters.consul import regex as consul_regex
from adapters.consul import vocabulary as consul_words
from adapters.consul.translate import access as consul_access
from adapters.consul.translate import routes as consul_routes
from adapters.istio import regex as istio_regex
from adapters.istio.translate import access, routes
from adapters.linkerd import regex as linkerd_regex
from adapters.linkerd.translate import access as linkerd_access
from adapters.linkerd.translate import cells, conditions, ports, shares
from adapters.linkerd.translate import routes as linkerd_routes
from adapters.vm.bootstrap import denials as vm_denials
from adapters.vm.bootstrap import envoy
from adapters.vm.config import VmConfig
from adapters.vm.identity import ca
from adapters.vm.serve import server
from adapters.vm.state import revisions
from adapters.vm.translate import inbound, policy
from adapters.vm.translate import routes as vm_routes
from hub import denials, log, requests, weights
from hub.cli import markdown, saved
from hub.config import file
from hub.intent import splits, targets
from hub.plan import guards
from hub.regex import accepted, guess
from hub.sinks import manifest
from hub.smi import workload
from hub.sources import files
from hub.sources.limits import DEFAULT_LIMITS
from hub.status import http, record
from tests.servers.folder import CONFIG, ROUTES, WORKLOADS, Folder, shop, target

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"\d+(?: \d{3})+|\d+(?:\.\d+)?")
MIB, GIB = 1 << 20, 1 << 30


def block(kind: str, has: str) -> str:
    """The block of a kind that has a text."""
    (found,) = (body for each, body in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if each == kind and has in body)
    return str(found)


def run(folder: Folder, script: str) -> None:
    """Paste a block; every command of it succeeds."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-e", "-c", script], cwd=folder.root, env={**os.environ, "PATH": path}, check=True)


@pytest.mark.thorough
def test_a_backup_is_the_state_and_a_lost_state_is_another_one(tmp_path: Path) -> None:
    """Restored, the tokens of before are there; lost, each workload needs a new one."""
    folder = shop(tmp_path)
    loss = block("sh", "bootstrap")
    bootstrap = "\n".join(line for line in loss.splitlines() if "bootstrap" in line)
    run(folder, f"smihub apply --yes -q\n{bootstrap}")
    token = (tmp_path / "api-1" / "token").read_text()
    run(folder, block("sh", "umask"))
    assert (tmp_path / "hub.backup").stat().st_mode & 0o777 == 0o600
    run(folder, block("sh", "cp -p"))
    run(folder, bootstrap)
    assert (tmp_path / "api-1" / "token").read_text() == token, "a valid token is kept"
    run(folder, loss)
    assert (tmp_path / "api-1" / "token").read_text() != token


@pytest.mark.parametrize(("where", "warned"), [("pay", False), ("shop", True)])
def test_a_team_opens_its_own_namespace_only(tmp_path: Path, where: str, warned: bool) -> None:  # noqa: FBT001
    """A grant to `pay` counts in the folder of its team, and in no other."""
    folder = Folder(tmp_path)
    folder.config(CONFIG.replace("sources:\n- path: manifests\n", block("yaml", "teams/shop")))
    grant = (ROUTES + "---\n" + target("pay-from-web")).replace("namespace: shop", "namespace: pay")
    for name, text in {
        "platform": WORKLOADS,
        "teams/shop": ROUTES,
        "teams/pay": ROUTES.replace(": shop", ": pay"),
    }.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "all.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "teams" / where / "grant.yaml").write_text(grant, encoding="utf-8")
    assert ("object.not-authoritative" in folder.run("check").output) == warned


LIMITS: dict[str, tuple[float, ...]] = {
    "a file of a source": (DEFAULT_LIMITS.file_bytes / MIB, DEFAULT_LIMITS.nodes, DEFAULT_LIMITS.depth),
    "`smihub.yaml`, a `.smihubignore`": (file._MOST_BYTES / MIB,),
    "a file in a rendered folder": (manifest.MAX_OBJECT_BYTES / MIB,),
    "a pattern": (accepted.MAX_PATTERN, 2, accepted._MEMORY / MIB),
    "a TrafficTarget": (targets.MAX_MATCHES, targets.MAX_PAIRS),
    "a TrafficSplit": (splits.MAX_BACKENDS, targets.MAX_MATCHES),
    "a request for `explain --batch`, a line of `--access-log`": (
        requests.MAX_LINE_BYTES / MIB,
        denials.MAX_LINE_BYTES,
    ),
    "a saved plan": (saved._MOST_BYTES / GIB,),
    "a plan as Markdown": (markdown._MOST_CHARS,),
    "matches of all grants to one account": (policy.MAX_PERMISSIONS,),
    "matches in the conditions of the splits of one Service port": (vm_routes.MAX_CONDITIONS,),
    "Envoys on one socket of the hub": (server.CONNECTIONS,),
    "streams of one workload": (server.STREAMS_PER_WORKLOAD,),
    "connections to a port (`connections`), to an Envoy": (VmConfig().connections, envoy.CONNECTIONS),
    "TLS handshake, headers of a request": (inbound.HANDSHAKE_S, inbound.HEADERS_S),
    "life of a certificate, of the authority": (ca.LEAF_LIFE.total_seconds() / 3600, ca.ROOT_LIFE.days),
    "path of a Unix socket": (workload.PATH_BYTES,),
    "denial log": (vm_denials.RATE, vm_denials.MAX_FILE_BYTES / MIB),
    "revisions that are kept": (revisions._KEPT_REVISIONS,),
    "rules of a policy, policies for one account and one set of labels": (access.MAX_RULES, access.MAX_POLICIES),
    "exact values of a pattern": (guess.MAX_VALUES,),
    "a pattern in a split": (istio_regex.MAX_LENGTH,),
    "callers of an account, conditions in Envoy, bytes of an intention": (
        consul_access.MAX_CALLERS,
        consul_access.MAX_RULES,
        consul_access.MAX_BYTES,
    ),
    "a pattern of a path or a header": (consul_regex.MAX_PATTERN,),
    "a split of a port: backends, routes, steps of weights": (
        consul_routes.MAX_BACKENDS,
        consul_routes.MAX_ROUTES,
        consul_words.WEIGHT_UNITS,
    ),
    "callers of an account, ports that grants alone name": (linkerd_access.MAX_CALLERS, ports.MAX_UNLISTED),
    "a pattern of a path, of a header": (linkerd_regex.MAX_PATH, linkerd_regex.MAX_HEADER),
    "routes of one set of callers on one port, matches of a route": (shares.MAX_ROUTES, shares.MAX_MATCHES),
    "overlaps of callers on one port: parts of paths, sets of headers": (cells.MAX_PATHS, cells.MAX_HEADERS),
    "a split of a port: backends, rules, matches, sum of weights": (
        linkerd_routes.MAX_BACKENDS,
        linkerd_routes.MAX_RULES,
        conditions.MAX_CASES,
        linkerd_routes.MAX_WEIGHT,
    ),
    "a VirtualService": (routes.MAX_BYTES,),
    "sum of the weights of a split": (routes.INT32_MAX, weights.UINT32_MAX),
    "a file is read when it has not changed for": (files.QUIET_S,),
    "everything is read again (`recheckSeconds`)": (file.RECHECK_S,),
    "losses of access are counted over": (guards.WINDOW_S,),
    "an approval is valid for": (record.APPROVED_S,),
    "entries of the history": (record.MOST_ENTRIES,),
    "log lines for a slow reader": (log._MOST_CHARS / MIB,),
    "`/metrics`: connections, time, size of a request": (http.CONNECTIONS, http.LIMIT_S, http.MOST_BYTES),
}
"""Each row of the page's tables of limits, with the numbers in it."""


def test_the_limits_are_those_of_the_code() -> None:
    """All of them, and no other row."""
    tables = PAGE.read_text(encoding="utf-8").partition("## Limits")[2]
    rows = [
        line.strip("| ").split(" | ")
        for line in tables.splitlines()
        if line.startswith("| ") and " | limit |" not in line
    ]
    said = {name: tuple(float(found.replace(" ", "")) for found in NUMBER.findall(limit)) for name, limit in rows}
    assert said == LIMITS


def test_every_yaml_block_is_yaml() -> None:
    """As it is pasted into smihub.yaml."""
    assert [
        yaml.load(body, yaml.CSafeLoader)
        for kind, body in BLOCK.findall(PAGE.read_text(encoding="utf-8"))
        if kind == "yaml"
    ]

"""Where everything of the demo is: its copy of the example, addresses, certificates, and how processes are started."""

from __future__ import annotations

import shlex
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from certificates import Certificates
from fleet import Fleet, free_network, smihub
from rows import Row

EXAMPLE = Path(__file__).parent.parent / "examples" / "bookshop"
MUTATION = ("access-api.yaml", "methods: [GET, HEAD]", 'methods: ["*"]')
"""What `MUTATE=1` breaks in the hub's copy only: web may then delete books, which SMI (the untouched folder) denies."""


@dataclass
class World:
    """The demo's folders and addresses. `folder` is what the hub reads, `pristine` what SMI is asked about."""

    base: Path
    original: dict[str, str]
    workloads: dict[str, dict[str, Any]]
    commands: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def make(cls, base: Path) -> World:
        """Copy the example into `base`, on free loopback addresses."""
        octet = free_network([8080, 9090, 5432])
        here = {"127.10.": f"127.{octet}.", "/run/upstreams/": f"{base}/run/"}
        texts = {file.name: _replaced(file.read_text(), here) for file in sorted(EXAMPLE.glob("*.yaml"))}
        for name in ("folder", "pristine"):
            (base / name).mkdir()
            for file, text in texts.items():
                (base / name / file).write_text(text)
        documents = yaml.safe_load_all(texts["workloads.yaml"])
        return cls(base, texts, {document["metadata"]["name"]: document["spec"] for document in documents})

    @property
    def folder(self) -> Path:
        """The folder that the hub reads."""
        return self.base / "folder"

    @property
    def pristine(self) -> Path:
        """The folder as it was shipped."""
        return self.base / "pristine"

    def mutate(self) -> None:
        """Break one rule between SMI and the Envoys."""
        file, good, bad = MUTATION
        text = self.folder.joinpath(file).read_text()
        if good not in text:
            raise RuntimeError(f"the mutation does not fit {file} any more")
        self.folder.joinpath(file).write_text(text.replace(good, bad))

    def applications(self) -> list[tuple[str, str, int, str]]:
        """(workload, address, port, protocol) of every application."""
        found = []
        for name, spec in self.workloads.items():
            for port in spec.get("ports", []):
                kind = "tcp" if port["name"] == "postgres" else "http"
                found.append((name, port["appAddress"], port["port"], kind))
        return found

    def inbound(self) -> list[tuple[str, int]]:
        """Where every sidecar receives."""
        return [(s["addresses"][0], port["port"]) for s in self.workloads.values() for port in s.get("ports", [])]

    def outbound(self) -> list[tuple[str, int]]:
        """Where every sidecar listens for its own application's calls."""
        return [(upstream["path"], 0) for spec in self.workloads.values() for upstream in spec.get("upstreams", [])]

    def upstream(self, workload: str, service: str) -> tuple[str, int]:
        """The Unix socket (and port 0) at which a workload reaches a Service through its own sidecar."""
        found = next(u for u in self.workloads[workload]["upstreams"] if u["service"] == service)
        return found["path"], 0

    def where(self, row: Row) -> tuple[str, int]:
        """The address that a row's call connects to."""
        if not row.direct:
            return self.upstream(row.caller, row.target)
        return self.workloads[row.target]["addresses"][0], row.port

    def tls(self, caller: str) -> ssl.SSLContext | None:
        """The TLS context of a row's caller; None through a sidecar and for plaintext."""
        kind, _, account = caller.partition(":")
        certificates = Certificates(self.base)
        if kind == "cert":
            return certificates.mesh(account)
        if kind in {"no-cert", "foreign-cert"}:
            return certificates.none() if kind == "no-cert" else certificates.foreign("web")
        return None

    def prepare(self) -> None:
        """What a user does once: init, plan, apply, and a bootstrap per workload. Raises RuntimeError if a verb fails."""
        must(smihub(self.base, "init", "--source", "folder"))
        must(smihub(self.base, "plan"), code=2)
        must(smihub(self.base, "apply", "--yes"))
        for path, _ in self.outbound():
            Path(path).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        for name in self.workloads:
            done = smihub(self.base, "bootstrap", f"shop/{name}", "--out", f"envoy/{name}")
            must(done)
            self.commands[name] = shlex.split(done.stdout)

    def start_hub(self, fleet: Fleet) -> None:
        """Start `smihub run`."""
        fleet.start(
            "hub", [str(Path(sys.executable).with_name("smihub")), "run", "--config", str(self.base / "smihub.yaml")]
        )

    def start_envoys(self, fleet: Fleet) -> None:
        """Start one Envoy per workload, by the command that `smihub bootstrap` printed."""
        for name in self.workloads:
            fleet.start(f"envoy-{name}", self.commands[name])


def _replaced(text: str, here: Mapping[str, str]) -> str:
    for old, new in here.items():
        text = text.replace(old, new)
    return text


def must(done: Any, code: int = 0) -> None:
    """Raise RuntimeError unless a verb ended with this exit code."""
    if done.returncode != code:
        raise RuntimeError(
            f"{' '.join(done.args)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )

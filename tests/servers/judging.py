"""What really happened on the wire, held against SMI's own reading of the same folder."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from hub.events import Snapshot
from hub.model import Answer, Destination, Endpoint, Reading, Request
from hub.semantics import Semantics
from hub.sources.directory import DirectorySource
from hub.testing.compare import excuses
from hub.testing.conditions import answers_without
from hub.testing.documents import Scope, compile_documents
from tests.servers.many_apps import Arrival
from tests.servers.raw_calls import Outcome
from tests.servers.readings import compiling_vm

_EIGHTH = Fraction(1, 8)
APP = "{workload}:{port}"


class Happened(Struct, frozen=True):
    """How a call ended: what the client got, and what an application received (None: nothing)."""

    outcome: Outcome
    arrival: Arrival | None = None

    @property
    def app(self) -> str:
        """The application that was reached, "" if none was."""
        return self.arrival.app if self.arrival else self.outcome.app


class Judge:
    """SMI's reading of a folder (as files, read anew), and what the mesh says that it cannot do."""

    def __init__(self, folder: Path) -> None:
        documents = Snapshot().after(DirectorySource("folder", folder).read()).documents
        self._semantics = Semantics(documents)
        self._explain = compiling_vm(documents, Reading())
        self._without = answers_without(documents, Reading())
        self._endpoints: Mapping[tuple[str, str, int], tuple[Endpoint, ...]]
        self._endpoints = compile_documents(documents, Scope()).facts.endpoints

    def smi(self, request: Request) -> Answer:
        """What SMI says of this request."""
        return self._semantics.judge(request)

    def permits(self, request: Request) -> bool:
        """Whether SMI allows this request, at some backend at least, and the mesh has no excuse to refuse it."""
        if self.smi(request).verdict == "deny":
            return False
        smi, meshes = self._explain(request)
        return smi.verdict != "deny" and not any(excuses(request, mesh) for mesh in meshes.values())

    def fault(self, request: Request, happened: Happened) -> str:
        """Why this must not have happened; "" if it may. Widening is told first."""
        smi, meshes = self._explain(request)
        if happened.app:
            return self._wider(request, happened, meshes)
        if smi.verdict == "allow" and not any(excuses(request, mesh) for mesh in meshes.values()):
            return f"refused ({happened.outcome}) although SMI allows by {smi.by} and the mesh reports no loss"
        return ""

    def allows(self, request: Request, happened: Happened) -> bool:
        """Whether SMI allows what reached an application: the request as received, at the workload that received it."""
        workload, _, port = happened.app.rpartition(":")
        real = replace(_received(request, happened), dst=Destination(pod=workload), port=int(port))
        return self._semantics.judge(real).verdict == "allow"

    def _wider(self, request: Request, happened: Happened, meshes: Mapping[str, Answer]) -> str:
        if happened.outcome.app not in {"", happened.app}:
            return f"{happened.app} was asked, {happened.outcome.app} answered"
        if not self.allows(request, happened):
            return f"wider: {happened.app} was reached ({happened.outcome}, {happened.arrival}), SMI denies"
        if request.dst.service is None:
            meant = APP.format(workload=request.dst.pod, port=request.port)
            return "" if happened.app == meant else f"misrouted: {happened.app} was reached instead of {meant}"
        return self._misrouted(request, happened, meshes)

    def _misrouted(self, request: Request, happened: Happened, meshes: Mapping[str, Answer]) -> str:
        """A backend with a positive share must have answered, where the mesh reports losses also one below a lost condition."""
        received = _received(request, happened)
        smi = self._semantics.judge(received)
        losses = {loss for mesh in meshes.values() for loss in mesh.losses}
        below = self._without(received, losses) if losses else ()
        shares = {name for each in (smi, *below) for name, share in (each.weights or {}).items() if Fraction(share)}
        good = {app for name in shares for app in self._apps(request, name)}
        return "" if happened.app in good else f"misrouted: {happened.app} answered, shares are {smi.weights}"

    def _apps(self, request: Request, service: str) -> set[str]:
        """The applications behind a Service of the receiver's namespace, at the port that was called."""
        namespace = str(request.dst.service).partition("/")[0]
        found = self._endpoints.get((namespace, service, request.port), ())
        return {APP.format(workload=f"{one.workload.namespace}/{one.workload.name}", port=one.port) for one in found}

    def shares(self, request: Request) -> list[set[str]]:
        """The applications behind each backend of a split, of those that answer an eighth of the requests or more."""
        smi = self._semantics.judge(request)
        found: list[set[str]] = []
        for name, share in (smi.weights or {}).items():
            every = self._apps(request, name)
            serving = {app for app in every if self.allows(request, Happened(Outcome(200, app)))}
            if serving and Fraction(share) * len(serving) / len(every) >= _EIGHTH:
                found.append(serving)
        return found


def _received(request: Request, happened: Happened) -> Request:
    if happened.arrival is None:
        return request
    return replace(request, method=happened.arrival.method, path=happened.arrival.path)

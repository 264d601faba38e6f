"""What really happened in a mesh, held against SMI, and against the adapter's own reading of its objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec.structs import replace

from hub.model import Answer, Document, Reading, Request, Translation, UnitKey
from hub.semantics import Semantics
from hub.testing.conditions import answers_without
from hub.testing.documents import SinklessMesh, explained
from tests.servers.judging import Happened, Judge
from tests.servers.raw_calls import Outcome


class MeshJudge(Judge):
    """SMI's reading of some documents, and an adapter's; `made` is what it translates them to, by unit."""

    def __init__(self, documents: Sequence[Document], mesh: SinklessMesh) -> None:
        explainer, (judged,) = explained(documents, (mesh,))
        self._name = mesh.name
        self._semantics = Semantics(documents)
        self._explain = explainer.explain
        self._without = answers_without(documents, Reading())
        self._endpoints = explainer.compiled.facts.endpoints
        self.made: Mapping[UnitKey, Translation] = judged.translations
        self.problems = explainer.compiled.problems

    def predicted(self, request: Request) -> Answer:
        """What the adapter says that the mesh does."""
        return self._explain(request)[1][self._name]

    def faults(self, request: Request, happened: Happened) -> list[str]:
        """Why this must not have happened by SMI, and how it differs from what the adapter foretold."""
        said = self.predicted(request)
        judged = request if said.received is None else replace(request, path=said.received)
        fault = self.fault(judged, happened)
        if fault and not happened.app and judged != request:
            # It may have been refused for how it was routed on its way, where the path was still as it was sent.
            fault = self.fault(request, happened)
        return [why for why in (fault, _foretold(request, said, happened)) if why]

    def expected(self, request: Request) -> Mapping[str, Fraction]:
        """The share of each application; of those that answer nothing (no endpoint, denied) under ""."""
        weights = self._semantics.judge(request).weights or {}
        shares: dict[str, Fraction] = {}
        for name, share in weights.items():
            apps = self._apps(request, name)
            for app in apps:
                let = self.allows(request, Happened(Outcome(200, app)))
                shares[app if let else ""] = shares.get(app if let else "", Fraction(0)) + Fraction(share) / len(apps)
            if not apps:
                shares[""] = shares.get("", Fraction(0)) + Fraction(share)
        return shares


def _foretold(request: Request, said: Answer, happened: Happened) -> str:
    """How the adapter's own reading of its objects differs from what they did."""
    if said.verdict == "deny" and happened.app:
        return f"evaluate: foretold deny, {happened.app} was reached"
    if said.verdict == "allow" and not happened.app and not said.losses:  # HTTP/2 alone may carry it
        return f"evaluate: foretold allow by {said.by}, it was refused ({happened.outcome})"
    path = request.path if said.received is None else said.received
    if happened.arrival is not None and happened.arrival.path != path:
        return f"evaluate: foretold the path {path!r}, {happened.arrival.path!r} arrived"
    return ""

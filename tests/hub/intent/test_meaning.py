"""What units mean, word for word as hub.model says, against the cases and against the independent reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from random import Random

import pytest
import re2
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hub.endpoints import EndpointView
from hub.model import (
    Access,
    Answer,
    BackendWord,
    Declared,
    Document,
    Facts,
    Grant,
    HttpMatch,
    Identity,
    ObjectRef,
    Placement,
    Reading,
    Request,
    Route,
    RoutePort,
    Split,
    UnitKey,
)
from hub.semantics import Semantics
from hub.smi import decode
from hub.store import Store
from hub.testing.close import row
from hub.testing.compare import widening
from hub.testing.kit import Stage, load_cases
from hub.testing.random_requests import Hints
from hub.testing.worlds import TRUST_DOMAIN, make_world

READINGS = (Reading(), Reading(path_regex="prefix", root_backend="endpoints"))
STEADY = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking dice takes minutes and shows little
    suppress_health_check=list(HealthCheck),
)
OPTIONS = re2.Options()
OPTIONS.log_errors = False


def _is_matched(pattern: str, text: str) -> bool:
    """Patterns are about text: bytes that are none (lone surrogates stand for them) meet no pattern."""
    is_text = not any("\udc80" <= char <= "\udcff" for char in text)
    return is_text and bool(re2.compile(pattern, OPTIONS).fullmatch(text))


class UnitJudge:
    """Answers requests from units and facts alone; a source that only labels could prove is nobody."""

    def __init__(self, documents: tuple[Document, ...], reading: Reading) -> None:
        self.store = Store(TRUST_DOMAIN, reading)
        for index, document in enumerate(documents):
            self.store.upsert("s", str(index), (decode(document),))
        self.unexposed = False
        view = EndpointView(self.store)
        view.update()
        self.facts: Facts = view.facts()

    def judge(self, request: Request) -> Answer:
        """The verdict; for a Service also its route, exact shares and each backend's word."""
        if request.dst.service is not None:
            return self.service(request, *request.dst.service.split("/"))
        if request.dst.identity is not None:
            return Answer("allow" if self.identity(request, request.dst.identity) else "deny")
        found = self.pod(request.dst.pod or "")
        return Answer("allow" if found is not None and self.workload(request, found, request.port) else "deny")

    def access(self, identity: Identity) -> Access:
        """The Access of an identity; one that nobody names has none, and grants nothing."""
        unit, _ = self.store.compile(UnitKey("access", identity.namespace, identity.service_account))
        return unit if isinstance(unit, Access) else Access(identity)

    def identity(self, request: Request, name: str) -> bool:
        """Whether every workload of an identity allows; where there is none, the identity alone."""
        namespace, _, account = name.partition("/")
        identity = Identity(TRUST_DOMAIN, namespace, account)
        standing = [placed for placed in self.facts.placements.values() if placed.identity == identity]
        alone = [Placement(ObjectRef("", "", namespace, ""), identity)]
        return all(self.workload(request, placed, request.port) for placed in standing or alone)

    def pod(self, name: str) -> Placement | None:
        """The workload of this name: a Workload before a Pod before a template."""
        order = {"Workload": 0, "Pod": 1}
        found = [placed for ref, placed in self.facts.placements.items() if f"{ref.namespace}/{ref.name}" == name]
        return min(found, key=lambda placed: (order.get(placed.ref.kind, 2), placed.ref.kind), default=None)

    def source(self, request: Request) -> str | None:
        """The SPIFFE id of the caller."""
        src = request.src
        if src.spiffe is not None:
            return src.spiffe
        if src.identity is not None:
            return Identity(TRUST_DOMAIN, *src.identity.split("/", 1)).spiffe
        placed = self.pod(src.pod) if src.pod is not None else None
        return None if placed is None else placed.identity.spiffe

    def workload(self, request: Request, placed: Placement, port: int) -> bool:
        """Whether one workload allows the request on its port."""
        unit = self.access(placed.identity)
        transport = "UDP" if request.protocol == "udp" else "TCP"
        variants = [variant for number, way, variant in placed.inbound if (number, way) == (port, transport)]
        inbound = [
            each for each in unit.ports if each.variant in variants and (each.port, each.transport) == (port, transport)
        ]
        if placed.ref.kind == "Workload" and not inbound:
            self.unexposed = True  # its sidecar binds no such port, whatever the policy says
            return False
        declared: Declared = inbound[0].declared if inbound else max(unit.beyond)  # "unknown" comes after "none"
        caller = self.source(request)
        for grant in unit.grants:
            carried = grant.labels is None or set(grant.labels) <= set(placed.labels)
            if inbound and grant.labels is not None:
                assert carried == (grant.labels in inbound[0].labels)
            on_port = grant.transport == transport and (grant.ports is None or port in grant.ports)
            if carried and on_port and caller in grant.sources and self.admits(grant, request, declared):
                return True
        return False

    def admits(self, grant: Grant, request: Request, declared: Declared) -> bool:
        """Whether a grant admits what is sent: HTTP requests by its matches, bytes only where no HTTP is spoken."""
        if request.protocol == "udp":
            return True
        if declared == "unknown":
            return False
        if request.protocol == "http" and declared != "tcp" and grant.http is not None:
            return any(self.matches(match, request) for match in grant.http)
        return grant.http is None and declared != "http"

    def matches(self, match: HttpMatch, request: Request) -> bool:
        """Whether a request meets every condition of a match."""
        path = request.path.partition("?")[0].partition("#")[0]
        if match.path is not None and not _is_matched(match.path, path):
            return False
        if match.methods is not None and request.method not in match.methods:
            return False
        return all(
            any(name.lower() == wanted and _is_matched(pattern, value.strip(" \t")) for name, value in request.headers)
            for wanted, pattern in match.headers
        )

    def service(self, request: Request, namespace: str, name: str) -> Answer:
        """Where a call to a Service goes, and who behind it allows it."""
        unit, _ = self.store.compile(UnitKey("route", namespace, name))
        if not isinstance(unit, Route):
            return Answer("deny", (), "no-service", {}, {})
        transport = "UDP" if request.protocol == "udp" else "TCP"
        port = next((p for p in unit.ports if (p.port, p.transport) == (request.port, transport)), None)
        if port is None:
            return Answer("deny", (), "no-port", {}, {})
        split = None if request.src.outside else self.layer(port, request)  # splits are the callers' affair
        shares = {name: Fraction(1)} if split is None else shares_of(split)
        words: dict[str, BackendWord] = {backend: self.backend(request, namespace, backend) for backend in shares}
        allowed = [word for word in words.values() if word in {"allow", "mixed"}]
        verdict = "deny" if not allowed else "allow" if set(words.values()) == {"allow"} else "mixed"
        route = "root" if split is None else "split" if shares else "unavailable"
        return Answer(verdict, (), route, {each: str(share) for each, share in shares.items()}, words)  # type: ignore[arg-type]  # the words are literals

    def layer(self, port: RoutePort, request: Request) -> Split | None:
        """The first layer whose condition holds."""
        for split in port.splits:
            if split.matches is None:
                return split
            if request.protocol == "http" and any(self.matches(match, request) for match in split.matches):
                return split
        return None

    def backend(self, request: Request, namespace: str, name: str) -> BackendWord:
        """What those behind one Service's port say."""
        said = [
            each.workload in self.facts.placements
            and self.workload(request, self.facts.placements[each.workload], each.port)
            for each in self.facts.endpoints.get((namespace, name, request.port), ())
        ]
        if not said:
            return "no-endpoint"
        return "allow" if all(said) else "mixed" if any(said) else "deny"

    def doubtful(self) -> bool:
        """Whether a source may be admitted by labels alone, which no unit can prove."""
        keys = [key for key in self.store.units() if key.kind == "access"]
        units = (self.store.compile(key)[0] for key in keys)
        return any(isinstance(unit, Access) and any(grant.unauthenticated for grant in unit.grants) for unit in units)


def shares_of(split: Split) -> dict[str, Fraction]:
    """The exact shares of backends with a positive weight."""
    total = sum((backend.weight for backend in split.backends), Fraction(0))
    return {backend.service: backend.weight / total for backend in split.backends if backend.weight > 0}


def stages() -> Iterator[tuple[str, Reading, Stage]]:
    """Every stage of every case."""
    for case in load_cases():
        for stage in case.stages:
            yield f"{case.name}: {stage.title}", case.reading, stage


@pytest.mark.parametrize(
    ("title", "reading", "stage"), list(stages()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_units_say_what_the_case_says(title: str, reading: Reading, stage: Stage) -> None:
    """Each case's verdicts, shares and Problems come out of the units alone."""
    judge = UnitJudge(stage.documents, reading)
    for check in stage.checks:
        answer = judge.judge(check.request)
        if check.narrower and answer.verdict == "deny":
            continue
        said: Mapping[str, object] = {
            "verdict": answer.verdict,
            "route": answer.route,
            "weights": answer.weights,
            "backends": answer.backends,
        }
        wanted = {key: value for key, value in check.expect.items() if key in said}
        assert {key: said[key] for key in wanted} == wanted, check.request
    told = [(f"{problem.ref}", problem.field) for problem in judge.store.problems()]
    for wanted_problem in stage.problems:
        fields = [field for ref, field in told if ref == wanted_problem["ref"]]
        assert any(field.startswith(wanted_problem.get("field", "")) for field in fields), (wanted_problem, told)


@pytest.mark.thorough
def test_units_say_what_the_independent_reading_says() -> None:
    """On random worlds the units allow what the reading from raw YAML allows, and never more; most of it is compared exactly."""
    tally: Counter[str] = Counter()

    @STEADY
    @given(rng=st.randoms(use_true_random=False), reading=st.sampled_from(READINGS))
    def compared(rng: Random, reading: Reading) -> None:
        world = make_world(rng)
        judge = UnitJudge(world.documents, reading)
        semantics = Semantics(world.documents, trust_domain=TRUST_DOMAIN, reading=reading)
        exact = not judge.doubtful()
        for asked in row(rng, Hints.of(world.values), semantics.judge, 12, 24):
            judge.unexposed = False
            request, smi = asked.request, asked.answer
            ours = judge.judge(request)
            assert not widening(smi, ours), (request, smi, ours)
            tally[ours.verdict] += 1
            if exact and not judge.unexposed:
                tally["exact"] += 1
                assert (ours.verdict, ours.backends) == (smi.verdict, smi.backends), (request, smi, ours)

    compared()
    assert tally["exact"] > tally.total() / 4, tally
    assert min(tally["allow"], tally["deny"]) > tally.total() / 20, tally

"""In random worlds a mesh with probes allows what SMI allows, and the probes: no other request, by anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

import pytest

from adapters.linkerd.config import LinkerdConfig, Probe, Probes
from adapters.linkerd.plugin import SPEC
from hub.api import Answer, Destination, Request, Source
from hub.testing.documents import Scope, SinklessMesh, compile_documents, explainer_of
from hub.testing.random_requests import Hints, any_port, any_request, any_source
from hub.testing.worlds import documents_of, make_values

pytestmark = pytest.mark.thorough
WORLDS, REQUESTS = 60, 40
OPENED = "linkerd.opened-network"


def _probes(random: Random, hints: Hints, accounts: Sequence[str]) -> tuple[Probe, ...]:
    chosen = random.sample(accounts, min(2, len(accounts)))
    paths = ("/", "/healthz", "/api", "/a", "/a/b", "/api/", "/x")
    return tuple(Probe(one, any_port(random, hints), random.choice(paths)) for one in chosen for _ in range(2))


def _asked(random: Random, hints: Hints, probes: Sequence[Probe]) -> Iterator[Request]:
    """Anything that the world talks about, and what is close to a probe."""
    yield from (any_request(random, hints) for _ in range(REQUESTS))
    for probe in probes:
        for source in (Source(outside=True), any_source(random, hints)):
            path, method = probe.path + random.choice(("", "", "?a", "/")), random.choice(("GET", "GET", "HEAD"))
            yield Request(source, Destination(identity=probe.account), probe.port, method=method, path=path)


def _is_opened(request: Request, answer: Answer, probes: Sequence[Probe]) -> bool:
    """Whether it is a probe: of a Service, of some account behind it."""
    path = (answer.received or request.path).partition("?")[0]
    named = [one for one in probes if one.path == path and request.dst.identity in {one.account, None}]
    at = [one for one in named if request.dst.identity is None or one.port == request.port]
    return bool(at) and (request.protocol, request.method) == ("http", "GET") and OPENED in answer.losses


def test_nothing_but_the_probes_is_wider() -> None:
    """And where it is, the answer says what opened it."""
    seen = Counter[str]()
    for number in range(WORLDS):
        random = Random(f"probes in worlds/{number}")
        values = make_values(random)
        documents, hints = documents_of(values), Hints.of(values)
        units = compile_documents(documents, Scope()).units
        accounts = sorted(f"{key.namespace}/{key.name}" for key in units if key.kind == "access")
        if probes := _probes(random, hints, accounts):
            settings = LinkerdConfig(probes=Probes(("10.0.0.0/8",), probes))
            explainer = explainer_of(documents, [SinklessMesh("linkerd", SPEC, settings)])
            for request in _asked(random, hints, probes):
                smi, meshes = explainer.explain(request)
                answer = meshes["linkerd"]
                if smi.verdict == "deny" != answer.verdict and not answer.received:
                    assert _is_opened(request, answer, probes), (number, request, answer)
                    seen["opened"] += 1
    assert seen["opened"] > WORLDS / 2

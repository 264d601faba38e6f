"""In random worlds Consul lets in nobody whom SMI does not, whatever its agents do by default, and whatever others allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

import pytest
from msgspec import Struct

from adapters.consul.config import ConsulConfig
from adapters.consul.evaluate.intentions import Default
from adapters.consul.evaluate.mesh import BOTH, mesh_of
from adapters.consul.plugin import K8S_SPEC, SPEC
from hub.api import AdapterSpec, Answer, NativeObject, Request
from hub.explain import ExplainedMesh, Explainer
from hub.model import Document, Reading
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.cluster import SERVICES
from hub.testing.conformance.routed import excusing
from hub.testing.documents import SinklessMesh, explained
from hub.testing.random_requests import Hints
from hub.testing.search import find_in
from hub.testing.worlds import documents_of
from tests.adapters.consul.native import raw_entry
from tests.adapters.consul.worlds import consul_values

pytestmark = pytest.mark.thorough
WORLDS, WILD, CLOSE = 50, 24, 40
Explained = tuple[Answer, Mapping[str, Answer]]


class _World(Struct, frozen=True):
    """One world: both readings, what the adapter made of it, and requests."""

    documents: tuple[Document, ...]
    explainer: Explainer
    mesh: ExplainedMesh
    asked: Sequence[Request]

    @property
    def natives(self) -> tuple[NativeObject, ...]:
        """Everything that the adapter writes."""
        return tuple(one for each in self.mesh.translations.values() for one in each.objects)


def _worlds(seed: str, spec: AdapterSpec[Any], config: Any = None) -> Iterator[_World]:
    for number in range(WORLDS):
        rng = Random(f"{seed}/{number}")
        values = consul_values(rng)
        documents = documents_of(values)
        explainer, (mesh,) = explained(documents, [SinklessMesh(spec.name, spec, config)])
        asked = [one.request for one in row(rng, Hints.of(values), Semantics(documents).judge, WILD, CLOSE)]
        yield _World(documents, explainer, mesh, asked)


@pytest.mark.parametrize("spec", [SPEC, K8S_SPEC], ids=lambda spec: str(spec.name))
def test_nothing_is_wider_and_what_is_less_says_why(spec: AdapterSpec[Any]) -> None:
    """Of entries as of custom resources; shares are exact, or the nearest that there are, with a loss."""
    seen = Counter[str]()
    for world in _worlds("worlds of Consul", spec):
        excuses = excusing(world.mesh)(world.documents, Reading())
        assert not list(find_in(world.explainer.explain, world.asked, excuses))
        for request in world.asked:
            answer = world.explainer.explain(request)[1][spec.name]
            seen.update((answer.verdict, answer.route or ""))
    assert seen["allow"] > WORLDS
    assert seen["split"] > WORLDS / 20


def _wider(world: _World, others: Sequence[NativeObject], defaults: tuple[Default, ...]) -> list[Request]:
    """What a mesh with the entries of others beside ours lets in beyond SMI."""
    judge = mesh_of((*world.natives, *others), world.explainer.compiled.facts, ConsulConfig().naming, defaults).judge

    def explain(request: Request) -> Explained:
        return world.explainer.explain(request)[0], {"consul": judge(request)}

    excuses = excusing(world.mesh)(world.documents, Reading())
    return [request for request, why in find_in(explain, world.asked, excuses) if why.startswith("wider")]


def _others(rng: Random) -> tuple[str, NativeObject]:
    """An intention of somebody else that allows a service to call every destination, and now and then denies the rest."""
    name = f"d_{rng.choice(SERVICES)}"
    rest = rng.choice(([], [{"Name": "*", "Action": "deny"}], [{"Name": "*", "Action": "allow"}]))
    return name, raw_entry("service-intentions", "*", Sources=[{"Name": name, "Action": "allow"}, *rest])


@pytest.mark.parametrize("default", BOTH)
def test_services_that_others_allow_everywhere_stay_out(default: Default) -> None:
    """Where the settings list them; an allowance of everybody does not reach a service with an intention of its own."""
    listed = ConsulConfig(wildcard_sources=tuple(f"d_{name}" for name in SERVICES))
    rng = Random(f"others/{default}")
    for world in _worlds("beside others", SPEC, listed):
        governed = {one.ref.name for one in world.natives if one.ref.kind == "service-intentions"}
        _, other = _others(rng)
        wider = _wider(world, (other,), (default,))
        assert all(_callee(request) not in governed for request in wider), wider


def test_without_being_listed_they_get_in() -> None:
    """Where agents deny by default: what the settings are for, and what the test before this one would see."""
    rng = Random("unlisted")
    found = [_wider(world, (_others(rng)[1],), ("deny",)) for world in _worlds("beside others", SPEC)]
    assert sum(map(bool, found)) > WORLDS / 20


def _callee(request: Request) -> str:
    """The service of a destination, as these worlds name their Pods."""
    named = request.dst.identity or (request.dst.pod or request.dst.service or "").removesuffix("-0")
    return named.replace("/", "_")

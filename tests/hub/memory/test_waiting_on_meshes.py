"""What meshes make of units whose gains wait, where facts about ports changed: nothing that they refused opens."""

from __future__ import annotations

from random import Random

import pytest

from adapters.istio.plugin import SPEC as ISTIO
from adapters.linkerd.plugin import SPEC as LINKERD
from adapters.vm.plugin import SPEC as VM
from hub.testing.documents import Scope, SinklessMesh, compile_documents
from hub.testing.stepping import desired
from hub.testing.waiting import REQUESTS, WORDS, change, label_change, opened, some_change, workload_change
from hub.testing.worlds import documents_of
from tests.hub.testing.conformance.gate_mesh import SPEC as GATE

MESHES = {spec.name: SinklessMesh(spec.name, spec) for spec in (GATE, ISTIO, LINKERD, VM)}


PODS = ("gate", "istio", "linkerd")


@pytest.mark.thorough
@pytest.mark.parametrize("mesh", PODS)
@pytest.mark.parametrize("after", WORDS)
@pytest.mark.parametrize("before", WORDS)
def test_nothing_opens_while_gains_wait(mesh: str, before: str, after: str) -> None:
    """Whatever becomes known of a port."""
    assert not list(opened(MESHES[mesh], change(before, after), REQUESTS))


@pytest.mark.thorough
@pytest.mark.parametrize("mesh", ["gate", "vm"])
@pytest.mark.parametrize("after", WORDS)
@pytest.mark.parametrize("before", WORDS)
def test_nothing_opens_at_a_workload_while_gains_wait(mesh: str, before: str, after: str) -> None:
    """Also where it could not be read at all, and where it does not have the label that was asked for."""
    assert not list(opened(MESHES[mesh], workload_change(before, after), REQUESTS))
    assert not list(opened(MESHES[mesh], label_change(before, after), REQUESTS))


@pytest.mark.parametrize("mesh", PODS)
def test_what_does_not_wait_opens(mesh: str) -> None:
    """The requests reach the Pod."""
    edit, spec = change("unknown", "none"), MESHES[mesh].spec
    objects = [native for one in desired(edit.after, MESHES[mesh]).values() for native in one.translation.objects]
    judge = spec.evaluator(objects, compile_documents(documents_of(edit.after), Scope()).facts).judge
    assert {judge(one).verdict for one in REQUESTS if one.port == 8080 and one.dst.pod == "d/api"} == {"allow"}


@pytest.mark.thorough
@pytest.mark.parametrize("mesh", sorted(MESHES))
def test_nothing_opens_at_pods_that_differ(mesh: str) -> None:
    """Whatever Services say of each of two Pods, and of both."""
    for seed in range(300):
        assert not list(opened(MESHES[mesh], some_change(Random(f"pods/{seed}")), REQUESTS)), seed

"""What a mesh may do that reports that it cannot say a condition: as if the condition were false, and nothing else."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hub.model import Answer, Destination, ObjectRef, Reading, Request, Source
from hub.semantics import Semantics
from hub.testing.compare import disagreement
from hub.testing.conditions import answers_without
from hub.testing.kit import read_documents
from hub.testing.search import find_in
from hub.testing.worlds import documents_of
from tests.servers.readings import ISTIO, compiling

_SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {0}, namespace: d}}
spec: {{selector: {{app: {0}}}, ports: [{{port: 80, name: http}}]}}
---
"""
_REST = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: d, labels: {app: web}}
spec: {serviceAccountName: web}
---
apiVersion: v1
kind: Pod
metadata: {name: v1, namespace: d, labels: {app: v1}}
spec: {serviceAccountName: api}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, headers: [{x-tier: beta}, {x-tier: be.*}]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: all, namespace: d}
spec: {matches: [{name: m, pathRegex: ".*"}]}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: api, namespace: d}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: d}
  sources: [{kind: ServiceAccount, name: web, namespace: d}]
  rules: [{kind: HTTPRouteGroup, name: all}]
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: beta, namespace: d}
spec: {service: web, backends: [{service: v2, weight: 1}], matches: [{kind: HTTPRouteGroup, name: r}]}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: rest, namespace: d}
spec: {service: web, backends: [{service: v1, weight: 1}]}
"""
_CALL = Request(
    src=Source(identity="d/web"),
    dst=Destination(service="d/web"),
    port=80,
    protocol="http",
    method="GET",
    path="/",
    headers=(("x-tier", "beta"),),
)
_DOCUMENTS = read_documents("".join(map(_SERVICE.format, ("web", "v1", "v2"))) + _REST)


def _faults(answer: Answer) -> list[str]:
    """What is wrong with this answer of a mesh to the call."""
    smi = Semantics(_DOCUMENTS).judge(_CALL)
    found = find_in(lambda _: (smi, {"mesh": answer}), (_CALL,), answers_without(_DOCUMENTS, Reading()))
    return [why for _, why in found]


def test_a_lost_condition_leaves_the_call_to_the_layer_below() -> None:
    """Istio cannot say two conditions on one header: it reports that and serves by the split below, which is no fault."""
    smi, meshes = compiling(_DOCUMENTS, Reading())(_CALL)
    istio = meshes[ISTIO.name]
    assert (smi.verdict, dict(smi.weights or {})) == ("deny", {"v2": "1"})
    assert (istio.verdict, dict(istio.weights or {}), bool(istio.losses)) == ("allow", {"v1": "1"}, True)
    assert not _faults(istio)


def test_without_a_loss_it_is_wider() -> None:
    """What SMI denies may be allowed below a condition only if the mesh says that it lost that condition."""
    istio = compiling(_DOCUMENTS, Reading())(_CALL)[1][ISTIO.name]
    assert _faults(replace(istio, losses=()))[0].startswith("wider")


def test_a_loss_excuses_no_other_route() -> None:
    """Below the lost condition stands a split, so the root's own endpoints must not serve."""
    root = Answer("allow", ("VirtualService/d/web",), route="root", weights={"web": "1"}, backends={"web": "allow"})
    assert _faults(replace(root, losses=("istio.condition-not-expressible",)))[0].startswith("wider")


def test_shares_are_exact_or_the_nearest_with_a_loss() -> None:
    """Envoy has 2^32 - 1 units and SMI any number: what is rounded must be told, and nothing else may differ."""
    request = Request(Source(identity="d/web"), Destination(service="d/web"), 80, "http", "GET", "/")
    smi = Answer("allow", (), route="split", weights={"v1": f"1/{2**63}", "v2": f"{2**63 - 1}/{2**63}"})
    near = replace(smi, weights={"v1": f"1/{2**32 - 1}", "v2": f"{2**32 - 2}/{2**32 - 1}"})
    told = replace(near, losses=("split.weights-too-large",))
    assert disagreement(request, smi, near).startswith("misrouted")
    assert not disagreement(request, smi, told)
    for weights in ({"v2": "1"}, {"v1": "1/1000", "v2": "999/1000"}, {"v1": "0", "v3": "1"}):
        assert disagreement(request, smi, replace(told, weights=weights)).startswith("misrouted")


@pytest.mark.parametrize(
    ("loss", "routes"), [("istio.tls-not-split", {"split", "root"}), ("istio.condition-not-expressible", {"split"})]
)
def test_only_the_loss_of_a_whole_split_leaves_the_call_to_the_root(loss: str, routes: set[str]) -> None:
    """A split without conditions stands below the lost one: the root serves only where it is lost as well."""
    assert {one.route for one in answers_without(_DOCUMENTS, Reading())(_CALL, (loss,))} == routes


def test_a_split_below_that_is_lost_as_a_whole_leaves_the_call_to_the_root() -> None:
    """The answer tells the loss of the condition alone; that the split below is lost too is among the losses of the unit."""
    rest = ObjectRef("split.smi-spec.io", "TrafficSplit", "d", "rest")
    without = answers_without(_DOCUMENTS, Reading(), lost=(rest,))
    assert "root" in {one.route for one in without(_CALL, ("istio.condition-not-expressible",))}


def test_a_split_that_was_outranked_does_not_come_in_the_place_of_the_lost_one() -> None:
    """A unit has the one split without conditions that counts: where a mesh cannot carry it out, no other one is tried."""
    other = {
        "apiVersion": "split.smi-spec.io/v1alpha4",
        "kind": "TrafficSplit",
        "metadata": {"name": "younger", "namespace": "d", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"service": "web", "backends": [{"service": "v1", "weight": 0}]},
    }
    documents = (*_DOCUMENTS, *documents_of([other]))
    rest = ObjectRef("split.smi-spec.io", "TrafficSplit", "d", "rest")
    without = answers_without(documents, Reading(), lost=(rest,))
    assert "root" in {one.route for one in without(_CALL, ("istio.condition-not-expressible",))}

"""Why a mesh does something else with a request than SMI says: the losses that explain it, and no others; told as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.explain import Explainer
from hub.model import Answer
from hub.requests import decode
from hub.testing.documents import explainer_of
from hub.testing.kit import read_documents
from tests.servers.folder import shop
from tests.servers.readings import ISTIO, VM

WORKLOAD = """
apiVersion: v1
kind: Service
metadata: {{name: {0}, namespace: team}}
spec: {{selector: {{app: {0}}}, ports: [{{name: http, port: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {0}, namespace: team, labels: {{app: {0}}}}}
spec: {{serviceAccountName: {0}, containers: [{{name: c, ports: [{{containerPort: 8080}}]}}]}}
---
"""
TARGET = """
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: u, namespace: team}
spec:
  matches:
  - {name: number, pathRegex: "/users/[0-9]+"}
  - {name: codes, pathRegex: "/[^/]+/codes/[^/]+"}
  - {name: tier, pathRegex: /tier, headers: {x-request-id: gold}}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: u, namespace: team}
spec:
  destination: {kind: ServiceAccount, name: u, namespace: team}
  rules: [{kind: HTTPRouteGroup, name: u}]
  sources: [{kind: ServiceAccount, name: web, namespace: team}]
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: partner, namespace: team}
spec:
  destination: {kind: ServiceAccount, name: u, namespace: team}
  rules: [{kind: UDPRoute, name: dns}]
  sources: [{kind: ServiceAccount, name: web, namespace: team}]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: UDPRoute
metadata: {name: dns, namespace: team}
spec: {matches: {ports: [53]}}
"""
SPLIT = """
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: ab, namespace: team}
spec: {matches: [{name: i, headers: {cookie: "^(.*?;)?(type=insider)(;.*)?$"}}]}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: ab, namespace: team}
spec: {service: site, matches: [{kind: HTTPRouteGroup, name: ab}], backends: [{service: site-v2, weight: 100}]}
"""


@pytest.fixture(name="users")
def make_users() -> Explainer:
    """One TrafficTarget of which several matches cannot be said, each for another reason, and one of UDP."""
    documents = read_documents(WORKLOAD.format("u") + TARGET)
    return explainer_of(documents, [VM, ISTIO])


def asked(explainer: Explainer, mesh: str, service: str = "team/u", **more: Any) -> Answer:
    """The answer of a mesh to a call of web."""
    request = {"src": {"identity": "team/web"}, "dst": {"service": service}, "port": 8080, **more}
    return explainer.explain(decode(request).request)[1][mesh]


def test_losses_of_matches_that_do_not_admit_the_request_are_not_its_reason(users: Explainer) -> None:
    """The number that cannot be said explains /users/12; what is narrowed of /*/codes/*, the header and UDP do not."""
    answer = asked(users, "istio", path="/users/12")
    assert (answer.verdict, answer.losses) == ("deny", ("istio.path-not-expressible",))
    (said,) = users.reasons(
        "istio",
        decode(
            {"src": {"identity": "team/web"}, "dst": {"service": "team/u"}, "port": 8080, "path": "/users/12"}
        ).request,
        answer,
    )
    assert '"/users/[0-9]+"' in said
    assert said.endswith("(istio.path-not-expressible)")


def test_each_request_has_the_loss_of_its_own_match(users: Explainer) -> None:
    """By header, by UDP, and nothing where the mesh does what SMI says."""
    assert asked(users, "vm", path="/users/12").losses == ()
    for mesh in ("vm", "istio"):
        by_header = asked(users, mesh, path="/tier", headers={"x-request-id": "gold"})
        assert (by_header.verdict, by_header.losses) == ("deny", ("header.managed",)), mesh
    assert asked(users, "istio", path="/none").losses == ()


def test_a_lost_condition_is_no_refusal_and_is_no_change_of_routes(tmp_path: Path) -> None:
    """Requests that meet it go to the root's own endpoints; nothing is refused, and no call goes elsewhere."""
    folder = shop(tmp_path)
    folder.write("site.yaml", WORKLOAD.format("site") + WORKLOAD.format("site-v2") + SPLIT)
    shown = folder.run("plan")
    (loss,) = (
        line for line in shown.stdout.splitlines() if line.startswith("    loss ") and " TrafficSplit/team/ab " in line
    )
    assert "goes to site's own endpoints, unless another TrafficSplit applies" in loss
    assert "refused" not in loss
    assert "calls go elsewhere" not in shown.stdout
    assert shown.exit_code == 2
    explainer = explainer_of(read_documents(WORKLOAD.format("site") + WORKLOAD.format("site-v2") + SPLIT), [VM])
    answer = asked(explainer, "vm", "team/site", headers={"cookie": "a=1;type=insider"})
    assert (answer.route, answer.losses) == ("root", ("header.managed",))


def test_a_loss_of_access_is_told_as_refused(tmp_path: Path) -> None:
    """The other kind."""
    folder = shop(tmp_path)
    folder.write("users.yaml", WORKLOAD.format("u") + TARGET)
    lines = folder.run("plan", "--accept", "proto.udp-not-captured", "--accept", "header.managed").stdout.splitlines()
    assert any(
        line.startswith("    loss manifests/users.yaml:")
        and " TrafficTarget/team/partner spec.rules: " in line
        and "a datagram from a source of this TrafficTarget is refused" in line
        for line in lines
    )

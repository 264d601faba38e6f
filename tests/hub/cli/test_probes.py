"""What settings of a mesh open beyond SMI is told as that, by every verb that plans or judges."""

from __future__ import annotations

import json

import pytest

from tests.servers.folder import CONFIG, WORKLOADS, Folder

PROBES = "{networks: [10.0.0.0/16], allow: [{account: shop/api, port: 8080, path: /healthz}]}"
LINKERD = "owner: '11111111111111111111111111111111'\n" + CONFIG.replace(
    "{name: vms, adapter: vm}",
    f"{{name: linkerd, adapter: linkerd, config: {{probes: {PROBES}}}, sink: {{path: rendered}}}}",
)
SERVICE = WORKLOADS.rpartition("---\n")[2]
OPENED = '"probes" in smihub.yaml opens GET /healthz on port 8080 to callers in 10.0.0.0/16, who need no identity'


def deployment(name: str) -> str:
    """A Deployment with an account of its name, labelled and annotated for Linkerd."""
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  template:
    metadata:
      labels: {{app: {name}, smihub.io/sa: {name}}}
      annotations: {{config.linkerd.io/default-inbound-policy: deny}}
    spec: {{serviceAccountName: {name}, containers: [{{name: app, ports: [{{containerPort: 8080}}]}}]}}
"""


@pytest.fixture(name="pods")
def make_pods(folder: Folder) -> Folder:
    """`web` may GET /books from `api`, and a probe of `api` is opened; both are Pods."""
    folder.config(LINKERD)
    folder.write("workloads.yaml", deployment("web"), deployment("api"), SERVICE)
    return folder


@pytest.mark.thorough
def test_a_plan_tells_what_is_opened(pods: Folder) -> None:
    """In text, as data, for a pull request; it refuses nothing, and is told again when nothing changes."""
    plan = pods.run("plan")
    assert plan.exit_code == 2
    assert "  let in, although SMI denies it (1)" in plan.stdout
    (told,) = (line for line in plan.stdout.splitlines() if "/healthz" in line)
    assert told.startswith(f"    open ServiceAccount/shop/api: {OPENED}. Effect on linkerd: GET /healthz on port 8080")
    assert "is let in from every caller" in told
    assert "not possible in this mesh" not in plan.stdout
    (loss,) = json.loads(pods.run("plan", "-o", "json").stdout)["meshes"][0]["losses"]
    assert (loss["code"], loss["message"]) == ("linkerd.opened-network", OPENED)
    assert "! let in, although SMI denies it: GET /healthz" in pods.run("plan", "-o", "markdown").stdout
    assert pods.run("check").exit_code == 0
    assert pods.run("apply", "--yes").exit_code == 0
    assert OPENED in pods.run("plan").stdout


def test_explain_names_what_opens_a_request(pods: Folder) -> None:
    """And calls nothing wider that SMI allows as well, nor what stays denied."""
    asked = ("explain", "--from", "shop/cron", "--to", "shop/api:80", "--path")
    opened = pods.run(*asked, "/healthz").stdout
    assert (
        f"opened by smihub.yaml: verdict allow instead of deny; backends api allow instead of api deny: {OPENED}"
        in opened
    )
    assert "WIDER" not in opened
    for path in ("/healthz/", "/books"):
        assert "the same as SMI" in pods.run(*asked, path).stdout
    granted = pods.run("explain", "--from", "shop/web", "--to", "shop/api:80", "--path", "/books").stdout
    assert "the same as SMI" in granted


def test_settings_that_are_wrong_are_told_with_their_line(pods: Folder) -> None:
    """A network with addresses beside its prefix, and a path that is a pattern."""
    pods.config(LINKERD.replace("10.0.0.0/16", "10.0.0.7/16"))
    result = pods.run("check")
    assert result.exit_code == 1
    assert 'smihub.yaml:6: meshes[0].config.probes: "10.0.0.7/16" is not a network; write' in result.output
    pods.config(LINKERD.replace("/healthz", "/health?z"))
    assert 'probes.allow[0]: "path" is "/health?z"; expected a path without query' in pods.run("check").output

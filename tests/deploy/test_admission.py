"""deploy/admission on a real kube-apiserver: a Pod's label is that of its service account, whoever writes it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hub.model import SERVICE_ACCOUNT_LABEL, service_account_label
from tests.servers.istio.kube import Kube
from tests.servers.istio.plane import control_plane

pytestmark = pytest.mark.istio
POLICY = Path(__file__).parents[2] / "deploy" / "admission" / "service-account-label.yaml"
PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
LIMIT_S = 60.0
LONG = "a" * 64


class Server:
    """The API server, as one who writes Pods in namespace `shop` (governed) or `other`."""

    def __init__(self, kube: Kube) -> None:
        self._http = kube._http

    def put(self, path: str, manifest: Mapping[str, Any]) -> httpx.Response:
        """Create an object."""
        return self._http.post(path, json=manifest)

    def pod(self, name: str, account: str | None, label: str | None = None, namespace: str = "shop") -> httpx.Response:
        """Create a Pod."""
        spec: dict[str, Any] = {"containers": [{"name": "a", "image": "example.invalid/a"}]}
        spec |= {} if account is None else {"serviceAccountName": account}
        meta = {"name": name, "labels": {"app": "x"} if label is None else {SERVICE_ACCOUNT_LABEL: label}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        return self.put(f"/api/v1/namespaces/{namespace}/pods", body)

    def relabel(self, name: str, label: str | None) -> httpx.Response:
        """Write (None: remove) the label of a Pod that runs."""
        body = {"metadata": {"labels": {SERVICE_ACCOUNT_LABEL: label}}}
        kind = {"content-type": "application/merge-patch+json"}
        return self._http.patch(f"/api/v1/namespaces/shop/pods/{name}", json=body, headers=kind)

    def gone(self, name: str) -> None:
        """Delete a Pod."""
        self._http.delete(f"/api/v1/namespaces/shop/pods/{name}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An API server with the policies in force."""
    with control_plane(tmp_path_factory.mktemp("admission")) as plane:
        server = Server(plane.kube)
        for name, labels in (("shop", {"smihub.io/governed": "true"}), ("other", {})):
            meta = {"name": name, "labels": labels}
            server.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
            for account in ("default", "api", "h.x", LONG):
                body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
                server.put(f"/api/v1/namespaces/{name}/serviceaccounts", body)
        for manifest in yaml.safe_load_all(POLICY.read_text()):
            path = f"/apis/admissionregistration.k8s.io/v1/{PLURALS[manifest['kind']]}"
            assert server.put(path, manifest).status_code == 201
        _await_force(server)
        yield server


def _await_force(server: Server) -> None:
    """Policies are in force a moment after they are written."""
    until = time.monotonic() + LIMIT_S
    while True:
        made, wrong = server.pod("probe", "api"), server.pod("wrong", LONG, "web")
        server.gone("probe")
        server.gone("wrong")
        if label_of(made) == "api" and wrong.status_code == 422:
            return
        assert time.monotonic() < until, f"not in force: {made.text[:300]} {wrong.text[:300]}"
        time.sleep(0.2)


def label_of(answer: httpx.Response) -> str | None:
    """The label of the Pod that was stored; None if none was."""
    found = answer.json()["metadata"].get("labels", {}) if answer.status_code == 201 else {}
    value: str | None = found.get(SERVICE_ACCOUNT_LABEL)
    return value


@pytest.mark.parametrize(("account", "label"), [("api", "api"), (None, "default"), ("default", "default")])
def test_a_new_pod_gets_its_label(server: Server, account: str | None, label: str) -> None:
    """Whether the template has one or not, and whatever it says."""
    for number, written in enumerate((None, label, "somebody-else")):
        name = f"new-{label}-{account is None}-{number}".lower()
        made = server.pod(name, account, written)
        assert label_of(made) == label == service_account_label(account or "default"), made.text


def test_nobody_changes_the_label_later(server: Server) -> None:
    """Neither to another account's, nor to none: the Pod would leave its policy."""
    assert server.pod("runs", "api").status_code == 201
    for label in ("web", None, ""):
        answer = server.relabel("runs", label)
        assert answer.status_code == 422, answer.text
        assert "must be that of service account" in answer.text
    assert server.relabel("runs", "api").status_code == 200


@pytest.mark.parametrize("account", ["h.x", LONG])
def test_accounts_without_a_label_of_their_own_need_a_digest(server: Server, account: str) -> None:
    """Such a Pod is refused without one, for it would be open; the right digest is let in."""
    name = f"digest-{len(account)}"
    assert server.pod(name, account).status_code == 422
    assert server.pod(name, account, "api").status_code == 422
    assert label_of(server.pod(name, account, service_account_label(account))) == service_account_label(account)


def test_other_namespaces_are_left_alone(server: Server) -> None:
    """Only those that asked for it."""
    assert label_of(server.pod("free", "api", "anything", namespace="other")) == "anything"
    assert label_of(server.pod("bare", "api", namespace="other")) is None

"""An API server on which deploy/admission is in force in the namespace `shop`, and who writes Pods there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from hub.model import SERVICE_ACCOUNT_LABEL, service_account_label
from tests.servers.istio.kube import Kube
from tests.servers.istio.plane import ApiServer, api_server

POLICY = Path(__file__).parents[3] / "deploy" / "admission" / "service-account-label.yaml"
RBAC = "rbac.authorization.k8s.io/v1"
LONG, UNLISTED = "a" * 64, "b" * 64
"""Accounts whose labels are digests; one of them is listed."""
DOTTED = "h.x"
ACCOUNTS = ("default", "api", "web", DOTTED, LONG, UNLISTED)
PODS = "/api/v1/namespaces/shop/pods"
_REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
_PLACES = {
    "MutatingAdmissionPolicy": f"{_REGISTRATION}/mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": f"{_REGISTRATION}/mutatingadmissionpolicybindings",
    "ValidatingAdmissionPolicy": f"{_REGISTRATION}/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": f"{_REGISTRATION}/validatingadmissionpolicybindings",
    "Namespace": "/api/v1/namespaces",
    "ConfigMap": "/api/v1/namespaces/smihub-system/configmaps",
}
_LIMIT_S = 60.0


class Writer:
    """One user of the API server; every answer is given as it came."""

    def __init__(self, kube: Kube) -> None:
        self._http = kube._http

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Any request."""
        return self._http.request(method, path, json=body, **more)

    def pod(self, name: str, account: str | None, label: str | None = None, namespace: str = "shop") -> httpx.Response:
        """Create a Pod."""
        return self.send("POST", f"/api/v1/namespaces/{namespace}/pods", pod(name, account, label))

    def relabel(self, name: str, label: str | None, namespace: str = "shop", part: str = "") -> httpx.Response:
        """Write (None: remove) the label of a Pod that runs."""
        return self.merge(name, {"metadata": {"labels": {SERVICE_ACCOUNT_LABEL: label}}}, namespace, part)

    def merge(self, name: str, change: Any, namespace: str = "shop", part: str = "") -> httpx.Response:
        """Merge a change into a Pod."""
        kind = {"content-type": "application/merge-patch+json"}
        return self.send("PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}{part}", change, headers=kind)

    def gone(self, name: str, namespace: str = "shop") -> None:
        """Delete a Pod at once."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self.send("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})

    def unbound(self, namespace: str = "shop") -> dict[str, str | None]:
        """Pods whose label is not that of their account, with what it is."""
        answer = self.send("GET", f"/api/v1/namespaces/{namespace}/pods").raise_for_status()
        labels = {one["metadata"]["name"]: _label(one) for one in answer.json()["items"]}
        accounts = {one["metadata"]["name"]: one["spec"].get("serviceAccountName") for one in answer.json()["items"]}
        right = {name: service_account_label(account or "default") for name, account in accounts.items()}
        return {name: label for name, label in labels.items() if label != right[name]}


def pod(name: str, account: str | None, label: str | None = None) -> dict[str, Any]:
    """A Pod as a manifest."""
    spec: dict[str, Any] = {"containers": [{"name": "a", "image": "example.invalid/a"}]}
    spec |= {} if account is None else {"serviceAccountName": account}
    meta = {"name": name, "labels": {"app": "x"} if label is None else {SERVICE_ACCOUNT_LABEL: label}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def label_of(answer: httpx.Response) -> str | None:
    """The label of the Pod that was stored; None if none was."""
    return _label(answer.json()) if answer.status_code in {200, 201} else None


def _label(one: Mapping[str, Any]) -> str | None:
    value: str | None = one["metadata"].get("labels", {}).get(SERVICE_ACCOUNT_LABEL)
    return value


@contextmanager
def governed_server(folder: Path, users: Sequence[str] = ()) -> Iterator[ApiServer]:
    """An API server with the policies in force in `shop`, and not in `other` and `older`; users may do anything to Pods."""
    with api_server(folder, users) as server:
        writer = Writer(server.kube)
        for namespace in ("shop", "other", "older"):
            _namespace(writer, namespace, {"smihub.io/governed": "true"} if namespace == "shop" else {})
            _let(writer, namespace, users)
        for manifest in yaml.load_all(POLICY.read_text(), yaml.CSafeLoader):
            if manifest["kind"] == "ConfigMap":
                manifest["data"] = {account: service_account_label(account) for account in (LONG, DOTTED)}
            assert writer.send("POST", _PLACES[manifest["kind"]], manifest).status_code == 201, manifest
        await_that(lambda: _is_in_force(writer))
        yield server


def await_that(holds: Callable[[], bool]) -> None:
    """Wait until something holds that the server brings about by itself."""
    until = time.monotonic() + _LIMIT_S
    while not holds():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.1)


def _is_in_force(writer: Writer) -> bool:
    """Policies are in force a moment after they are written, and lists are known a moment later."""
    names = {"probe": ("api", None), "wrong": (LONG, "h." + "0" * 40), "right": (LONG, service_account_label(LONG))}
    made = {name: writer.pod(name, *how) for name, how in names.items()}
    bound = not writer.relabel("probe", "web").is_success
    for name in names:
        writer.gone(name)
    return bound and label_of(made["probe"]) == "api" and made["right"].is_success and not made["wrong"].is_success


def resources_of_pods(writer: Writer) -> dict[str, set[str]]:
    """All that this server has of Pods, and the verbs of each: RBAC knows no wildcard below a resource."""
    found = writer.send("GET", "/api/v1").raise_for_status().json()["resources"]
    return {one["name"]: set(one["verbs"]) for one in found if one["name"].partition("/")[0] in {"pods", "bindings"}}


def _namespace(writer: Writer, name: str, labels: Mapping[str, str]) -> None:
    meta = {"name": name, "labels": dict(labels)}
    writer.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    for account in ACCOUNTS:
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
        writer.send("POST", f"/api/v1/namespaces/{name}/serviceaccounts", body)


def _let(writer: Writer, namespace: str, users: Sequence[str]) -> None:
    """Give these users every verb on Pods, on all that is below them, and on bindings."""
    meta = {"name": "pods"}
    rules = [{"apiGroups": ["", "policy"], "resources": sorted(resources_of_pods(writer)), "verbs": ["*"]}]
    role = {"apiVersion": RBAC, "kind": "Role", "metadata": meta, "rules": rules}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user} for user in users]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"}
    binding = {"apiVersion": RBAC, "kind": "RoleBinding", "metadata": meta, "subjects": subjects, "roleRef": reference}
    for plural, body in (("roles", role), ("rolebindings", binding)):
        answer = writer.send("POST", f"/apis/{RBAC}/namespaces/{namespace}/{plural}", body)
        assert answer.is_success, answer.text

"""A tenant with every verb on Pods and on all below them does not get a Pod out of its policy, or into another's.

Each way to write is tried with each wrong label on a real kube-apiserver; afterwards the label of every Pod is still that of
its service account. Discovery tells whether the server knows a resource or verb that is not tried here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from hub.model import SERVICE_ACCOUNT_LABEL, service_account_label
from tests.servers.istio.admission import LONG, PODS, Writer, governed_server, pod, resources_of_pods
from tests.servers.istio.plane import ApiServer

pytestmark = pytest.mark.istio
TENANT = "tenant"
WRONG = (None, "", "web", "h." + "0" * 40, service_account_label("c" * 64))
OBJECTS = ("", "/status", "/ephemeralcontainers", "/resize")
"""What is written as a Pod: Pods themselves, and parts of them."""
CONNECTS = ("attach", "exec", "portforward", "proxy")
TRIED: Mapping[str, set[str]] = {
    "pods": {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
    "pods/status": {"get", "patch", "update"},
    "pods/ephemeralcontainers": {"get", "patch", "update"},
    "pods/resize": {"get", "patch", "update"},
    "pods/binding": {"create"},
    "bindings": {"create"},
    "pods/eviction": {"create"},
    "pods/log": {"get"},
    "pods/attach": {"create", "get"},
    "pods/exec": {"create", "get"},
    "pods/portforward": {"create", "get"},
    "pods/proxy": {"create", "delete", "get", "patch", "update"},
}
Way = Callable[[Writer, str, str | None], httpx.Response]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with the policies in force."""
    with governed_server(tmp_path_factory.mktemp("tenant"), [TENANT]) as running:
        yield running


@pytest.fixture(params=["api", LONG], ids=["plain", "digest"])
def runs(request: pytest.FixtureRequest, server: ApiServer) -> Iterator[str]:
    """A Pod of an account, and the account's name; written by the tenant, who so owns its fields."""
    account: str = request.param
    tenant = Writer(server.client(TENANT))
    made = _apply(tenant, "runs", pod("runs", account, service_account_label(account)))
    assert made.status_code == 201, made.text
    yield account
    Writer(server.kube).gone("runs")


def _apply(tenant: Writer, name: str, body: Any, part: str = "") -> httpx.Response:
    kind = {"content-type": "application/apply-patch+yaml"}
    return tenant.send("PATCH", f"{PODS}/{name}{part}?fieldManager=t&force=true", body, headers=kind)


def _labelled(body: dict[str, Any], label: str | None) -> dict[str, Any]:
    """The Pod with this label, or without."""
    labels = {key: value for key, value in body["metadata"].get("labels", {}).items() if key != SERVICE_ACCOUNT_LABEL}
    labels |= {} if label is None else {SERVICE_ACCOUNT_LABEL: label}
    return {**body, "metadata": {**body["metadata"], "labels": labels}}


def _update(part: str) -> Way:
    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        body = tenant.send("GET", f"{PODS}/runs{part}").json()
        return tenant.send("PUT", f"{PODS}/runs{part}", _labelled(body, label))

    return way


def _merge(part: str, kind: str) -> Way:
    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        change = {"metadata": {"labels": {SERVICE_ACCOUNT_LABEL: label}}}
        return tenant.send("PATCH", f"{PODS}/runs{part}", change, headers={"content-type": f"application/{kind}+json"})

    return way


def _json_patch(part: str) -> Way:
    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        path = "/metadata/labels/" + SERVICE_ACCOUNT_LABEL.replace("/", "~1")
        step = {"op": "remove", "path": path} if label is None else {"op": "replace", "path": path, "value": label}
        kind = {"content-type": "application/json-patch+json"}
        return tenant.send("PATCH", f"{PODS}/runs{part}", [step], headers=kind)

    return way


def _all_labels(part: str) -> Way:
    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        labels = {"app": "x"} if label is None else {SERVICE_ACCOUNT_LABEL: label}
        step = {"op": "replace", "path": "/metadata/labels", "value": labels}
        kind = {"content-type": "application/json-patch+json"}
        return tenant.send("PATCH", f"{PODS}/runs{part}", [step], headers=kind)

    return way


def _applied(part: str) -> Way:
    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        return _apply(tenant, "runs", _labelled(pod("runs", account, "x"), label), part)

    return way


def _other_account(part: str) -> Way:
    """With the account in the object that the label would be right for."""

    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        body = _labelled(tenant.send("GET", f"{PODS}/runs").json(), label)
        other = "web" if label == "web" else "c" * 64
        spec = {**body["spec"], "serviceAccountName": other, "serviceAccount": other}
        return tenant.send("PUT", f"{PODS}/runs{part}", {**body, "spec": spec})

    return way


def _with_a_name(path: str, kind: str, version: str = "v1") -> Way:
    """A Binding or an Eviction for a Pod that waits."""

    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        tenant.pod("waits", account, service_account_label(account))
        labels = {} if label is None else {SERVICE_ACCOUNT_LABEL: label}
        meta = {"name": "waits", "labels": labels, "annotations": {SERVICE_ACCOUNT_LABEL: label or ""}}
        target = {"target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}} if kind == "Binding" else {}
        return tenant.send("POST", path, {"apiVersion": version, "kind": kind, "metadata": meta, **target})

    return way


def _created(how: str) -> Way:
    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        body = _labelled(pod("made", account, "x"), label)
        if how == "apply":
            return _apply(tenant, "made", body)
        if how == "update":
            return tenant.send("PUT", f"{PODS}/made", body)
        if how == "generateName":
            body["metadata"] = {"generateName": "made-", "labels": body["metadata"]["labels"]}
        elif how == "serviceAccount":
            body["spec"]["serviceAccount"] = body["spec"].pop("serviceAccountName")
        elif how == "bound":
            body["spec"]["nodeName"] = "n1"
        return tenant.send("POST", PODS, body)

    return way


def _again(path: str) -> Way:
    """Deleted, and made anew with the label."""

    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        tenant.send("DELETE", path, now)
        return _created("create")(tenant, account, label)

    return way


def _connect(method: str, part: str) -> Way:
    def way(tenant: Writer, account: str, label: str | None) -> httpx.Response:
        change = {"metadata": {"labels": {SERVICE_ACCOUNT_LABEL: label}}}
        return tenant.send(method, f"{PODS}/runs/{part}?command=x&ports=80&stdout=true", change)

    return way


WAYS: dict[str, Way] = {
    **{f"update pods{part}": _update(part) for part in OBJECTS},
    **{f"update pods{part} with another account": _other_account(part) for part in OBJECTS},
    **{f"merge patch pods{part}": _merge(part, "merge-patch") for part in OBJECTS},
    **{f"strategic patch pods{part}": _merge(part, "strategic-merge-patch") for part in OBJECTS},
    **{f"json patch pods{part}": _json_patch(part) for part in OBJECTS},
    **{f"json patch of all labels, pods{part}": _all_labels(part) for part in OBJECTS},
    **{f"apply pods{part}": _applied(part) for part in OBJECTS},
    **{
        f"create pods, {how}": _created(how)
        for how in ("create", "apply", "update", "generateName", "serviceAccount", "bound")
    },
    "create pods/binding": _with_a_name(f"{PODS}/waits/binding", "Binding"),
    "create bindings": _with_a_name(PODS.removesuffix("pods") + "bindings", "Binding"),
    "create pods/eviction": _with_a_name(f"{PODS}/waits/eviction", "Eviction", "policy/v1"),
    "delete pods, create": _again(f"{PODS}/runs"),
    "deletecollection pods, create": _again(PODS),
    **{f"{method} pods/{part}": _connect(method, part) for part in CONNECTS for method in ("GET", "POST")},
    **{f"{method} pods/proxy": _connect(method, "proxy") for method in ("PUT", "PATCH", "DELETE")},
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_write_a_pod_gives_it_a_wrong_label(server: ApiServer, runs: str, way: str) -> None:
    """Refused, or without effect on the label."""
    tenant, administrator = Writer(server.client(TENANT)), Writer(server.kube)
    for label in WRONG:
        answer = WAYS[way](tenant, runs, label)
        assert answer.status_code != 403, f"the tenant may not even try: {answer.text}"
        assert not administrator.unbound(), f"{way} {label!r}: {answer.status_code} {answer.text[:300]}"
        for one in administrator.send("GET", PODS).json()["items"]:
            if one["metadata"]["name"] != "runs":
                administrator.gone(one["metadata"]["name"])


def test_every_resource_and_verb_of_pods_is_tried(server: ApiServer) -> None:
    """What a later Kubernetes adds is red here first."""
    assert resources_of_pods(Writer(server.kube)) == TRIED
    assert all(any(name in way for way in WAYS) for name in TRIED if TRIED[name] - {"get"})


def test_a_binding_without_the_label_is_taken(server: ApiServer, runs: str) -> None:
    """As the scheduler writes it: the policy is in nobody's way."""
    tenant = Writer(server.client(TENANT))
    target = {"apiVersion": "v1", "kind": "Node", "name": "n1"}
    meta = {"name": "runs", "labels": {"topology.kubernetes.io/zone": "z"}}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target}
    assert tenant.send("POST", f"{PODS}/runs/binding", body).status_code == 201
    assert tenant.send("GET", f"{PODS}/runs").json()["spec"]["nodeName"] == "n1"


def test_what_a_tenant_may_is_no_more_than_pods(server: ApiServer) -> None:
    """The policies, the list and the label of the namespace are not the tenant's."""
    tenant = Writer(server.client(TENANT))
    assert tenant.send("GET", PODS).status_code == 200
    for path in (
        "/api/v1/namespaces/shop",
        "/api/v1/namespaces/smihub-system/configmaps/smihub-service-account-digests",
    ):
        change = json.loads('{"metadata": {"labels": null}, "data": {}}')
        kind = {"content-type": "application/merge-patch+json"}
        assert tenant.send("PATCH", path, change, headers=kind).status_code == 403

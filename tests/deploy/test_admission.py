"""deploy/admission on a real kube-apiserver: a Pod's label is that of its service account, and Pods can still be run.

What somebody with every right on Pods can do against it is tried in tests/adversary/test_tenant.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hub.model import SERVICE_ACCOUNT_LABEL, service_account_label
from tests.servers.istio.admission import (
    DOTTED,
    LONG,
    PODS,
    POLICY,
    UNLISTED,
    Writer,
    await_that,
    governed_server,
    label_of,
    pod,
)

pytestmark = pytest.mark.istio
LIST = "/api/v1/namespaces/smihub-system/configmaps/smihub-service-account-digests"
UPDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "an annotation": ("", {"metadata": {"annotations": {"a": "b"}}}),
    "a finalizer": ("", {"metadata": {"finalizers": ["example.invalid/x"]}}),
    "another label": ("", {"metadata": {"labels": {"version": "v2"}}}),
    "an image": ("", {"spec": {"containers": [{"name": "a", "image": "example.invalid/b"}]}}),
    "the status": ("/status", {"status": {"phase": "Running", "podIP": "10.0.0.1"}}),
    "a label by status": ("/status", {"metadata": {"labels": {"version": "v3"}}}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    """An API server with the policies in force."""
    with governed_server(tmp_path_factory.mktemp("admission")) as running:
        yield Writer(running.kube)


def test_every_policy_fails_closed() -> None:
    """An error in an expression, or a list that is missing, refuses; every binding denies."""
    found = list(yaml.load_all(POLICY.read_text(), yaml.CSafeLoader))
    policies = [one["spec"] for one in found if one["kind"].endswith("AdmissionPolicy")]
    bindings = [one["spec"] for one in found if one["kind"].endswith("AdmissionPolicyBinding")]
    assert {one["failurePolicy"] for one in policies} == {"Fail"}
    assert all(one.get("validationActions", ["Deny"]) == ["Deny"] for one in bindings)
    assert all(one.get("paramRef", {}).get("parameterNotFoundAction", "Deny") == "Deny" for one in bindings)
    assert len(policies) == len(bindings) == 3


@pytest.mark.parametrize(
    ("account", "label"), [("api", "api"), (None, "default"), ("default", "default"), ("", "default")]
)
def test_a_new_pod_gets_its_label(server: Writer, account: str | None, label: str) -> None:
    """Whether the template has one or not, and whatever it says."""
    for number, written in enumerate((None, label, "somebody-else", "h." + "0" * 40)):
        made = server.pod(f"new-{number}", account, written)
        server.gone(f"new-{number}")
        assert label_of(made) == label == service_account_label(account or "default"), made.text


def test_the_deprecated_field_is_the_account(server: Writer) -> None:
    """`spec.serviceAccount` alone, or beside another name, which wins in Kubernetes as well."""
    for both in ({}, {"serviceAccountName": "api"}):
        body = pod("old-field", None)
        body["spec"] |= {"serviceAccount": "web" if both else "api", **both}
        made = server.send("POST", PODS, body)
        server.gone("old-field")
        assert label_of(made) == "api" == made.json()["spec"]["serviceAccountName"], made.text


def test_a_mirror_of_a_static_pod_gets_the_label_of_the_default_account(server: Writer) -> None:
    """A kubelet writes it without an account."""
    body = pod("static", None)
    body["spec"]["nodeName"] = "n1"
    body["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.source": "file"}
    made = server.send("POST", PODS, body)
    server.gone("static")
    assert label_of(made) == "default", made.text


@pytest.mark.parametrize("account", [DOTTED, LONG, UNLISTED])
def test_accounts_without_a_label_of_their_own_need_a_listed_digest(server: Writer, account: str) -> None:
    """Such a Pod is refused without it, for it would be open, and with another's, whose callers it would get."""
    name, listed = f"digest-{account[0]}", account != UNLISTED
    others = (None, "api", "h." + "0" * 40, service_account_label("c" * 64), account[:63])
    for label in others:
        assert server.pod(name, account, label).status_code == 422, label
    made = server.pod(name, account, service_account_label(account))
    assert (made.status_code, label_of(made)) == ((201, service_account_label(account)) if listed else (422, None))
    assert listed or "smihub-service-account-digests must list it" in made.text
    assert not listed or server.merge(name, {"metadata": {"annotations": {"a": "b"}}}).status_code == 200
    server.gone(name)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("label", [None, "web"])
def test_a_pod_older_than_the_label_of_its_namespace_can_be_updated(
    server: Writer, update: str, label: str | None
) -> None:
    """Its own label stays as it is, or becomes the right one, and no other."""
    name = f"old-{label}-{sorted(UPDATES).index(update)}".lower()
    _govern(server, "older", governed=False)
    server.pod(name, "api", label, namespace="older")
    _govern(server, "older", governed=True)
    part, change = UPDATES[update]
    assert server.merge(name, change, "older", part).status_code == 200
    for wrong in ("other", "", None if label else "web"):
        for below in ("", "/status"):
            assert server.relabel(name, wrong, "older", below).status_code == 422, (wrong, below)
    assert server.relabel(name, "api", "older").status_code == 200
    assert server.relabel(name, label, "older").status_code == 422
    server.gone(name, "older")
    assert server.merge(name, {"metadata": {"finalizers": None}}, "older").status_code in {200, 404}


def test_without_the_list_no_pod_is_created_and_those_that_run_go_on(server: Writer) -> None:
    """It fails closed, and no further than it must."""
    kept = server.send("GET", LIST).json()
    assert server.pod("runs", "api").status_code == 201
    server.send("DELETE", LIST)
    await_that(lambda: not _made(server, LONG))
    assert not _made(server, "api")
    assert server.merge("runs", {"metadata": {"annotations": {"a": "b"}}}).status_code == 200
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": kept["metadata"]["name"]},
        "data": kept["data"],
    }
    server.send("POST", LIST.rpartition("/")[0], body)
    await_that(lambda: _made(server, LONG))
    server.gone("runs")


def test_other_namespaces_are_left_alone(server: Writer) -> None:
    """Only those that asked for it."""
    assert label_of(server.pod("free", "api", "anything", namespace="other")) == "anything"
    assert label_of(server.pod("bare", "api", namespace="other")) is None


def _made(server: Writer, account: str) -> bool:
    made = server.pod("tried", account, service_account_label(account))
    server.gone("tried")
    return made.is_success


def _govern(server: Writer, namespace: str, *, governed: bool) -> None:
    """Label the namespace, and wait until that counts."""
    change = {"metadata": {"labels": {"smihub.io/governed": "true" if governed else None}}}
    kind = {"content-type": "application/merge-patch+json"}
    server.send("PATCH", f"/api/v1/namespaces/{namespace}", change, headers=kind).raise_for_status()
    await_that(lambda: _is_labelled(server, namespace) == governed)


def _is_labelled(server: Writer, namespace: str) -> bool:
    made = server.pod("asked", "api", namespace=namespace)
    refused = not server.relabel("asked", "web", namespace).is_success
    server.gone("asked", namespace)
    assert SERVICE_ACCOUNT_LABEL not in made.request.content.decode()
    return refused and label_of(made) == "api"

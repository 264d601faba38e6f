"""Labels that bind Pods to policies: who lacks one, who carries a foreign one, and what to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hub.api import Excluded
from hub.binding import CODE, UNANNOTATED, excluded, unannotated, unbound
from hub.model import SERVICE_ACCOUNT_LABEL, Document, UnitKey, service_account_label
from hub.smi import decode
from hub.store import Store
from hub.testing.kit import read_documents
from tests.servers.folder import Folder
from tests.servers.hubs import hub_of

ISTIO = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes: [{name: istio, adapter: istio, sink: {kind: directory, path: rendered}}]
"""

POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {labels}}}
spec: {{serviceAccountName: {account}, containers: []}}
---
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: x}}}}
  template:
    metadata: {{labels: {labels}}}
    spec: {{serviceAccountName: {account}, containers: []}}
---
"""
CRON = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  schedule: "@daily"
  jobTemplate: {spec: {template: {spec: {serviceAccountName: api, containers: []}}}}
---
"""
API = UnitKey("access", "shop", "api")


def store_of(text: str) -> Store:
    """A store of these objects."""
    store = Store("cluster.local")
    store.upsert("folder", "all.yaml", [decode(document, DENY) for document in read_documents(text)])
    return store


def pod(name: str, account: str, labels: str = "{}") -> str:
    """A Pod."""
    return POD.format(name=name, account=account, labels=labels)


def deployment(name: str, account: str, labels: str = "{}") -> str:
    """A Deployment."""
    return DEPLOYMENT.format(name=name, account=account, labels=labels)


def test_labelled_workloads_are_bound() -> None:
    """Nothing to say where every Pod of the account has the label and nobody else has."""
    text = pod("a", "api", "{smihub.io/sa: api}") + deployment("b", "api", "{smihub.io/sa: api}") + pod("c", "web")
    assert not list(unbound(store_of(text), API))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (pod("a", "api"), "metadata.labels"),
        (deployment("b", "api", "{app: x}"), "spec.template.metadata.labels"),
        (deployment("b", "api", "{smihub.io/sa: web}"), "spec.template.metadata.labels"),
        (CRON, "spec.jobTemplate.spec.template.metadata.labels"),
    ],
    ids=["pod", "template", "another value", "cron job"],
)
def test_a_missing_label_is_told_with_the_line_to_add(text: str, place: str) -> None:
    """Such Pods would be open: no policy selects them."""
    (refusal,) = unbound(store_of(text), API)
    assert (refusal.code, refusal.unit) == (CODE, API)
    assert refusal.remedy == f'add "smihub.io/sa: api" to {place}'


def test_a_foreign_label_is_told() -> None:
    """A Pod of another account would get the callers of this one."""
    text = pod("a", "api", "{smihub.io/sa: api}") + pod("thief", "web", "{smihub.io/sa: api}")
    (refusal,) = unbound(store_of(text), API)
    assert "Pod/shop/thief" in refusal.message
    assert refusal.remedy == "remove the label from metadata.labels"


def test_workloads_on_machines_need_no_label() -> None:
    """A smihub.io Workload is configured by name."""
    text = (
        "apiVersion: smihub.io/v1alpha1\nkind: Workload\nmetadata: {name: vm, namespace: shop}\n"
        "spec: {serviceAccount: api, addresses: [127.0.0.1]}\n"
    )
    assert not list(unbound(store_of(text), API))


def test_a_label_that_comes_or_goes_makes_its_unit_dirty() -> None:
    """So that a running hub looks at the guard again."""
    store = store_of(pod("a", "api"))
    store.compile(API)
    store.dirty()
    document = read_documents(pod("a", "api", "{smihub.io/sa: api}"))[0]
    store.upsert("folder", "all.yaml", [decode(Document(document.value, document.origin))])
    assert API in store.dirty()
    assert not list(unbound(store, API))


@pytest.mark.parametrize("account", ["api", "a" * 63, "with.dots"])
def test_an_account_is_its_own_label_where_it_can_be(account: str) -> None:
    """People read and write the value."""
    assert service_account_label(account) == account


def test_label_values_are_valid_and_never_shared() -> None:
    """Long names become digests, and a name that looks like one too."""
    long = [f"{'a' * 62}.{n}" for n in range(5)]
    values = [service_account_label(name) for name in (*long, "h.0", service_account_label(long[0]))]
    assert len(set(values)) == len(values)
    assert all(len(value) <= 63 and value.startswith("h.") for value in values)
    assert SERVICE_ACCOUNT_LABEL == "smihub.io/sa"


DENY = {"config.linkerd.io/default-inbound-policy": "deny"}


def annotated(text: str, value: str) -> str:
    """The same with the annotation in its metadata."""
    return text.replace(
        "labels: {}", f"labels: {{}}, annotations: {{config.linkerd.io/default-inbound-policy: {value}}}"
    )


def test_annotated_workloads_are_bound() -> None:
    """And a mesh that asks for nothing finds nothing; others are not asked."""
    text = annotated(pod("a", "api"), "deny") + annotated(deployment("b", "api"), "deny") + pod("c", "web")
    assert not list(unannotated(store_of(text), API, DENY))
    assert not list(unannotated(store_of(pod("a", "api")), API, {}))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (pod("a", "api"), "metadata.annotations"),
        (annotated(pod("a", "api"), "all-authenticated"), "metadata.annotations"),
        (annotated(deployment("b", "api"), "{a: b}"), "spec.template.metadata.annotations"),
        (CRON, "spec.jobTemplate.spec.template.metadata.annotations"),
    ],
    ids=["pod", "another value", "no text", "cron job"],
)
def test_a_missing_annotation_is_told_with_the_line_to_add(text: str, place: str) -> None:
    """Such Pods would let others in while they start."""
    (refusal,) = unannotated(store_of(text), API, DENY)
    assert (refusal.code, refusal.unit) == (UNANNOTATED, API)
    assert refusal.remedy == f'add "config.linkerd.io/default-inbound-policy: deny" to {place}'


def test_an_annotation_that_changes_makes_its_unit_dirty() -> None:
    """So that a running hub looks again."""
    store = store_of(annotated(deployment("b", "api"), "deny"))
    store.dirty()
    store.compile(API)
    store.upsert("folder", "all.yaml", [decode(one, DENY) for one in read_documents(deployment("b", "api"))])
    assert API in store.dirty()
    assert list(unannotated(store, API, DENY))


def test_annotations_that_no_mesh_asks_for_are_not_read() -> None:
    """They change with every rollout, and would make their units dirty."""
    (template,) = read_documents(annotated(deployment("b", "api"), "deny"))
    assert decode(template).object == decode(template, ["a.example/b"]).object != decode(template, DENY).object


AMBIENT = Excluded("istio.io/dataplane-mode", "ambient", "istio.ambient-pods", "nothing is granted to it")


@pytest.mark.parametrize(
    ("written", "place"), [(pod, "metadata"), (deployment, "spec.template.metadata")], ids=["pod", "template"]
)
def test_a_label_that_excludes_a_workload_is_told(written: Callable[[str, str, str], str], place: str) -> None:
    """With the place to remove it from; the same of another account, or with another value, is none of its business."""
    label = "{istio.io/dataplane-mode: ambient}"
    (refusal,) = excluded(store_of(written("a", "api", label)), API, AMBIENT)
    assert (refusal.code, refusal.unit, refusal.remedy) == (AMBIENT.code, API, f"remove it from {place}.labels")
    assert refusal.message.endswith('has the label "istio.io/dataplane-mode: ambient", so nothing is granted to it')
    others = written("b", "web", label) + written("c", "api", "{istio.io/dataplane-mode: none}")
    assert not list(excluded(store_of(others), API, AMBIENT))


def test_a_label_that_excludes_a_workload_makes_its_unit_dirty_in_a_running_hub(tmp_path: Path) -> None:
    """Else the running hub would tell it only when something else of the unit changes; other labels cost nothing."""
    folder = Folder(tmp_path)
    folder.config(ISTIO)
    folder.write("pod.yaml", pod("a", "api", "{app: api}"))
    hub = hub_of(tmp_path / "smihub.yaml")
    hub.read()
    assert API in hub.dirty()["istio"]
    for labels, dirty in (("{app: other}", False), ("{app: other, istio.io/dataplane-mode: ambient}", True)):
        assert hub.clusters[""].store.compile(API)[0] is not None
        folder.write("pod.yaml", pod("a", "api", labels))
        hub.read()
        assert (API in hub.dirty()["istio"]) is dirty

"""Objects that cannot be read: how much of each is known all the same, the same in both readings of SMI."""

from __future__ import annotations

from typing import Any

import pytest

from hub.memory.meet import meet
from hub.memory.permits import NOTHING, Standing, gained
from hub.model import Access, Declared, Document, Grant, Identity, ObjectRef, Origin, UnitKey
from hub.semantics.doubts import UnreadableObjects, doubt_of
from hub.semantics.envelope import read_objects
from hub.smi import decode
from hub.store import Store
from hub.testing.documents import decoded, store_of
from hub.testing.kit import read_documents

WORKLOAD = """
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}}}}}
spec: {{serviceAccount: {account}, addresses: [127.0.0.{host}], ports: [{{port: 8080}}]}}
"""
API = WORKLOAD.format(name="api-1", namespace="d", app="api", account="api", host=2)
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: d}\nspec: "
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: d}\nspec: "

EVERYBODY, NOBODY = None, ()
SELECTORS: list[tuple[str, Any]] = [
    (SERVICE + "{selector: {a: b}, ports: 1}", (("a", "b"),)),
    (SERVICE + "{selector: {}, ports: 1}", NOBODY),
    (SERVICE + "{ports: 1}", NOBODY),
    (SERVICE + "{selector: null, ports: 1}", NOBODY),
    (SERVICE + "{selector: [a]}", EVERYBODY),
    (SERVICE + "{selector: {a: 1}}", EVERYBODY),
    (SERVICE + "[]", EVERYBODY),
    (SERVICE.replace("v1", "v2") + "{selector: {a: b}}", EVERYBODY),
    (SERVICE.replace("name: s", "name: S") + "{selector: {a: b}}", (("a", "b"),)),
    (SERVICE.replace("namespace: d", "namespace: D") + "{selector: {a: b}}", EVERYBODY),
    (SERVICE.replace("apiVersion: v1", "apiVersion: null") + "{selector: {a: b}}", EVERYBODY),
    (SERVICE.replace("apiVersion: v1", "apiVersion: [v1]") + "{selector: {a: b}}", EVERYBODY),
]
JOB = POD.replace("v1", "batch/v1").replace("Pod", "Job")
CRON = JOB.replace("Job", "CronJob")
VM = POD.replace("v1", "smihub.io/v1alpha1").replace("Pod", "Workload")
ACCOUNTS: list[tuple[str, str | None]] = [
    (POD + "{serviceAccountName: api, containers: 1}", "api"),
    (POD + "{serviceAccount: api, containers: 1}", "api"),
    (POD + "{containers: 1}", "default"),
    (POD + "{serviceAccountName: [api]}", None),
    (POD + "{serviceAccountName: api, serviceAccount: 1}", None),
    (POD + "{serviceAccountName: A}", None),
    (POD + "1", None),
    (POD.replace("v1", "v1beta1") + "{serviceAccountName: api}", None),
    (JOB + "{template: {spec: {serviceAccountName: api, containers: 1}}}", "api"),
    (JOB + "{template: {metadata: 1}}", "default"),
    (JOB + "{template: 1}", None),
    (JOB + "{}", None),
    (CRON + "{jobTemplate: {spec: {template: {spec: {serviceAccountName: api, containers: 1}}}}}", "api"),
    (CRON + "{template: {spec: {serviceAccountName: api}}}", None),
    (VM + "{serviceAccount: api}", "api"),
    (VM + "{serviceAccount: api, other: 1}", "api"),
    (VM + "{addresses: []}", None),
    (VM + "{serviceAccount: 1}", None),
]


def reference(text: str) -> Any:
    """What the reference reading makes of a document that it cannot read, None if it can."""
    counted, broken = read_objects(read_documents(text))
    return doubt_of([*broken, *counted][0])


@pytest.mark.parametrize(("text", "expected"), SELECTORS)
def test_broken_service_may_select_those_whom_its_selector_names(text: str, expected: Any) -> None:
    """A selector that can be read bounds the doubt; one that cannot, or whose version is not known, does not."""
    [document] = read_documents(text)
    doubt = decode(document).doubt
    assert doubt is not None
    assert (doubt.kind, doubt.selector) == ("service", expected)
    other = reference(text)
    assert other.is_service
    assert other.selector == (None if expected is None else frozenset(expected))
    assert (other.namespace or "") == doubt.namespace


@pytest.mark.parametrize(("text", "expected"), ACCOUNTS)
def test_broken_workload_may_run_under_the_account_that_it_names(text: str, expected: str | None) -> None:
    """An account that can be read bounds the doubt; one that cannot may be any of the namespace."""
    [document] = read_documents(text)
    doubt = decode(document).doubt
    assert doubt is not None
    assert (doubt.kind, doubt.account) == ("workload", expected)
    assert (reference(text).is_service, reference(text).account) == (False, expected)


@pytest.mark.parametrize(
    "text", ["kind: Service\napiVersion: /v1", "kind: Service\napiVersion: k.dev/v1", "kind: List"]
)
def test_documents_of_others_leave_no_doubt(text: str) -> None:
    """What is no Service of ours declares nothing."""
    assert [decode(document).doubt for document in read_documents(text)] in ([None], [])
    assert [doubt_of(one) for one in read_objects(read_documents(text))[1]] == []


# ------------------------------------------------------------------------------------------------------ in the store


def declared(store: Store, account: str = "api", namespace: str = "d") -> tuple[set[Declared], tuple[Declared, ...]]:
    """What the ports of an account declare, and those that no fact names."""
    unit, _ = store.compile(UnitKey("access", namespace, account))
    assert isinstance(unit, Access)
    return {port.declared for port in unit.ports}, unit.beyond


def test_doubt_comes_and_goes_with_the_object() -> None:
    """Units follow: a broken Service makes ports unknown, its repair or its end takes that back."""
    store = store_of(API)
    assert declared(store) == ({"none"}, ("none",))
    store.dirty()
    store.upsert("test", "more", decoded(SERVICE + "{selector: {app: api}, ports: 1}"))
    assert store.dirty() == {UnitKey("access", "d", "api")}
    assert declared(store)[0] == {"unknown"}
    store.upsert("test", "more", decoded(SERVICE + "{selector: {app: web}, ports: 1}"))
    assert declared(store)[0] == {"none"}
    store.upsert("test", "more", decoded(SERVICE + "{selector: [], ports: 1}"))
    assert declared(store)[0] == {"unknown"}
    store.upsert("test", "more", ())
    assert declared(store)[0] == {"none"}


def test_doubt_stays_while_one_of_two_has_it() -> None:
    """Two documents of one unusable name are two doubts."""
    stray = SERVICE.replace("name: s", "name: S") + "{selector: {app: api}}"
    store = store_of(API)
    store.upsert("test", "one", decoded(stray))
    store.upsert("test", "two", decoded(stray))
    store.upsert("test", "one", ())
    assert declared(store)[0] == {"unknown"}
    store.upsert("test", "two", ())
    assert declared(store)[0] == {"none"}


def test_broken_workload_makes_its_account_known_and_all_of_it_unknown() -> None:
    """Its identity is governed, be it that nothing else names it; ports that no fact names are unknown, too."""
    store = store_of(POD + "{serviceAccountName: api, containers: 1}")
    assert declared(store) == (set(), ("unknown",))
    assert declared(store_of(POD + "{serviceAccountName: [api]}\n---\n" + API)) == ({"unknown"}, ("unknown",))


def test_pods_differ_in_what_is_known_of_them() -> None:
    """A broken Service that selects some Pods of an account leaves the others as they are."""
    one = POD.replace("namespace: d", "namespace: d, labels: {app: api}") + "{serviceAccountName: api}"
    other = POD.replace("name: p", "name: q") + "{serviceAccountName: api}"
    store = store_of("\n---\n".join((one, other, SERVICE + "{selector: {app: api}, ports: 1}")))
    assert declared(store) == (set(), ("none", "unknown"))


def test_copies_that_differ_are_each_a_doubt() -> None:
    """What either selects, or runs under, is unknown; equal copies leave nothing open."""
    web = WORKLOAD.format(name="web-1", namespace="d", app="web", account="web", host=3)
    copies = [SERVICE + f"{{selector: {{app: {app}}}, ports: [{{port: 8080}}]}}" for app in ("api", "web")]
    store = store_of("\n---\n".join((API, web, *copies)))
    assert [declared(store, account)[0] for account in ("api", "web")] == [{"unknown"}, {"unknown"}]
    assert declared(store_of("\n---\n".join((API, copies[0], copies[0]))))[0] == {"none"}


def test_doubt_of_an_unusable_namespace_reaches_every_namespace() -> None:
    """Nobody can say where it belongs."""
    far = WORKLOAD.format(name="api-1", namespace="far", app="api", account="api", host=2)
    lost = SERVICE.replace("namespace: d", "namespace: 5") + "{selector: {app: web}}"
    assert declared(store_of(f"{far}---\n{lost}"), namespace="far")[0] == {"unknown"}
    index = UnreadableObjects([reference(lost)])
    assert index.may_select("far", frozenset())


def test_whoever_depends_on_a_broken_object_is_told_where_it_stands() -> None:
    """Of one that is said twice, both places."""
    target = """
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: t, namespace: d}
spec:
  destination: {kind: ServiceAccount, name: api}
  rules: [{kind: HTTPRouteGroup, name: r}]
  sources: [{kind: ServiceAccount, name: web, namespace: d}]
"""
    group = {
        "apiVersion": "specs.smi-spec.io/v1alpha4",
        "kind": "HTTPRouteGroup",
        "metadata": {"name": "r", "namespace": "d"},
    }
    store = store_of(target)
    for number, path in enumerate(("/a", "/b")):
        value = {**group, "spec": {"matches": [{"name": "m", "pathRegex": path}]}}
        store.upsert("test", f"{number}.yaml", [decode(Document(value, Origin("test", f"{number}.yaml", 7)))])
    told = [each.message for each in store.problems() if each.code == "target.route-missing"]
    assert told == [
        "HTTPRouteGroup/d/r is defined more than once with different content (test/0.yaml:7, test/1.yaml:7), so this rule grants nothing"
    ]
    store.upsert("test", "1.yaml", [decode(Document({**group, "spec": 1}, Origin("test", "1.yaml", 3)))])
    store.upsert("test", "0.yaml", ())
    assert [each.message for each in store.problems() if each.code == "target.route-missing"] == [
        "HTTPRouteGroup/d/r cannot be read (test/1.yaml:3), so this rule grants nothing"
    ]
    assert store.object(ObjectRef("specs.smi-spec.io", "HTTPRouteGroup", "d", "r")) is None


def test_ports_that_no_fact_names_are_a_gain_when_they_become_known() -> None:
    """A raw grant means nothing there while a Service that cannot be read may name them; of two states neither is believed."""
    grant = Grant(ObjectRef("", "T", "d", "t"), ("spiffe://td/ns/d/sa/web",), "TCP", None, None)
    unknown, known = Standing((grant,), beyond=("unknown",)), Standing((grant,))
    receiver = Identity("td", "d", "api")
    assert gained(receiver, (NOTHING,), unknown) == ()
    assert len(gained(receiver, (unknown,), known)) == 1
    assert meet((unknown,), Access(receiver, (grant,))).beyond == ("none", "unknown")

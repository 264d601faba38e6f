"""Receivers: identities, pods and Services, declared protocols, and what is governed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub.model import Answer, Destination, Request, Source
from hub.semantics import EVERYTHING, GovernedNamespaces, Semantics, semantics
from tests.servers.socket_paths import NO_PATHS, PATHS

Read = Callable[..., Semantics]
RequestTo = Callable[..., Request]
Target = Callable[..., str]

TALL = "[{kind: TCPRoute, name: tall}]"
A = "[{kind: HTTPRouteGroup, name: r, matches: [a]}]"
RAW = {"protocol": "tcp"}


def service(name: str, spec: str, namespace: str = "d") -> str:
    """Write a Service."""
    return f"\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"


def pod(name: str, account: str = "api", labels: str = "{app: api}", more: str = "", namespace: str = "d") -> str:
    """Write a Pod."""
    meta = f"{{name: {name}, namespace: {namespace}, labels: {labels}}}"
    return f"\n---\napiVersion: v1\nkind: Pod\nmetadata: {meta}\nspec: {{serviceAccountName: {account}{more}}}\n"


@pytest.mark.parametrize(
    ("ports", "raw_is_allowed"),
    [
        ("[{port: 7000}]", True),
        ("[{port: 7000, name: tcp-x}]", True),
        ("[{port: 7000, name: http}]", False),
        ("[{port: 7000, name: HTTP2-x}]", False),
        ("[{port: 7000, name: grpc-web}]", False),
        ("[{port: 7000, name: web-http}]", True),
        ("[{port: 7000, name: http, appProtocol: tcp}]", True),
        ("[{port: 7000, name: http, appProtocol: other}]", True),
        ("[{port: 7000, name: tcp, appProtocol: kubernetes.io/h2c}]", False),
        ("[{port: 7000, name: tcp, appProtocol: kubernetes.io/ws}]", False),
        ("[{port: 7000, name: http, appProtocol: kubernetes.io/wss}]", True),
        ("[{port: 7000, name: https}]", True),
        ("[{port: 80, name: http, targetPort: 7000}]", False),
        ("[{port: 80, name: http, targetPort: main}]", False),
        ("[{port: 80, name: http, targetPort: gone}]", True),
        ("[{port: 80, name: http, targetPort: datagrams}]", True),
        ("[{port: 7000, name: http, targetPort: 0}]", False),
        ("[{port: 7000, name: http, protocol: UDP}]", True),
        ("[{port: 7000, name: tcp}, {port: 7001, name: http, targetPort: 7000}]", False),
        ("[{port: 7000, name: http}, {port: 7001, targetPort: 7000}]", False),
    ],
)
def test_declared_protocol(
    read: Read,
    request_to: RequestTo,
    target: Target,
    *,
    ports: str,
    raw_is_allowed: bool,
) -> None:
    """The Services that select a pod declare its ports; contradiction is HTTP, unknown words declare nothing."""
    listed = "[{name: main, containerPort: 7000}, {name: datagrams, containerPort: 7000, protocol: UDP}]"
    text = pod("p", "own", "{app: own}", f", containers: [{{ports: {listed}}}]")
    text += service("own", f"{{selector: {{app: own}}, ports: {ports}}}")
    text += target(TALL).replace("name: api,", "name: own,")
    answer = read(text).judge(request_to("d/web", "pod:d/p", 7000, **RAW))
    assert (answer.verdict == "allow") == raw_is_allowed


def test_service_that_declares_nothing_for_a_pod(read: Read, request_to: RequestTo, target: Target) -> None:
    """Services of other namespaces, without selector, or with another selector declare nothing."""
    text = target(TALL) + service("a", "{selector: {app: api}, ports: [{name: http, port: 7000}]}", "e")
    text += service("b", "{ports: [{name: http, port: 7000}]}")
    text += service("c", "{selector: {app: api, x: z}, ports: [{name: http, port: 7000}]}")
    assert read(text).judge(request_to("d/web", "d/api", 7000, **RAW)).verdict == "allow"


def test_identity_needs_every_workload(read: Read, request_to: RequestTo, target: Target) -> None:
    """An identity allows what all of its workloads allow, pod templates included."""
    text = target(TALL)
    assert read(text).judge(request_to("d/web", "d/api", 7000, **RAW)).verdict == "allow"
    template = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: more, namespace: d}
spec: {template: {metadata: {labels: {app: more}}, spec: {serviceAccountName: api}}}
"""
    text += template + service("more", "{selector: {app: more}, ports: [{name: http, port: 7000}]}")
    judge = read(text).judge
    assert judge(request_to("d/web", "d/api", 7000, **RAW)) == Answer("deny")
    assert judge(request_to("d/web", "pod:d/api-0", 7000, **RAW)).verdict == "allow"
    assert judge(request_to("d/web", "pod:d/more", 7000, **RAW)) == Answer("deny")


@pytest.mark.parametrize(
    ("spec", "account"),
    [
        ("{}", "default"),
        ("{serviceAccountName: api}", "api"),
        ("{serviceAccount: api}", "api"),
        ("{serviceAccountName: api, serviceAccount: web}", "api"),
        ("{serviceAccountName: null}", "default"),
    ],
)
def test_account_of_a_pod(read: Read, request_to: RequestTo, target: Target, spec: str, account: str) -> None:
    """A pod without a service account runs as `default`."""
    text = f"\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: d}}\nspec: {spec}\n"
    text += target(TALL).replace("name: api,", f"name: {account},")
    assert read(text).judge(request_to("d/web", "pod:d/p", 7000, **RAW)).verdict == "allow"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"])
def test_pod_templates(read: Read, request_to: RequestTo, target: Target, kind: str) -> None:
    """Every kind of pod template is a workload of its identity."""
    template = "template: {metadata: {labels: {app: x}}, spec: {serviceAccountName: api}}"
    spec = f"{{jobTemplate: {{spec: {{{template}}}}}}}" if kind == "CronJob" else f"{{{template}}}"
    group = "batch/v1" if "Job" in kind else "apps/v1"
    text = f"\n---\napiVersion: {group}\nkind: {kind}\nmetadata: {{name: x, namespace: d}}\nspec: {spec}\n"
    text += target(TALL) + service("x", "{selector: {app: x}, ports: [{port: 7000}]}")
    assert read(text).judge(request_to("pod:d/x", "service:d/x", 7000, **RAW)).backends == {"x": "deny"}
    assert read(text).judge(request_to("d/web", "service:d/x", 7000, **RAW)).backends == {"x": "allow"}


def test_templates_stand_back_behind_pods(read: Read, request_to: RequestTo, target: Target) -> None:
    """Where something runs behind a Service, templates do not count."""
    template = "spec: {template: {metadata: {labels: {app: api}}, spec: {serviceAccountName: other}}}"
    text = f"\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x, namespace: d}}\n{template}\n" + target(
        TALL
    )
    judge = read(text).judge
    assert judge(request_to("d/web", "service:d/api", 5432, **RAW)).backends == {"api": "allow"}


def workload(name: str, spec: str) -> str:
    """Write a smihub.io Workload of service account api."""
    meta = f"{{name: {name}, namespace: d, labels: {{app: vm}}}}"
    return f"\n---\napiVersion: smihub.io/v1alpha1\nkind: Workload\nmetadata: {meta}\nspec: {{serviceAccount: vm, {spec}}}\n"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("spec", "verdict"),
    [
        ("addresses: [10.0.0.1]", "allow"),
        ("addresses: ['::1'], bind: 10.0.0.2", "allow"),
        ("addresses: [10.0.0.1], ports: [{port: 7000, appProtocol: tcp}]", "allow"),
        ("addresses: [10.0.0.1], ports: [{port: 7000, appProtocol: http}]", "deny"),
        ("addresses: [10.0.0.1], ports: [{port: 7000, appAddress: '::1', appPort: 1, name: x}]", "allow"),
        ("addresses: [10.0.0.1], upstreams: [{service: a, port: 1, address: 127.0.0.2, localPort: 2}]", "allow"),
        ("addresses: [10.0.0.1], upstreams: [{service: a, port: 1, address: 0.0.0.0, shared: host}]", "allow"),
        ("addresses: [10.0.0.1], upstreams: [{service: a, port: 1, shared: all}]", "unknown"),
        ("addresses: [10.0.0.1], upstreams: [{service: a, port: 1, path: /a/b.sock, shared: host}]", "unknown"),
        *((f"addresses: [10.0.0.1], upstreams: [{{service: a, port: 1, path: {path}}}]", "allow") for path in PATHS),
        *(
            (f'addresses: [10.0.0.1], upstreams: [{{service: a, port: 1, path: "{path}"}}]', "unknown")
            for path in NO_PATHS
        ),
        ("addresses: []", "unknown"),
        ("addresses: [host]", "unknown"),
        ("addresses: [1]", "unknown"),
        ("addresses: [10.0.0.1], bind: x", "unknown"),
        ("addresses: [10.0.0.1], extra: x", "unknown"),
        ("addresses: [10.0.0.1], ports: [{port: 7000, protocol: SCTP}]", "unknown"),
        ("addresses: [10.0.0.1], ports: [{port: 7000, appPort: 0}]", "unknown"),
        ("addresses: [10.0.0.1], ports: [{name: x}]", "unknown"),
        ("addresses: [10.0.0.1], upstreams: [{port: 1}]", "unknown"),
        ("addresses: [10.0.0.1], upstreams: [{service: a}]", "unknown"),
    ],
)
def test_hub_workload(read: Read, request_to: RequestTo, target: Target, spec: str, verdict: str) -> None:
    """A Workload runs under its account and may declare its own ports; one with a schema error does not exist."""
    text = workload("vm-0", spec) + target(TALL).replace("name: api,", "name: vm,")
    answer = read(text).judge(request_to("d/web", "pod:d/vm-0", 7000, **RAW))
    assert answer.verdict == ("deny" if verdict == "unknown" else verdict)
    reached = read(text + service("vm", "{selector: {app: vm}, ports: [{port: 7000}]}"))
    expected = "no-endpoint" if verdict == "unknown" else verdict
    assert reached.judge(request_to("d/web", "service:d/vm", 7000, **RAW)).backends == {"vm": expected}


def test_workload_before_pod_of_the_same_name(read: Read, request_to: RequestTo, target: Target) -> None:
    """A name that a Workload and a Pod share means the Workload."""
    text = workload("api-0", "addresses: [10.0.0.1]") + target(TALL)
    assert read(text).judge(request_to("d/web", "pod:d/api-0", 7000, **RAW)).verdict == "deny"


def test_service_with_different_workloads(read: Read, request_to: RequestTo, target: Target) -> None:
    """Workloads behind a Service are judged one by one: some allow, none, or nobody is there."""
    text = pod("api-1", "other") + target(TALL)
    judge = read(text).judge
    answer = judge(request_to("d/web", "service:d/api", 5432, **RAW))
    expected = Answer("mixed", ("TrafficTarget/d/t",), route="root", weights={"api": "1"}, backends={"api": "mixed"})
    assert answer == expected
    assert judge(request_to("d/stranger", "service:d/api", 5432, **RAW)).backends == {"api": "deny"}
    nobody = read(service("empty", "{selector: {app: none}, ports: [{port: 1}]}")).judge
    answer = nobody(request_to("d/web", "service:d/empty", 1))
    assert (answer.verdict, answer.backends) == ("deny", {"empty": "no-endpoint"})


def test_split_by_verdict_of_backends(read: Read, request_to: RequestTo, target: Target) -> None:
    """Backends are judged at their own workload ports; the split is named among what decides."""
    text = service("v1", "{selector: {app: api}, ports: [{port: 80, targetPort: 5432}]}") + target(TALL)
    text += service("v2", "{selector: {app: v2}, ports: [{port: 80}]}") + pod("v2-0", "v2", "{app: v2}")
    text += (
        service("web", "{selector: {app: web}, ports: [{port: 80}]}")
        + """
---
kind: TrafficSplit
metadata: {name: s, namespace: d}
spec: {service: web, backends: [{service: v1, weight: 1}, {service: v2, weight: 3}]}
"""
    )
    judge = read(text).judge
    answer = judge(request_to("d/web", "service:d/web", 80, **RAW))
    assert answer == Answer(
        "mixed",
        ("TrafficSplit/d/s", "TrafficTarget/d/t"),
        route="split",
        weights={"v1": "1/4", "v2": "3/4"},
        backends={"v1": "allow", "v2": "deny"},
    )
    assert judge(request_to("d/stranger", "service:d/web", 80, **RAW)).by == ()


SLICE = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, namespace: d, labels: {kubernetes.io/service-name: manual}}
addressType: IPv4
endpoints: [%s]
ports: [%s]
"""


@pytest.mark.parametrize(
    ("endpoints", "ports", "word"),
    [
        ("{targetRef: {kind: Pod, name: api-0}}", "{port: 5432}", "allow"),
        ("{targetRef: {kind: Pod, name: api-0, namespace: d}}", "{port: 5432}", "allow"),
        ("{targetRef: {kind: Pod, name: api-0}}", "{port: 8080}", "deny"),
        ("{targetRef: {kind: Pod, name: api-0}}", "{port: null}", "no-endpoint"),
        ("{targetRef: {kind: Pod, name: api-0}}", "{port: 5432, name: other}", "no-endpoint"),
        ("{targetRef: {kind: Pod, name: api-0}}", "{port: 5432, protocol: UDP}", "no-endpoint"),
        ("{targetRef: {kind: Pod, name: api-0, namespace: e}}", "{port: 5432}", "deny"),
        ("{targetRef: {kind: Pod, name: gone}}", "{port: 5432}", "deny"),
        ("{targetRef: {kind: Node, name: api-0}}", "{port: 5432}", "deny"),
        ("{addresses: [10.0.0.1]}", "{port: 5432}", "deny"),
        ("{targetRef: {kind: Pod, name: api-0}}, {addresses: [10.0.0.1]}", "{port: 5432}", "mixed"),
        ("", "{port: 5432}", "no-endpoint"),
    ],
)
def test_service_without_selector(
    read: Read, request_to: RequestTo, target: Target, *, endpoints: str, ports: str, word: str
) -> None:
    """EndpointSlices say who is behind a Service without selector; who is no known Pod is denied."""
    text = service("manual", "{ports: [{port: 80, targetPort: 7000}]}") + SLICE % (endpoints, ports) + target(TALL)
    assert read(text).judge(request_to("d/web", "service:d/manual", 80, **RAW)).backends == {"manual": word}


def test_ungoverned_receivers(read: Read, request_to: RequestTo, target: Target) -> None:
    """Receivers outside the governed namespaces are ungoverned, and let a Service's share in."""
    judge = read(target(TALL), governed=GovernedNamespaces(frozenset({"e"}))).judge
    assert judge(request_to("d/stranger", "d/api", 1)) == Answer("ungoverned")
    assert judge(request_to("d/stranger", "e/api", 1)) == Answer("deny")
    answer = judge(request_to("d/stranger", "service:d/api", 8080))
    assert (answer.verdict, answer.by, answer.backends) == ("ungoverned", (), {"api": "allow"})


@pytest.mark.parametrize(
    ("src", "dst"),
    [
        (Source(), Destination(identity="d/api")),
        (Source(identity="d/web", outside=True), Destination(identity="d/api")),
        (Source(identity="d/web", pod="d/api-0"), Destination(identity="d/api")),
        (Source(identity="web"), Destination(identity="d/api")),
        (Source(identity="d/web"), Destination()),
        (Source(identity="d/web"), Destination(identity="d/api", pod="d/api-0")),
        (Source(identity="d/web"), Destination(identity="api")),
        (Source(identity="d/web"), Destination(pod="d/gone")),
        (Source(spiffe="spiffe://cluster.local/ns/d/sa/web/x"), Destination(identity="d/api")),
        (Source(spiffe="spiffe://cluster.local/ns/d/sa/"), Destination(identity="d/api")),
    ],
)
def test_request_that_names_nobody(read: Read, target: Target, src: Source, dst: Destination) -> None:
    """A caller or a receiver that is not named in exactly one valid way is nobody."""
    judge = read(target(TALL)).judge
    assert judge(Request(Source(identity="d/web"), Destination(identity="d/api"), 5432, "tcp")).verdict == "allow"
    assert judge(Request(src, dst, 5432, "tcp")) == Answer("deny")


def test_convenience_function(documents: Callable[..., object], request_to: RequestTo) -> None:
    """`semantics` judges one request over documents."""
    assert semantics([], EVERYTHING, request_to("d/web", "d/api")) == Answer("deny")

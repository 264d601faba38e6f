"""Who calls and who receives: selectors, identities, mutual TLS, ports. The mesh here serves the other tests, too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from adapters.istio.evaluate.mesh import evaluator
from hub.api import (
    Answer,
    Destination,
    Endpoint,
    Exposed,
    Facts,
    Identity,
    NativeObject,
    ObjectRef,
    Placement,
    Request,
    Role,
    Source,
    UnmodelledError,
)

TD = "cluster.local"
CLIENT, OTHER, PLAIN = Source(identity="default/client"), Source(identity="default/other"), Source(outside=True)
WEB, POD1, POD2 = Destination(identity="default/web"), Destination(pod="default/web1"), Destination(pod="default/web2")
ROOT = Destination(service="default/web")
IS_CLIENT = {"source": {"principals": [f"{TD}/ns/default/sa/client"]}}
IS_OTHER = {"source": {"principals": [f"{TD}/ns/default/sa/other"]}}
SELECTOR = {"matchLabels": {"app": "web"}}
LINES = tuple[tuple[str, str], ...]
Json = Any
Protocol = Literal["http", "tcp", "udp"]


def native(kind: str, spec: Json, name: str = "x", namespace: str = "default", **metadata: Json) -> NativeObject:
    """The object of this spec."""
    group = "networking.istio.io" if kind == "VirtualService" else "security.istio.io"
    meta = {"name": name, "namespace": namespace, **metadata}
    body = json.dumps({"apiVersion": f"{group}/v1", "kind": kind, "metadata": meta, "spec": spec}).encode()
    ref = ObjectRef(group, kind, namespace, name)
    return NativeObject(ref, Role.GRANT, body)


def policy(
    *rules: Json, action: str = "ALLOW", name: str = "x", namespace: str = "default", **more: Json
) -> NativeObject:
    """An AuthorizationPolicy for `app: web`."""
    spec = {"selector": SELECTOR, "action": action, "rules": list(rules)}
    return native("AuthorizationPolicy", spec, name, namespace, **more)


def granting(operation: Json = None, *when: Json) -> NativeObject:
    """ALLOW for the client: one operation, and conditions."""
    rule: Json = {"from": [IS_CLIENT]}
    if operation is not None:
        rule["to"] = [{"operation": operation}]
    return policy({**rule, "when": list(when)} if when else rule)


def peers(mode: str, name: str = "default", namespace: str = "istio-system", **spec: Json) -> NativeObject:
    """A PeerAuthentication of this mode."""
    return native("PeerAuthentication", {"mtls": {"mode": mode}, **spec}, name, namespace)


def placed(name: str, labels: Mapping[str, str], inbound: Sequence[tuple[int, str]], account: str = "web") -> Placement:
    """A Pod with ports and what they are declared as."""
    ref = ObjectRef("", "Pod", "default", name)
    ports: Json = tuple((port, "TCP", kind) for port, kind in inbound)
    return Placement(ref, Identity(TD, "default", account), tuple(sorted(labels.items())), inbound=ports)


PORTS = ((9001, "http"), (9002, "tcp"), (9003, "http"))
PODS = (
    placed("web1", {"app": "web", "version": "v1"}, PORTS),
    placed("web2", {"app": "web", "version": "v2"}, PORTS),
)
BEHIND = {"web": PODS, "web-v1": PODS[:1], "web-v2": PODS[1:], "web-empty": ()}


def facts(*pods: Placement, behind: Mapping[str, Sequence[Placement]] = BEHIND) -> Facts:
    """Pods, and Services with port 8080 (9001); `web` has 8085 (9003) and 8082 (9002) as well."""
    places = [(name, 8080, 9001) for name in behind] + [("web", 8085, 9003), ("web", 8082, 9002)]
    endpoints = {
        ("default", name, port): tuple(
            Endpoint(pod.ref, pod.identity.spiffe, "10.0.0.1", to) for pod in behind.get(name, ())
        )
        for name, port, to in places
    }
    names = {8080: "http", 8085: "http-b", 8082: "tcp-e"}
    exposed = {place: Exposed("TCP", names[place[2]]) for place in endpoints}
    return Facts(TD, {pod.ref: pod for pod in pods or PODS}, endpoints, exposed)


FACTS = facts()


def http(
    path: str = "/",
    method: str = "GET",
    src: Source = CLIENT,
    headers: LINES = (),
    port: int = 9001,
    dst: Destination = WEB,
) -> Request:
    """An HTTP request."""
    return Request(src, dst, port, "http", method, path, headers)


def tcp(src: Source = CLIENT, port: int = 9002, dst: Destination = WEB) -> Request:
    """Bytes that are not HTTP."""
    return Request(src, dst, port, "tcp")


def call(path: str = "/", headers: LINES = (), port: int = 8080, src: Source = CLIENT, method: str = "GET") -> Request:
    """An HTTP request to the Service `web`."""
    return http(path, method, src, headers, port, ROOT)


def judged(objects: Sequence[NativeObject], request: Request, at: Facts = FACTS) -> Answer:
    """The answer of a mesh with these objects."""
    return evaluator(objects, at).judge(request)


def allows(objects: Sequence[NativeObject] | NativeObject, request: Request, at: Facts = FACTS) -> bool:
    """Whether such a mesh lets a request in."""
    listed = [objects] if isinstance(objects, NativeObject) else objects
    return judged(listed, request, at).verdict == "allow"


# ------------------------------------------------------------------------------------------------- who is selected


def test_workload_is_open_when_nothing_selects_it() -> None:
    """Without an ALLOW policy everybody gets in, plaintext included, until PeerAuthentication says otherwise."""
    for source in (CLIENT, OTHER, PLAIN):
        assert judged([], http(src=source)) == Answer("allow")
    strict = [peers("STRICT")]
    assert judged(strict, http(src=PLAIN)) == Answer("deny", by=("PeerAuthentication/istio-system/default",))
    assert allows(strict, http())


ANYWHERE: Json = {"rules": [{}]}


@pytest.mark.parametrize(
    ("objects", "client", "other"),
    [
        ([native("AuthorizationPolicy", {})], False, False),
        ([native("AuthorizationPolicy", {"selector": SELECTOR})], False, False),
        ([policy()], False, False),
        ([policy({})], True, True),
        ([native("AuthorizationPolicy", {}), granting()], True, False),
        ([native("AuthorizationPolicy", {}), granting(), native("AuthorizationPolicy", ANYWHERE, "y")], True, True),
        ([granting(), native("AuthorizationPolicy", ANYWHERE, "y", "istio-system")], True, True),
        ([granting(), policy({"from": [IS_OTHER]}, namespace="istio-system")], True, True),
        ([granting(), native("AuthorizationPolicy", ANYWHERE, "y", "elsewhere")], True, False),
        ([native("AuthorizationPolicy", {"selector": {"matchLabels": {"app": "else"}}})], True, True),
        ([native("AuthorizationPolicy", {"selector": {"matchLabels": {"smihub.io/sa": "web"}}})], False, False),
        ([policy(annotations={"istio.io/dry-run": "true"})], True, True),
        ([policy(annotations={"istio.io/dry-run": "yes"})], False, False),
        ([policy(action="DENY")], True, True),
        ([policy({}, action="DENY")], False, False),
    ],
)
def test_policies_union_when_several_select(objects: list[NativeObject], client: bool, other: bool) -> None:  # noqa: FBT001
    """Namespace, root namespace, selectors, absent and empty rules, dry runs."""
    assert (allows(objects, http()), allows(objects, http(src=OTHER))) == (client, other)


def test_selector_takes_some_workloads() -> None:
    """An identity allows what all of its workloads allow; a pod answers for itself."""
    only = native("AuthorizationPolicy", {"selector": {"matchLabels": {"app": "web", "version": "v2"}}})
    assert [allows(only, http(dst=dst)) for dst in (WEB, POD1, POD2)] == [False, True, False]
    assert judged([only], http()).by == ("AuthorizationPolicy/default/x",)


def test_label_of_account_is_bound_unless_the_pod_has_another() -> None:
    """Pods get the label of their account at admission, and keep one that they bring."""
    pods = (placed("web1", {"smihub.io/sa": "api"}, PORTS), placed("web2", {}, PORTS))
    api = native("AuthorizationPolicy", {"selector": {"matchLabels": {"smihub.io/sa": "api"}}})
    assert [allows(api, http(dst=dst), facts(*pods)) for dst in (POD1, POD2)] == [False, True]


def test_identity_without_workloads_is_one_with_its_label() -> None:
    """It has no labels but that of its account, and declares nothing: any port is HTTP or TCP by its bytes."""
    selector = {"matchLabels": {"smihub.io/sa": "ghost"}}
    rule = {"from": [IS_CLIENT], "to": [{"operation": {"ports": ["1"]}}]}
    grant = native("AuthorizationPolicy", {"selector": selector, "rules": [rule]})
    ghost = Destination(identity="default/ghost")
    assert allows(grant, http(dst=ghost, port=1))
    assert allows(grant, tcp(dst=ghost, port=1))
    assert not allows(grant, http(dst=ghost, port=2))
    assert not allows(grant, http(dst=ghost, port=1, src=OTHER))
    for nobody in ("default/ghost", "default/a/b", "default/"):
        assert judged([], http(dst=Destination(identity=nobody))) == Answer("deny")
    assert judged([], http(dst=Destination(pod="default/ghost"))) == Answer("deny")


# ------------------------------------------------------------------------------------------------- who calls

OURS = Source(spiffe=f"spiffe://{TD}/ns/default/sa/client")


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        (CLIENT, True),
        (OURS, True),
        (OTHER, False),
        (PLAIN, False),
        (Source(pod="default/ghost"), False),
        (Source(spiffe=f"spiffe://{TD}/ns/default/sa/client/"), False),
        (Source(spiffe=f"spiffe://{TD.upper()}/ns/default/sa/client"), False),
        (Source(spiffe="not a spiffe id"), False),
        (Source(identity="default/client", outside=True), False),
        (Source(identity="default/client", pod="default/web1"), False),
    ],
)
def test_principal_is_the_certificate(source: Source, allowed: bool) -> None:  # noqa: FBT001
    """Exact principals; who has no certificate has no principal."""
    assert allows(granting(), http(src=source)) is allowed


def test_pod_calls_as_its_account_and_strangers_are_refused() -> None:
    """A pod has the certificate of its account; one of another trust domain is not accepted, whatever is granted."""
    web = {"source": {"principals": [f"{TD}/ns/default/sa/web"]}}
    assert allows(policy({"from": [web]}), http(src=Source(pod="default/web1")))
    foreign = Source(spiffe="spiffe://partner.example/ns/default/sa/client")
    grant = policy({"from": [{"source": {"principals": ["*/ns/default/sa/client"]}}]})
    assert judged([grant], http(src=foreign)) == Answer("deny", losses=("source.foreign-trust-domain",))


def test_local_trust_domain_has_two_names() -> None:
    """`cluster.local` in a principal points to the mesh's own trust domain."""
    at = Facts("corp.example", {PODS[0].ref: PODS[0]})
    assert allows(granting(), http(src=Source(spiffe="spiffe://corp.example/ns/default/sa/client"), dst=POD1), at)


FROM_CLIENT = "cluster.local/ns/default/sa/client"
SERVICE_ACCOUNTS = {"serviceAccounts": ["default/client"]}


@pytest.mark.parametrize(
    ("source", "plain", "client", "other"),
    [
        ({"principals": [FROM_CLIENT]}, False, True, False),
        ({"principals": ["*/ns/default/sa/client"]}, False, True, False),
        ({"principals": ["cluster.local/ns/default/sa/cl*"]}, False, True, False),
        (SERVICE_ACCOUNTS, False, True, False),
        ({"serviceAccounts": ["client"]}, False, True, False),
        ({"principals": ["*"]}, False, True, True),
        ({"namespaces": ["default"]}, False, True, True),
        ({"namespaces": ["d*"]}, False, True, True),
        ({"namespaces": ["defaul"]}, False, False, False),
        ({"principals": [f"spiffe://{FROM_CLIENT}"]}, False, False, False),
        ({"principals": [""]}, False, False, False),
        ({"notPrincipals": ["cluster.local/ns/default/sa/other"]}, True, True, False),
        ({"notNamespaces": ["default"]}, True, False, False),
        ({"namespaces": ["default"], "notPrincipals": ["cluster.local/ns/default/sa/other"]}, False, True, False),
        ({"principals": []}, True, True, True),
        ({}, True, True, True),
    ],
)
def test_sources_under_permissive(source: Json, plain: bool, client: bool, other: bool) -> None:  # noqa: FBT001
    """A caller without a certificate satisfies no positive condition, and every negative one."""
    grant = policy({"from": [{"source": source}]})
    assert [allows(grant, http(src=src)) for src in (PLAIN, CLIENT, OTHER)] == [plain, client, other]


def test_absent_sources_mean_anybody() -> None:
    """No `from`, an empty one, and an entry without a source."""
    absent: list[Json] = [{"to": [{"operation": {"paths": ["/*"]}}]}, {"from": []}, {"from": [{}]}]
    for one in absent:
        assert allows(policy(one), http(src=PLAIN))


def test_deny_of_all_but_one() -> None:
    """DENY notPrincipals: plaintext and the other are denied, and so is everybody if one policy denies."""
    deny = policy({"from": [{"source": {"notPrincipals": [FROM_CLIENT]}}]}, action="DENY")
    assert [allows(deny, http(src=src)) for src in (PLAIN, CLIENT, OTHER)] == [False, True, False]
    assert judged([deny, policy({}, name="y")], http(src=OTHER)).by == ("AuthorizationPolicy/default/x",)


@pytest.mark.parametrize(
    ("objects", "plain", "client"),
    [
        ([peers("PERMISSIVE")], True, True),
        ([peers("STRICT")], False, True),
        ([peers("STRICT"), peers("PERMISSIVE", namespace="default")], True, True),
        ([peers("PERMISSIVE"), peers("STRICT", namespace="default")], False, True),
        ([peers("STRICT", namespace="elsewhere")], True, True),
        ([peers("STRICT"), peers("UNSET", namespace="default")], False, True),
        ([peers("STRICT", namespace="default"), peers("PERMISSIVE", "y", "default", selector=SELECTOR)], True, True),
        ([peers("DISABLE"), granting()], False, False),
        ([peers("DISABLE")], True, True),
        ([peers("PERMISSIVE"), granting()], False, True),
    ],
)
def test_mutual_tls_when_modes_differ(objects: list[NativeObject], plain: bool, client: bool) -> None:  # noqa: FBT001
    """The narrowest mode counts; without mutual TLS nobody has a principal."""
    assert [allows(objects, http(src=src)) for src in (PLAIN, CLIENT)] == [plain, client]


# ------------------------------------------------------------------------------------------------- not modelled


@pytest.mark.parametrize(
    "object_",
    [
        native("DestinationRule", {}),
        policy(action="CUSTOM"),
        policy(action="AUDIT"),
        policy({"extra": 1}),
        policy({"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}),
        policy({"from": [{"source": {"requestPrincipals": ["*"]}}]}),
        policy({"from": [{"source": {"serviceAccounts": ["a/b*"]}}]}),
        policy({"from": [{"source": {"namespaces": ["a|b"]}}]}),
        policy({"to": [{"operation": {"hosts": ["a"]}}]}),
        policy({"to": [{"operation": {"methods": "GET"}}]}),
        policy({"to": [{"operation": {"methods": [1]}}]}),
        policy({"when": [{"key": "source.ip", "values": ["10.0.0.1"]}]}),
        policy({"when": [{"key": "request.headers[host]", "values": ["a"]}]}),
        policy({"when": [{"key": "request.headers[x-envoy-foo]", "values": ["a"]}]}),
        policy({"when": [{"key": "request.headers[x", "values": ["a"]}]}),
        native("AuthorizationPolicy", {"targetRefs": [{"kind": "Gateway", "name": "x"}]}),
        native("AuthorizationPolicy", {"selector": {"matchLabels": {"app": "*"}}}),
        native("AuthorizationPolicy", {"selector": {"matchLabels": {"app": 1}}}),
        native("AuthorizationPolicy", []),
        native("AuthorizationPolicy", {}, labels={"istio.io/rev": "canary"}),
        native("AuthorizationPolicy", {}, generation=1),
        native("AuthorizationPolicy", {}, name=""),
        native("PeerAuthentication", {"portLevelMtls": {"9001": {"mode": "DISABLE"}}}),
        peers("strict"),
        peers("STRICT", selector=SELECTOR),
    ],
)
def test_raises_when_not_modelled(object_: NativeObject) -> None:
    """A kind, field or value that this reading does not know is never passed over."""
    with pytest.raises(UnmodelledError):
        judged([object_], http())


def test_raises_when_objects_cannot_be_read() -> None:
    """Bytes that are no manifest, a version of another schema, two PeerAuthentications of one rank, a strange port."""
    old = native("PeerAuthentication", {})
    for body in (b"{", b"[]", b"\xff", old.body.replace(b"/v1", b"/v1beta1")):
        with pytest.raises(UnmodelledError):
            evaluator([NativeObject(old.ref, old.role, body)], FACTS)
    with pytest.raises(UnmodelledError):
        judged([peers("STRICT", "a", "default"), peers("DISABLE", "b", "default")], http())
    with pytest.raises(UnmodelledError):
        judged([], http(), facts(placed("web1", {}, ((1, "grpc"),))))

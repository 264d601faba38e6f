"""Inbound ports: declared protocols, Service ports that lead to them, Workloads that claim one address."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hub.errors import UnsafeResourceError
from hub.intent.ports import grouped_by_variant, profile_ports, protocol_of
from hub.intent.view import WorkloadProfile
from hub.model import Access, UnitKey
from hub.smi.types import WorkloadPort
from hub.store import Store
from hub.testing.documents import store_of

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: d, labels: {app: api}}
spec:
  serviceAccountName: api
  containers: [{name: c, ports: [{containerPort: 8080, name: main}, {containerPort: 53, protocol: UDP}]}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: d}}
spec: {{selector: {{app: api}}, ports: [{port}]}}
"""
WORKLOAD = """
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: d}}
spec: {{serviceAccount: api, addresses: [{address}], {more}ports: [{port}]}}
"""


def ports(store: Store) -> list[tuple[int, str, str]]:
    """Number, transport and variant of the inbound ports of d/api."""
    unit, _ = store.compile(UnitKey("access", "d", "api"))
    assert isinstance(unit, Access)
    return [(port.port, port.transport, port.variant) for port in unit.ports]


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("HTTP", "http"),
        ("grpc-web", "http"),
        ("kubernetes.io/ws", "http"),
        ("https", "tcp"),
        ("KAFKA", "tcp"),
        ("foo", "none"),
    ],
)
def test_word_declares_a_protocol(text: str, declared: str) -> None:
    """Words are read without case; unknown ones declare nothing."""
    assert protocol_of(text) == declared


@pytest.mark.parametrize(
    ("written", "variant"),
    [
        (["{name: http-x, port: 80, targetPort: 8080}"], "http"),
        (["{name: tcp-x, port: 80, targetPort: main}"], "tcp"),
        (["{name: tcp-x, port: 8080, appProtocol: odd}"], "none"),
        (["{name: tcp-x, port: 8080, appProtocol: ''}"], "tcp"),
        (["{name: http-x, port: 80, targetPort: 8080, appProtocol: mysql}"], "tcp"),
        (["{name: http-x, port: 80, targetPort: 8080}", "{name: tcp-x, port: 81, targetPort: 8080}"], "http"),
        (["{name: http-x, port: 80, targetPort: other}"], "none"),
        (["{name: http-x, port: 8080, protocol: UDP}"], "none"),
    ],
)
def test_declared_is_what_services_agree_on(written: list[str], variant: str) -> None:
    """AppProtocol before the port's name, disagreement is HTTP, and only what leads to the port counts."""
    services = [SERVICE.format(name=f"s{at}", port=port) for at, port in enumerate(written)]
    assert (8080, "TCP", variant) in ports(store_of("\n---\n".join((POD, *services))))


def test_pod_receives_on_a_port_that_only_a_service_names() -> None:
    """Kubernetes lets a Service lead to a number that the Pod does not list."""
    found = ports(store_of(POD + "---" + SERVICE.format(name="s", port="{name: http, port: 80, targetPort: 9999}")))
    assert found == [(53, "UDP", "none"), (8080, "TCP", "none"), (9999, "TCP", "http")]


def test_workload_receives_only_on_ports_that_it_lists() -> None:
    """A sidecar on a machine binds what it is told; its own appProtocol declares as a Service does."""
    text = WORKLOAD.format(name="w", address="10.0.0.1", more="", port="{port: 80, appProtocol: http, appPort: 8000}")
    found = ports(
        store_of(
            text.replace("namespace: d}", "namespace: d, labels: {app: api}}")
            + "---"
            + SERVICE.format(name="s", port="{port: 81}")
        )
    )
    assert [(number, variant.partition("+")[0]) for number, _, variant in found] == [(80, "http")]


def test_what_services_declare_is_told_apart_from_what_a_workload_says_of_itself() -> None:
    """A mesh may listen to Services alone; several Workloads of one account add up."""
    one, two = (
        WORKLOAD.format(name=name, address=f"10.0.0.{at}", more="", port="{port: 80, appProtocol: http}")
        for at, name in enumerate("vw", 1)
    )
    labelled = two.replace("namespace: d}", "namespace: d, labels: {app: api}}")
    store = store_of("---".join((one, labelled, SERVICE.format(name="s", port="{name: tcp-x, port: 80}"))))
    unit, _ = store.compile(UnitKey("access", "d", "api"))
    assert isinstance(unit, Access)
    assert [(port.declared, port.services) for port in unit.ports] == [("http", ((80, "tcp"),))]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        (("10.0.0.1", ""), ("10.0.0.1", ""), True),
        (("10.0.0.1", ""), ("10.0.0.2", ""), False),
        (("10.0.0.1", "bind: 0.0.0.0, "), ("10.0.0.2", "bind: 0.0.0.0, "), False),
        (("10.0.0.1", "bind: 0.0.0.0, "), ("10.0.0.1", ""), True),
        (("10.0.0.1", "bind: 10.9.9.9, "), ("10.0.0.2", "bind: 10.9.9.9, "), True),
    ],
)
def test_address_that_two_workloads_bind_is_given_to_neither(
    first: tuple[str, str], second: tuple[str, str], *, clash: bool
) -> None:
    """Both are reported, whichever came first."""
    texts = [
        WORKLOAD.format(name=f"w{at}", address=address, more=more, port="{port: 80}")
        for at, (address, more) in enumerate((first, second))
    ]
    store = store_of("\n---\n".join(texts))
    assert (ports(store) == []) == clash
    told = {problem.ref.name for problem in store.problems() if problem.code == "workload.bind-taken"}
    assert told == ({"w0", "w1"} if clash else set())


def _named(number: int) -> str:
    """The variant of a port whose application is on the loopback address of this number."""
    address = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    port = WorkloadPort(8080, "TCP", app_address=address, app_port=18080)
    [made] = profile_ports(WorkloadProfile("d", "api", "workload", (), (port,)), (), ())
    return made.variant


@pytest.mark.thorough
def test_search_finds_no_two_applications_of_one_name() -> None:
    """Among 200 000 applications some five pairs share the first 32 bits of a digest; none shares a name."""
    assert len({_named(number) for number in range(200_000)}) == 200_000


def test_unequal_ports_of_one_name_are_refused() -> None:
    """Whatever a name is made from: two ports that mean different things are never served by one policy."""
    one, other = (
        WorkloadPort(8080, "TCP", app_address=address, app_port=8080) for address in ("127.0.0.2", "127.0.0.3")
    )
    [first] = profile_ports(WorkloadProfile("d", "api", "workload", (), (one,)), (), ())
    [second] = profile_ports(WorkloadProfile("d", "api", "workload", (), (other,)), (), ())
    assert [len(equal) for _, equal in grouped_by_variant((first, second, first))] == [2, 1]
    for fact in ({"declared": "tcp"}, {"app_port": 81}, {"app_address": "127.0.0.9"}, {"labels": ((("a", "b"),),)}):
        with pytest.raises(UnsafeResourceError, match="both called"):
            list(grouped_by_variant((first, replace(first, **fact))))

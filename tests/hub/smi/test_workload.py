"""Every field of smihub.io/v1alpha1 Workload, valid and invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.model import Client
from hub.smi import Decoded
from hub.smi.types import Upstream, Workload, WorkloadPort
from tests.servers.socket_paths import NO_PATHS, PATHS

Valid = Callable[[str], Any]
Invalid = Callable[[str], list[tuple[str, str]]]
BASE = "serviceAccount: api, addresses: [10.0.0.7]"


def workload(spec: str, metadata: str = "") -> str:
    """A Workload with this spec (flow YAML)."""
    return f"{{apiVersion: smihub.io/v1alpha1, kind: Workload, metadata: {{name: w, namespace: d{metadata}}}, spec: {{{spec}}}}}"


def test_workload_defaults(valid: Valid) -> None:
    """Only account and addresses are required; the sidecar binds on the first address."""
    read = valid(workload("serviceAccount: api, addresses: [10.0.0.7, '::1', 10.0.0.7], ports: [{port: 8080}]"))
    assert isinstance(read, Workload)
    assert (read.service_account, read.labels, read.upstreams) == ("api", (), ())
    assert (read.addresses, read.bind) == (("10.0.0.7", "::1"), "10.0.0.7")
    assert read.ports == (WorkloadPort(8080, "TCP", app_address="127.0.0.1", app_port=8080),)


def test_workload_reads_every_field(valid: Valid) -> None:
    """Everything written is kept; IPv6 addresses in their canonical form."""
    read = valid(
        workload(
            f"{BASE}, bind: 0.0.0.0, ports: [{{name: h, port: 8080, protocol: TCP, appProtocol: http, appAddress: '::0001', "
            "appPort: 80}, {port: 8080, protocol: UDP, appPort: 81}], upstreams: [{service: web, port: 80, shared: host}, "
            "{service: e/pay, port: 80, address: 127.0.0.2, localPort: 81, shared: host}, "
            "{service: e/pay, port: 80, path: /run/upstreams/x/pay.sock}]",
            ", labels: {b: '2', a: '1'}",
        )
    )
    assert read.labels == (("a", "1"), ("b", "2"))
    assert read.bind == "0.0.0.0"
    assert read.ports == (
        WorkloadPort(8080, "TCP", "h", "http", "::1", 80),
        WorkloadPort(8080, "UDP", app_port=81),
    )
    assert read.upstreams == (
        Upstream("d", "web", 80, Client(read.ref, "127.0.0.1", 80), 0),
        Upstream("e", "pay", 80, Client(read.ref, "127.0.0.2", 81), 1),
        Upstream("e", "pay", 80, Client(read.ref, "/run/upstreams/x/pay.sock", 0), 2),
    )


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("addresses: [10.0.0.7]", "field.missing", "spec.serviceAccount"),
        ("serviceAccount: 1, addresses: [10.0.0.7]", "field.type", "spec.serviceAccount"),
        ("serviceAccount: '*', addresses: [10.0.0.7]", "name.invalid", "spec.serviceAccount"),
        ("serviceAccount: api", "field.missing", "spec.addresses"),
        ("serviceAccount: api, addresses: []", "field.missing", "spec.addresses"),
        ("serviceAccount: api, addresses: null", "field.type", "spec.addresses"),
        ("serviceAccount: api, addresses: 10.0.0.7", "field.type", "spec.addresses"),
        ("serviceAccount: api, addresses: [1]", "field.type", "spec.addresses[0]"),
        ("serviceAccount: api, addresses: [vm.example]", "field.value", "spec.addresses[0]"),
        ("serviceAccount: api, addresses: [10.0.0.256]", "field.value", "spec.addresses[0]"),
        ("serviceAccount: api, addresses: ['fe80::1%eth0']", "field.value", "spec.addresses[0]"),
        ("serviceAccount: api, addresses: [10.0.0.0/8]", "field.value", "spec.addresses[0]"),
        (f"{BASE}, bind: x", "field.value", "spec.bind"),
        (f"{BASE}, bind: null", "field.type", "spec.bind"),
        (f"{BASE}, zone: x", "field.unknown", "spec.zone"),
        (f"{BASE}, ports: {{}}", "field.type", "spec.ports"),
        (f"{BASE}, ports: [80]", "field.type", "spec.ports[0]"),
        (f"{BASE}, ports: [{{}}]", "field.missing", "spec.ports[0].port"),
        (f"{BASE}, ports: [{{port: 0}}]", "field.value", "spec.ports[0].port"),
        (f"{BASE}, ports: [{{port: 80, protocol: SCTP}}]", "field.value", "spec.ports[0].protocol"),
        (f"{BASE}, ports: [{{port: 80, protocol: null}}]", "field.type", "spec.ports[0].protocol"),
        (f"{BASE}, ports: [{{port: 80, appProtocol: 1}}]", "field.type", "spec.ports[0].appProtocol"),
        (f"{BASE}, ports: [{{port: 80, name: 1}}]", "field.type", "spec.ports[0].name"),
        (f"{BASE}, ports: [{{port: 80, appAddress: localhost}}]", "field.value", "spec.ports[0].appAddress"),
        (f"{BASE}, ports: [{{port: 80, appPort: '1'}}]", "field.value", "spec.ports[0].appPort"),
        (f"{BASE}, ports: [{{port: 80, targetPort: 1}}]", "field.unknown", "spec.ports[0].targetPort"),
        (f"{BASE}, ports: [{{port: 80}}, {{port: 80}}]", "workload.port-twice", "spec.ports[1].port"),
        (f"{BASE}, upstreams: [web]", "field.type", "spec.upstreams[0]"),
        (f"{BASE}, upstreams: [{{port: 80}}]", "field.missing", "spec.upstreams[0].service"),
        (f"{BASE}, upstreams: [{{service: web}}]", "field.missing", "spec.upstreams[0].port"),
        (f"{BASE}, upstreams: [{{service: web, port: 0}}]", "field.value", "spec.upstreams[0].port"),
        (f"{BASE}, upstreams: [{{service: a/b/c, port: 1}}]", "name.invalid", "spec.upstreams[0].service"),
        (f"{BASE}, upstreams: [{{service: /web, port: 1}}]", "name.invalid", "spec.upstreams[0].service"),
        (f"{BASE}, upstreams: [{{service: d/, port: 1}}]", "name.invalid", "spec.upstreams[0].service"),
        (f"{BASE}, upstreams: [{{service: web.d, port: 1}}]", "name.invalid", "spec.upstreams[0].service"),
        (f"{BASE}, upstreams: [{{service: web, port: 1, address: x}}]", "field.value", "spec.upstreams[0].address"),
        (f"{BASE}, upstreams: [{{service: web, port: 1, localPort: 0}}]", "field.value", "spec.upstreams[0].localPort"),
        (f"{BASE}, upstreams: [{{service: web, port: 1, host: x}}]", "field.unknown", "spec.upstreams[0].host"),
        (f"{BASE}, upstreams: [{{service: web, port: 1, shared: all}}]", "field.value", "spec.upstreams[0].shared"),
        (f"{BASE}, upstreams: [{{service: web, port: 1, shared: null}}]", "field.value", "spec.upstreams[0].shared"),
        (f"{BASE}, upstreams: [{{service: web, port: 1, path: null}}]", "field.type", "spec.upstreams[0].path"),
    ],
)
def test_workload_is_invalid(spec: str, code: str, field: str, invalid: Invalid) -> None:
    """Each field's type, range and presence; our own kind has no unknown fields."""
    assert invalid(workload(spec)) == [(code, field)]


def test_workload_labels_are_texts(invalid: Invalid) -> None:
    """Labels decide identity by selector, so a number is no label."""
    assert invalid(workload(BASE, ", labels: {a: 1}")) == [("field.type", "metadata.labels.a")]
    assert invalid(workload(BASE, ", labels: x")) == [("field.type", "metadata.labels")]


@pytest.mark.parametrize(
    "upstreams",
    [
        "{service: a, port: 80, shared: host}, {service: b, port: 80, shared: host}",
        "{service: a, port: 80, path: /a/b.sock}, {service: b, port: 81, path: /a/b.sock}",
        "{service: a, port: 1, shared: host}, {service: b, port: 8080, address: 127.0.0.2, shared: host}",
    ],
)
def test_upstream_on_a_taken_socket_is_left_out(upstreams: str, read: Callable[[str], Decoded]) -> None:
    """Two listeners on one socket cannot both be; the first stays, the workload too."""
    decoded = read(workload(f"{BASE}, bind: 127.0.0.2, ports: [{{port: 8080, appPort: 80}}], upstreams: [{upstreams}]"))
    assert isinstance(decoded.object, Workload)
    assert [upstream.service for upstream in decoded.object.upstreams] == ["a"]
    assert [(p.code, p.field) for p in decoded.problems] == [("workload.socket-taken", "spec.upstreams[1]")]


@pytest.mark.parametrize(
    ("upstream", "code", "field"),
    [
        ("", "workload.upstream-shared", ""),
        (", localPort: 90", "workload.upstream-shared", ""),
        (", address: 127.0.0.9", "workload.upstream-shared", ""),
        (", address: '::1'", "workload.upstream-shared", ""),
        *(
            (f", address: '{address}', shared: host", "workload.upstream-address", ".address")
            for address in (
                *(
                    "0.0.0.0",
                    "::",
                    "10.0.0.7",
                    "192.0.2.1",
                    "169.254.1.1",
                    "224.0.0.1",
                    "128.0.0.1",
                    "fe80::1",
                    "fd00::1",
                ),
                *("::ffff:127.0.0.1", "::ffff:10.0.0.7", "::ffff:0.0.0.0", "::127.0.0.1", "::2", "64:ff9b::7f00:1"),
            )
        ),
        (", address: 0.0.0.0", "workload.upstream-address", ".address"),
    ],
)
def test_upstream_that_lends_the_identity_is_left_out(
    upstream: str, code: str, field: str, read: Callable[[str], Decoded]
) -> None:
    """Whoever reaches the socket calls as the workload: never the network, and all of a machine only if that is said."""
    shared = "{service: a, port: 80, address: 127.0.0.3, shared: host}"
    decoded = read(workload(f"{BASE}, upstreams: [{{service: b, port: 80{upstream}}}, {shared}]"))
    assert isinstance(decoded.object, Workload)
    assert [(each.service, each.index) for each in decoded.object.upstreams] == [("a", 1)]
    assert [(p.code, p.field, p.severity.value) for p in decoded.problems] == [
        (code, f"spec.upstreams[0]{field}", "error")
    ]
    assert "path: /run/upstreams/w/b-80.sock" in decoded.problems[0].remedy


@pytest.mark.parametrize("path", PATHS)
def test_path_of_a_socket(path: str, valid: Valid) -> None:
    """Absolute, clean, short enough for the kernel."""
    read = valid(workload(f"{BASE}, upstreams: [{{service: b, port: 80, path: {path}}}]"))
    assert isinstance(read, Workload)
    assert [(each.client.address, each.client.port) for each in read.upstreams] == [(path, 0)]


@pytest.mark.parametrize("path", NO_PATHS)
def test_path_that_is_no_socket_is_refused(path: str, invalid: Invalid) -> None:
    """Envoy removes what stands at the path: nothing abstract, relative, unclean, and no file of another kind."""
    found = invalid(workload(f'{BASE}, upstreams: [{{service: b, port: 80, path: "{path}"}}]'))
    assert [field for _, field in found] == ["spec.upstreams[0].path"]
    assert {code for code, _ in found} <= {"field.value", "field.type"}


@pytest.mark.parametrize("more", ["address: 127.0.0.1", "localPort: 80", "shared: host"])
def test_socket_is_at_one_place(more: str, invalid: Invalid) -> None:
    """A path beside an address: nobody knows which was meant."""
    found = invalid(workload(f"{BASE}, upstreams: [{{service: b, port: 80, path: /a/b.sock, {more}}}]"))
    assert found == [("field.misplaced", f"spec.upstreams[0].{more.partition(':')[0]}")]


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_loop_is_told(bind: str, read: Callable[[str], Decoded]) -> None:
    """An application on the sidecar's own socket would make it call itself."""
    decoded = read(workload(f"{BASE}, bind: {bind}, ports: [{{port: 8080}}]"))
    assert [(p.code, p.severity.value) for p in decoded.problems] == [("workload.loop", "warning")]
    assert decoded.object is not None

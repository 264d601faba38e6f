"""From YAML to what Istio does, where it does not carry out a split: `explain` and `plan` say so, and what ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.model import Answer, Destination, Request, Source
from hub.testing.documents import explainer_of
from hub.testing.worlds import documents_of
from tests.hub.sinks.istio_shop import config
from tests.servers.folder import Folder
from tests.servers.readings import ISTIO, VM


def service(name: str, port: dict[str, Any], *, headless: bool = False) -> list[dict[str, Any]]:
    """A Service and who runs behind it, as an account of the same name."""
    meta, labels = {"name": name, "namespace": "bank"}, {"app": name, "smihub.io/sa": name}
    address = {"clusterIP": "None"} if headless else {}
    template = {
        "metadata": {"labels": labels},
        "spec": {"serviceAccountName": name, "containers": [{"name": "app", "ports": [{"containerPort": 8443}]}]},
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {**address, "selector": {"app": name}, "ports": [{"targetPort": 8443, **port}]},
        },
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": template}},
    ]


def bank(port: dict[str, Any], *, headless: bool = False) -> list[dict[str, Any]]:
    """Calls to `till` go to `till-a` and `till-b`, 2 to 1; whether `till-b` is headless."""
    spec = {"service": "till", "backends": [{"service": "till-a", "weight": 2}, {"service": "till-b", "weight": 1}]}
    meta = {"name": "till", "namespace": "bank"}
    return [
        *service("till", port),
        *service("till-a", port),
        *service("till-b", port, headless=headless),
        {"apiVersion": "split.smi-spec.io/v1alpha2", "kind": "TrafficSplit", "metadata": meta, "spec": spec},
    ]


def answers(objects: list[dict[str, Any]], number: int, protocol: Any) -> dict[str, Answer]:
    """What SMI and each mesh do with a call to `till`."""
    request = Request(Source(identity="bank/clerk"), Destination(service="bank/till"), number, protocol, "GET", "/")
    smi, meshes = explainer_of(documents_of(objects), (ISTIO, VM)).explain(request)
    return {"smi": smi, **meshes}


TLS_PORTS = (
    {"name": "https", "port": 443},
    {"name": "tls-till", "port": 443},
    {"name": "a", "port": 443, "appProtocol": "https"},
    {"name": "a", "port": 443, "appProtocol": "kubernetes.io/wss"},
)
SPLIT = {"till-a": "2/3", "till-b": "1/3"}


@pytest.mark.parametrize("port", TLS_PORTS)
def test_split_of_a_tls_port_is_told_as_what_istio_makes_of_it(port: dict[str, Any]) -> None:
    """The root serves there, and the loss has a remedy that works; the VM mesh splits it."""
    found = answers(bank(port), 443, "tcp")
    assert found["smi"].weights == found["vm"].weights == SPLIT
    assert (found["istio"].route, found["istio"].weights) == ("root", {"till": "1"})
    assert found["istio"].losses == ("istio.tls-not-split",)
    mended = answers(bank({**port, "appProtocol": "tcp"}), 443, "tcp")["istio"]
    assert (mended.route, mended.weights, mended.losses) == ("split", SPLIT, ())


def test_split_to_a_headless_backend_is_told_as_what_istio_makes_of_it() -> None:
    """The root serves, and the loss names the backend; with a cluster IP it is split."""
    port = {"name": "grpc", "port": 50051}
    found = answers(bank(port, headless=True), 50051, "http")
    assert found["smi"].weights == found["vm"].weights == SPLIT
    assert (found["istio"].route, found["istio"].weights) == ("root", {"till": "1"})
    assert found["istio"].losses == ("istio.headless-backend",)
    mended = answers(bank(port), 50051, "http")["istio"]
    assert (mended.route, mended.weights, mended.losses) == ("split", SPLIT, ())


def test_split_of_a_tcp_port_called_udp_is_told_as_not_captured() -> None:
    """Sidecars carry no such port, so nothing of the split is written."""
    found = answers(bank({"name": "udp-till", "port": 7000}), 7000, "tcp")["istio"]
    assert (found.route, found.weights, found.losses) == ("root", {"till": "1"}, ("istio.port-called-udp",))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("objects", "code"),
    [
        (bank(TLS_PORTS[0]), "istio.tls-not-split"),
        (bank({"name": "http", "port": 80}, headless=True), "istio.headless-backend"),
    ],
)
def test_plan_does_not_promise_a_split_that_istio_does_not_carry_out(
    tmp_path: Path, objects: list[dict[str, Any]], code: str
) -> None:
    """It shows the loss, writes no VirtualService, and says of no call that it goes elsewhere."""
    folder = Folder(tmp_path)
    folder.config(config())
    folder.write("bank.yaml", yaml.safe_dump_all(objects))
    said = folder.run("plan").stdout
    assert code in said
    assert "is not distributed as the split says" in said
    assert "VirtualService" not in said
    assert "calls go elsewhere" not in said

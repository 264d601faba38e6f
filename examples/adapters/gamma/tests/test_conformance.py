"""smihub's conformance suite on this adapter: `python -m pytest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from routes import WORLD, call, path, ref, route, rule
from smihub_gamma.config import GammaConfig
from smihub_gamma.plugin import SPEC

from hub.api import AdapterSpec, Destination, NativeObject, Request, Source
from hub.testing.conformance.crds import crd_schema
from hub.testing.conformance.subject import JudgedRequest, SchemaCheck

GEP = "https://gateway-api.sigs.k8s.io/geps/gep-1294/"
_TYPES = "https://github.com/kubernetes-sigs/gateway-api/blob/v1.6.0/apis/v1/"
HTTP, GRPC, TCP, SHARED = (f"{_TYPES}{name}_types.go" for name in ("httproute", "grpcroute", "tcproute", "shared"))
FOO, V2, NOBODY = {"foo": "1"}, {"foo-v2": "1"}, dict[str, str]()
CANARY = route("HTTPRoute", rule([ref("foo", 90), ref("foo-v2", 10)]))
PATHS = route(
    "HTTPRoute",
    rule([ref("foo")], path("/abc")),
    rule([ref("foo-v2")], path("/abc/def"), path("/abc", "Exact"), path("/v2", method="POST")),
)
CALLS = route("GRPCRoute", rule([ref("foo-v2", port=90)], {"method": {"service": "shop.Cart"}}), port=90)
ON_GRPC: dict[str, Any] = {"port": 90, "method": "POST", "headers": (("content-type", "application/grpc"),)}


def row(
    objects: Sequence[NativeObject], request: Request, weights: Mapping[str, str] | None, source: str
) -> JudgedRequest:
    """A row: whoever is reached lets everybody in, and where nobody is, the answer is a refusal."""
    verdict = "deny" if weights == NOBODY else "ungoverned"
    return JudgedRequest(tuple(objects), request, verdict, source, WORLD, weights)


@pytest.fixture
def smihub_adapter() -> AdapterSpec[GammaConfig]:
    """The adapter that is judged."""
    return SPEC


@pytest.fixture
def smihub_version() -> str:
    """What the certificate is about."""
    return version("smihub-gamma")


@pytest.fixture
def smihub_requests() -> Sequence[JudgedRequest]:
    """What a mesh answers, judged by hand from the text that is named."""
    to_pod = Request(Source(identity="store/web"), Destination(pod="store/foo-0"), 8080)
    outside = call(src=Source(outside=True))
    wrong = route("HTTPRoute", rule([ref("absent")]))
    return (
        row([CANARY], call(), {"foo": "9/10", "foo-v2": "1/10"}, f"{GEP}#api"),
        row([], call(), FOO, f"{GEP}#route-presence"),
        row([CANARY], call(port=90, method="POST"), FOO, f"{GEP}#ports"),
        row([CANARY], to_pod, None, f"{GEP}#multiple-routes-for-a-service"),
        row([CANARY], outside, FOO, f"{GEP}#namespace-boundaries"),
        row([PATHS], call("/abc/d"), FOO, f"{HTTP} (PathMatchPathPrefix: by elements)"),
        row([PATHS], call("/abcd"), NOBODY, f"{HTTP} (HTTPRouteRule: no rule matches, 404)"),
        row([PATHS], call("/abc/def/g"), V2, f"{HTTP} (HTTPRouteRule: the longest prefix first)"),
        row([PATHS], call("/abc"), V2, f"{HTTP} (HTTPRouteRule: an exact path first)"),
        row([PATHS], call("/v2", method="GET"), NOBODY, f"{HTTP} (HTTPRouteMatch: all conditions)"),
        row(
            [route("HTTPRoute", rule([ref("foo", 0), ref("foo-v2", 1)]))], call(), V2, f"{SHARED} (BackendRef: weight)"
        ),
        row([wrong], call(), NOBODY, f"{HTTP} (HTTPRouteRule: all backends invalid, 500)"),
        row([CALLS], call("/shop.Cart/Add", **ON_GRPC), V2, f"{GRPC} (GRPCMethodMatch)"),
        row([CALLS], call("/shop.Till/Pay", **ON_GRPC), NOBODY, f"{GRPC} (GRPCRouteRule: no rule matches)"),
        row([route("TCPRoute", rule([ref("foo-v2")]))], call(protocol="tcp"), V2, f"{TCP} (TCPRouteRule)"),
    )


@pytest.fixture
def smihub_schema() -> SchemaCheck:
    """Gateway API's CustomResourceDefinitions of the three kinds that it writes."""
    folder = Path(__file__).parent / "crds"
    return crd_schema(*(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.yaml"))))


def test_each_kind_has_a_schema_that_refuses(smihub_schema: SchemaCheck) -> None:
    """A field that no API server would keep is told."""
    for kind in ("HTTPRoute", "GRPCRoute", "TCPRoute"):
        assert not list(smihub_schema(route(kind, rule([ref("foo")]))))
        assert list(smihub_schema(route(kind, {**rule([ref("foo")]), "backend": []})))

"""Registration of Linkerd: Kubernetes objects that its policy controller carries to the proxies of Pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, cast

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.overrides import overrides
from adapters.linkerd.translate.meet import meet
from adapters.linkerd.translate.narrowest import narrowest
from adapters.linkerd.translate.unit import translate
from hub.api import (
    SERVICE_ACCOUNT_LABEL,
    AdapterSpec,
    Evaluator,
    Facts,
    Feature,
    Narrowing,
    NativeObject,
    Support,
    hookimpl,
)

DEFAULT_POLICY = "config.linkerd.io/default-inbound-policy"
FEATURES = {
    Feature.ACCESS_HTTP_PATH: Support.PARTIAL,
    Feature.ACCESS_HTTP_METHOD: Support.FULL,
    Feature.ACCESS_HTTP_HEADER: Support.PARTIAL,
    Feature.ACCESS_HTTP_PORT: Support.PARTIAL,
    Feature.ACCESS_TCP: Support.FULL,
    Feature.ACCESS_UDP: Support.NEVER,
    Feature.ACCESS_SPIFFE_SOURCE: Support.PARTIAL,
    Feature.ACCESS_LABEL_SOURCE: Support.NEVER,
    Feature.ACCESS_LABEL_DESTINATION: Support.NOT_YET,
    Feature.SPLIT_HTTP: Support.PARTIAL,
    Feature.SPLIT_TCP: Support.FULL,
    Feature.SPLIT_UDP: Support.NEVER,
    Feature.SPLIT_MATCHES: Support.APPROXIMATE,
}
LIMITS = {
    Feature.ACCESS_HTTP_PATH: ("linkerd.path-not-normal", "linkerd.cells-too-many", "regex.too-large"),
    Feature.ACCESS_HTTP_HEADER: ("linkerd.header-not-expressible", "linkerd.cells-too-many", "header.managed"),
    Feature.ACCESS_HTTP_PORT: ("linkerd.opaque-port",),
    Feature.ACCESS_UDP: ("proto.udp-not-captured",),
    Feature.ACCESS_SPIFFE_SOURCE: ("source.foreign-trust-domain",),
    Feature.ACCESS_LABEL_SOURCE: ("source.labels-unauthenticated",),
    Feature.ACCESS_LABEL_DESTINATION: ("linkerd.labelled-destination",),
    Feature.SPLIT_HTTP: ("linkerd.other-protocol", "linkerd.headless-root", "linkerd.headless-backend"),
    Feature.SPLIT_UDP: ("proto.udp-not-captured",),
    Feature.SPLIT_MATCHES: ("linkerd.header-not-text", "linkerd.condition-order", "linkerd.header-not-expressible"),
}
"""Patterns have a length, headers one condition each, some ports carry bytes alone, and sources are service accounts of the mesh: the
rest are losses."""

NARROWINGS = (
    Narrowing(
        "path.guarded",
        "where a path or a header decides, paths that are not in normal form (//, dot segments, ;, needless or broken escapes, "
        "bytes beyond ASCII) may be refused, as Linkerd hands them on as they came",
    ),
    Narrowing(
        "path.refused",
        "proxies answer 400 to paths with characters that are not allowed in a URI, or that are not UTF-8, and refuse a target in "
        "absolute form where HTTP/2 is declared, which has none",
    ),
    Narrowing("port.unexposed", "a port that no Service, Workload, Pod or grant names has no Server, and denies"),
    Narrowing("method.nonstandard", "CONNECT has no path, so no route matches it"),
    Narrowing("header.rejected", "header values that are not visible ASCII match nothing"),
)


def pod_annotations(config: LinkerdConfig) -> Mapping[str, str]:
    """What a proxy has to be injected with: it follows its own default policy until it gets another one, and where no Server is."""
    return {} if config.default_policy == "cluster" else {DEFAULT_POLICY: "deny"}


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> Evaluator:
    """What these objects mean on Linkerd."""
    return cast("Evaluator", import_module("adapters.linkerd.evaluate.mesh").evaluator(objects, facts))


SPEC = AdapterSpec(
    name="linkerd",
    family="kubernetes",
    config=LinkerdConfig,
    features=FEATURES,
    limits=LIMITS,
    translate=translate,
    evaluator=evaluator,
    narrowings=NARROWINGS,
    governs=("all", "namespaces", "targets"),
    drain="the next request (HTTP), or at once, when the proxy closes them (TCP)",
    capture=(
        "a Pod without a proxy, on the host network, or with skipped inbound ports accepts every caller that can reach it, and a "
        "proxy that starts follows the default policy of its Pod until it gets another one; on a port on which nothing is granted "
        "over HTTP, the probes of its Pod are answered to every caller in Linkerd's probe networks"
    ),
    selects_by=SERVICE_ACCOUNT_LABEL,
    narrowest=narrowest,
    meet=meet,
    annotations=pod_annotations,
    new_first=True,
    overrides=overrides,
    workloads=("Pod",),
)


@hookimpl
def smihub_adapters() -> Iterable[AdapterSpec[Any]]:
    """The adapter `linkerd`."""
    return [SPEC]

"""Registration of Istio with sidecars: Kubernetes objects that istiod carries to the Envoys of Pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.istio.config import IstioConfig
from adapters.istio.evaluate.mesh import evaluator
from adapters.istio.overrides import AMBIENT, overrides
from adapters.istio.translate.meet import meet
from adapters.istio.translate.narrowest import narrowest
from adapters.istio.translate.unit import translate
from hub.api import SERVICE_ACCOUNT_LABEL, AdapterSpec, Feature, Narrowing, Support, hookimpl

FEATURES = {
    Feature.ACCESS_HTTP_PATH: Support.PARTIAL,
    Feature.ACCESS_HTTP_METHOD: Support.FULL,
    Feature.ACCESS_HTTP_HEADER: Support.PARTIAL,
    Feature.ACCESS_HTTP_PORT: Support.FULL,
    Feature.ACCESS_TCP: Support.FULL,
    Feature.ACCESS_UDP: Support.NEVER,
    Feature.ACCESS_SPIFFE_SOURCE: Support.PARTIAL,
    Feature.ACCESS_LABEL_SOURCE: Support.NEVER,
    Feature.ACCESS_LABEL_DESTINATION: Support.FULL,
    Feature.SPLIT_HTTP: Support.FULL,
    Feature.SPLIT_TCP: Support.FULL,
    Feature.SPLIT_UDP: Support.NEVER,
    Feature.SPLIT_MATCHES: Support.APPROXIMATE,
}
LIMITS = {
    Feature.ACCESS_HTTP_PATH: ("istio.path-not-expressible", "istio.path-narrowed"),
    Feature.ACCESS_HTTP_HEADER: ("istio.header-not-expressible", "istio.header-not-text", "header.managed"),
    Feature.ACCESS_UDP: ("proto.udp-not-captured",),
    Feature.ACCESS_SPIFFE_SOURCE: ("source.foreign-trust-domain",),
    Feature.ACCESS_LABEL_SOURCE: ("source.labels-unauthenticated",),
    Feature.SPLIT_UDP: ("proto.udp-not-captured",),
    Feature.SPLIT_MATCHES: ("istio.condition-not-expressible", "istio.header-not-expressible", "header.managed"),
}
"""AuthorizationPolicy has no patterns: those that texts, beginnings and ends cannot say are losses."""
_WITH_FILTERS = {Feature.ACCESS_HTTP_PATH: Support.FULL}
"""Of headers, Envoy writes some itself: conditions on these are losses with filters, too."""


def improves(config: IstioConfig) -> Mapping[Feature, Support]:
    """What EnvoyFilters add."""
    return _WITH_FILTERS if config.patterns == "envoyfilter" else {}


NARROWINGS = (
    Narrowing("method.nonstandard", "Envoy answers 400 to methods that HTTP/1.1 does not register"),
    Narrowing(
        "path.refused",
        "Envoy answers 400 to paths with characters that are not allowed in a URI, or with an escaped zero byte",
    ),
    Narrowing("port.unexposed", "a Workload has listeners for its own ports only"),
    Narrowing(
        "header.rejected",
        "repeated lines of a few headers are joined before they are matched, and leading and trailing blanks are removed",
    ),
)

SPEC = AdapterSpec(
    name="istio",
    family="kubernetes",
    config=IstioConfig,
    features=FEATURES,
    limits=LIMITS,
    translate=translate,
    evaluator=evaluator,
    narrowings=NARROWINGS,
    governs=("all", "namespaces", "targets"),
    drain="Envoy has drained the filter chains that accepted them: 45 seconds by default in Istio",
    capture="a Pod without a sidecar, on the host network, or with excluded inbound ports accepts every caller that can reach it",
    selects_by=SERVICE_ACCOUNT_LABEL,
    narrowest=narrowest,
    meet=meet,
    improves=improves,
    overrides=overrides,
    excluded=(AMBIENT,),
)


@hookimpl
def smihub_adapters() -> Iterable[AdapterSpec[Any]]:
    """The adapter `istio`."""
    return [SPEC]

"""Registration of Consul: config entries of its API, and the custom resources from which consul-k8s makes the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, cast

from msgspec.structs import replace

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.files import FAMILY
from adapters.consul.overrides import learned, overrides, unseen
from adapters.consul.translate.meet import meet
from adapters.consul.translate.narrowest import narrowest
from adapters.consul.translate.unit import translate_entries, translate_resources
from adapters.consul.vocabulary import ENTRIES, RESOURCES
from hub.api import AdapterSpec, Evaluator, Facts, FamilySpec, Feature, Narrowing, NativeObject, Support, hookimpl

FEATURES = {
    Feature.ACCESS_HTTP_PATH: Support.PARTIAL,
    Feature.ACCESS_HTTP_METHOD: Support.PARTIAL,
    Feature.ACCESS_HTTP_HEADER: Support.PARTIAL,
    Feature.ACCESS_HTTP_PORT: Support.PARTIAL,
    Feature.ACCESS_TCP: Support.PARTIAL,
    Feature.ACCESS_UDP: Support.NEVER,
    Feature.ACCESS_SPIFFE_SOURCE: Support.PARTIAL,
    Feature.ACCESS_LABEL_SOURCE: Support.NEVER,
    Feature.ACCESS_LABEL_DESTINATION: Support.NEVER,
    Feature.SPLIT_HTTP: Support.APPROXIMATE,
    Feature.SPLIT_TCP: Support.NEVER,
    Feature.SPLIT_UDP: Support.NEVER,
    Feature.SPLIT_MATCHES: Support.APPROXIMATE,
}
"""A Consul service has one identity, one port and one protocol, an intention nine methods, and a splitter 10 000 steps: the rest are
losses."""

LIMITS = {
    Feature.ACCESS_HTTP_PATH: ("consul.not-http", "consul.no-service", "regex.too-large"),
    Feature.ACCESS_HTTP_METHOD: ("consul.method-nonstandard", "consul.not-http"),
    Feature.ACCESS_HTTP_HEADER: ("header.managed", "consul.not-http"),
    Feature.ACCESS_HTTP_PORT: ("consul.several-ports", "consul.unknown-port"),
    Feature.ACCESS_TCP: ("consul.several-ports", "consul.account"),
    Feature.ACCESS_UDP: ("proto.udp-not-captured",),
    Feature.ACCESS_SPIFFE_SOURCE: ("source.foreign-trust-domain", "source.no-consul-service"),
    Feature.ACCESS_LABEL_SOURCE: ("source.labels-unauthenticated",),
    Feature.ACCESS_LABEL_DESTINATION: ("consul.labelled-destination",),
    Feature.SPLIT_HTTP: ("split.weights-too-large", "consul.several-ports", "consul.weights-sum"),
    Feature.SPLIT_TCP: ("consul.split-not-http",),
    Feature.SPLIT_UDP: ("proto.udp-not-captured",),
    Feature.SPLIT_MATCHES: ("header.managed", "consul.method-nonstandard"),
}
NARROWINGS = (
    Narrowing(
        "path.guarded",
        "where a path decides, paths that an application may read otherwise than the sidecar has normalised them are refused (//, ;, "
        "backslashes, second, overlong or broken escapes)",
    ),
    Narrowing("path.refused", "proxies answer 400 to paths with characters that are not allowed in a URI"),
    Narrowing("port.unexposed", "a Consul service has one port, and no sidecar receives on another one"),
    Narrowing(
        "port.undeclared-mixed",
        "bytes that are not HTTP are refused by a service that a Service of its name declares HTTP",
    ),
    Narrowing(
        "method.nonstandard", "Envoy answers 400 to methods that HTTP/1.1 does not register, and CONNECT has no path"
    ),
    Narrowing(
        "header.rejected",
        "where the value of a header decides, values beyond ASCII are refused, as are those with a comma or outer blanks unless the "
        "pattern is a text that the value contains, begins or ends with",
    ),
)
_CAPTURE = (
    "a workload is what it is registered as: an instance of another Consul service than its account's, or on another port than it declares, "
    "is under the intention of that service; an application port that can be reached without its sidecar, an exposed path and permissive "
    "mutual TLS are open to every caller that can reach them; and where Consul denies by default, a service that an intention of "
    'somebody else allows to every destination is let in unless "wildcardSources" lists it: smihub cannot see such intentions'
)


def settled(config: ConsulConfig) -> Callable[[Sequence[NativeObject], Facts], Evaluator]:
    """What objects mean under the names of these settings."""
    return partial(_evaluator, config=config)


def _evaluator(objects: Sequence[NativeObject], facts: Facts, config: ConsulConfig) -> Evaluator:
    return cast("Evaluator", import_module("adapters.consul.evaluate.mesh").settled(config)(objects, facts))


_DRAIN = (
    "the next connection; an HTTP connection that is open keeps its old rules until the sidecar closes it, TCP until the drain time of its "
    "Envoy is over (600 s, unless it runs with --drain-time-s)"
)
SPEC = AdapterSpec(
    name=ENTRIES,
    family=FAMILY.name,
    config=ConsulConfig,
    features=FEATURES,
    limits=LIMITS,
    translate=translate_entries,
    evaluator=settled(ConsulConfig()),
    narrowings=NARROWINGS,
    governs=("all", "namespaces", "targets"),
    drain=_DRAIN,
    capture=_CAPTURE,
    baselines=("mesh",),
    narrowest=narrowest,
    meet=meet,
    settled=settled,
    overrides=overrides,
    unseen=unseen,
    learned=learned,
    workloads=(),
)
K8S_SPEC = replace(
    SPEC,
    name=RESOURCES,
    family="kubernetes",
    config=ConsulK8sConfig,
    translate=translate_resources,
    evaluator=settled(ConsulK8sConfig()),
)


@hookimpl
def smihub_adapters() -> Iterable[AdapterSpec[Any]]:
    """The adapters `consul` and `consul-k8s`."""
    return [SPEC, K8S_SPEC]


@hookimpl
def smihub_families() -> Iterable[FamilySpec]:
    """The family `consul`."""
    return [FAMILY]

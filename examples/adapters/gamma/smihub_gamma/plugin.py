"""What this package brings to smihub: the adapter `gamma`."""

from __future__ import annotations

from collections.abc import Iterable

from hub.api import AdapterSpec, Feature, Narrowing, Support, hookimpl
from smihub_gamma.config import GammaConfig
from smihub_gamma.evaluate import NOT_GRPC, NOT_HTTP, ODD_PATH, REPEATED, evaluator
from smihub_gamma.translate import translate

FEATURES = dict.fromkeys(Feature, Support.NEVER) | {
    Feature.SPLIT_HTTP: Support.PARTIAL,
    Feature.SPLIT_TCP: Support.PARTIAL,
    Feature.SPLIT_MATCHES: Support.PARTIAL,
}
"""Access is Gateway API's non-goal. Splits have limits (weights, backends), and conditions are exact texts."""

NARROWINGS = (
    Narrowing(REPEATED, "each implementation has its own way with conditions on a header that a request repeats"),
    Narrowing(ODD_PATH, "each implementation has its own way with request targets that are no path of a URI"),
    Narrowing(NOT_HTTP, "a port with an HTTPRoute speaks HTTP: other bytes go nowhere"),
    Narrowing(NOT_GRPC, "a port with a GRPCRoute speaks gRPC: other requests go nowhere"),
)

SPEC = AdapterSpec(
    name="gamma",
    family="kubernetes",
    config=GammaConfig,
    features=FEATURES,
    translate=translate,
    evaluator=evaluator,
    narrowings=NARROWINGS,
    governs=("routes",),
    capture="calls to the address of a Pod, and from clients that are not in the mesh, pass no route",
)


@hookimpl
def smihub_adapters() -> Iterable[AdapterSpec[GammaConfig]]:
    """The adapter `gamma`."""
    return [SPEC]

"""SMI's reading and the meshes side by side, for the tests that hold them against each other."""

from __future__ import annotations

from adapters.consul.plugin import K8S_SPEC as CONSUL_K8S_SPEC
from adapters.consul.plugin import SPEC as CONSUL_SPEC
from adapters.istio.plugin import SPEC as ISTIO_SPEC
from adapters.linkerd.plugin import SPEC as LINKERD_SPEC
from adapters.vm.config import VmConfig
from adapters.vm.plugin import SPEC
from hub.model import Document, Reading
from hub.testing.documents import Scope, SinklessMesh, explainer_of
from hub.testing.search import Explain

VM = SinklessMesh("vm", SPEC)
ISTIO = SinklessMesh("istio", ISTIO_SPEC)
LINKERD = SinklessMesh("linkerd", LINKERD_SPEC)
CONSUL = SinklessMesh("consul", CONSUL_SPEC)
CONSUL_K8S = SinklessMesh("consul-k8s", CONSUL_K8S_SPEC)
MESHES = (VM, ISTIO, LINKERD)
"""Those that carry out the cases as they are written; where one account has several ports, or Services of other names, Consul refuses."""


def compiling(documents: tuple[Document, ...], reading: Reading) -> Explain:
    """SMI and every mesh, of some documents."""
    return explainer_of(documents, MESHES, Scope(reading=reading)).explain


def compiling_vm(documents: tuple[Document, ...], reading: Reading) -> Explain:
    """SMI and the VM mesh alone."""
    return explainer_of(documents, (VM,), Scope(reading=reading)).explain


def compiling_normalised(documents: tuple[Document, ...], reading: Reading) -> Explain:
    """SMI and the VM mesh where that normalises paths."""
    mesh = SinklessMesh("vm", SPEC, VmConfig(paths="normalise"))
    return explainer_of(documents, (mesh,), Scope(reading=reading)).explain

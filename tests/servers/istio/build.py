"""The real servers of the Istio tests: `python -m tests.servers.istio.build` builds what is not there."""

from __future__ import annotations

import sys

from tests.servers.go_servers import Server, build

_VERSION = "k8s.io/component-base/version"
_GIT_VERSION = f"-X {_VERSION}.gitVersion={{version}} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36"
ETCD = Server("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3")
KUBE_APISERVER = Server("kube-apiserver", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _GIT_VERSION)
ISTIOD = Server(
    "istiod",
    "istio.io/istio",
    "istio.io/istio/pilot/cmd/pilot-discovery",
    crds="manifests/charts/base/files/crd-all.gen.yaml",
)

if __name__ == "__main__":
    sys.exit(build((ETCD, KUBE_APISERVER, ISTIOD)))

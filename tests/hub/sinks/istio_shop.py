"""A folder of SMI for Istio, rendered into a folder beside it: what tests of ownership and scopes start from."""

from __future__ import annotations

from pathlib import Path

from tests.servers.folder import ROUTES, Folder, target

RENDERED = "rendered"
POLICY = "AuthorizationPolicy/shop/smihub-api"
PEERS = "PeerAuthentication/shop/smihub-api"
POLICY_FILE = "objects/shop_AuthorizationPolicy.security.istio.io_smihub-api.yaml"
PEERS_FILE = "objects/shop_PeerAuthentication.security.istio.io_smihub-api.yaml"
UNIT = "access/shop/api"

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec:
  selector: {app: api}
  ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]
"""


def config(governed: str = "targets", path: str = RENDERED, source: str = "manifests") -> str:
    """A smihub.yaml with one Istio mesh of this scope."""
    sink = f"{{kind: directory, path: {path}}}"
    return (
        f"domain: {{trustDomain: cluster.local}}\nsources: [{{path: {source}}}]\n"
        f"meshes:\n- {{name: istio, adapter: istio, governed: {governed}, sink: {sink}}}\n"
    )


def deployment(name: str, labels: str, namespace: str = "shop", account: str = "") -> str:
    """A Deployment that runs as a service account (by default of its own name)."""
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}{labels}}}}}
    spec:
      serviceAccountName: {account or name}
      containers: [{{name: main, image: main, ports: [{{name: http, containerPort: 8080}}]}}]
"""


def bound(name: str, namespace: str = "shop") -> str:
    """A Deployment with the label by which policies select it."""
    return deployment(name, f", smihub.io/sa: {name}", namespace)


def istio_shop(root: Path, governed: str = "targets") -> Folder:
    """`web` may GET /books from `api`; `db` is there as well, and nobody's target. Nothing is applied."""
    folder = Folder(root)
    folder.config(config(governed))
    folder.write("workloads.yaml", bound("web"), bound("api"), bound("db"), SERVICE)
    folder.write("routes.yaml", ROUTES)
    folder.write("access.yaml", target("api-from-web"))
    return folder

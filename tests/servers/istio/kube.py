"""A small client of a Kubernetes API server: apply, delete, read, patch a status."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

MANAGER = "smihub-test"
_PLURALS = {
    "Namespace": "namespaces",
    "Pod": "pods",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "EndpointSlice": "endpointslices",
    "CustomResourceDefinition": "customresourcedefinitions",
    "AuthorizationPolicy": "authorizationpolicies",
    "PeerAuthentication": "peerauthentications",
    "VirtualService": "virtualservices",
    "EnvoyFilter": "envoyfilters",
    "HTTPRoute": "httproutes",
    "GRPCRoute": "grpcroutes",
    "TCPRoute": "tcproutes",
    "Server": "servers",
    "ServerAuthorization": "serverauthorizations",
    "MeshTLSAuthentication": "meshtlsauthentications",
    "NetworkAuthentication": "networkauthentications",
    "ServiceProfile": "serviceprofiles",
}
_CLUSTER_WIDE = frozenset({"Namespace", "CustomResourceDefinition"})
Manifest = Mapping[str, Any]


class Kube:
    """One API server, spoken to by one administrator."""

    def __init__(self, url: str, token: str, authority: Path) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=str(authority)),
            timeout=20,
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def is_ready(self) -> bool:
        """Whether the API server answers and says that it is ready."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def apply(self, manifest: Manifest) -> dict[str, Any]:
        """Server-side apply of one object; gives it as it stands then. Raises RuntimeError if the server refuses it."""
        return self._patch(manifest, "", "application/apply-patch+yaml", {"fieldManager": MANAGER, "force": "true"})

    def set_status(self, manifest: Manifest, status: Mapping[str, Any]) -> None:
        """Write the status of an object."""
        self._patch({**manifest, "status": dict(status)}, "/status", "application/merge-patch+json", {})

    def merge(self, manifest: Manifest, change: Mapping[str, Any]) -> None:
        """Merge a change into an object."""
        self._patch({**manifest, **change}, "", "application/merge-patch+json", {})

    def delete(self, manifest: Manifest) -> None:
        """Delete an object; gone already is as good."""
        answer = self._http.delete(path_of(manifest))
        if answer.status_code != 404:
            _checked(answer, manifest)

    def read(self, manifest: Manifest) -> dict[str, Any] | None:
        """The object of this kind and name as it stands, None if there is none."""
        answer = self._http.get(path_of(manifest))
        return None if answer.status_code == 404 else _checked(answer, manifest)

    def serves(self, version: str) -> bool:
        """Whether it has any kind in a version of a group, such as `networking.istio.io/v1`."""
        return self._http.get(f"/apis/{version}").is_success

    def _patch(self, manifest: Manifest, part: str, kind: str, options: Mapping[str, str]) -> dict[str, Any]:
        answer = self._http.patch(
            path_of(manifest) + part,
            params=options,
            headers={"content-type": kind},
            content=httpx.Request("PATCH", self.url, json=manifest).content,
        )
        return _checked(answer, manifest)


def path_of(manifest: Manifest) -> str:
    """Where the API server keeps an object."""
    version, kind, meta = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    inside = "" if kind in _CLUSTER_WIDE else f"/namespaces/{meta.get('namespace', 'default')}"
    return f"{root}{inside}/{_PLURALS[kind]}/{meta['name']}"


def _checked(answer: httpx.Response, manifest: Manifest) -> dict[str, Any]:
    if answer.is_error:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        raise RuntimeError(f"the API server refuses {name} ({answer.status_code}): {answer.text[:2000]}")
    found: dict[str, Any] = answer.json()
    return found

"""Bodies of config entries, in the two forms in which they can be written: canonical JSON.

Source: https://developer.hashicorp.com/consul/docs/connect/config-entries (fields of the API); consul-k8s, api/v1alpha1 (the custom
resources have the same fields, with a small first letter, and an intention names its destination in `spec`).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from adapters.consul.config import ConsulConfig
from adapters.consul.names import EVERY, EVERY_RESOURCE, GROUP, entry, resource
from adapters.consul.safety.spelling import small
from hub.api import NativeObject, ObjectRef, Role

Json = dict[str, Any]
VERSION = f"{GROUP}/v1alpha1"


class Form(Struct, frozen=True):
    """How objects of a namespace are written: as entries of the API, or as custom resources."""

    config: ConsulConfig
    resources: bool

    def service(self, namespace: str, name: str) -> str | None:
        """The Consul service of an account or a Service (see Names)."""
        return self.config.naming.service(namespace, name)

    def ref(self, kind: str, namespace: str, name: str) -> ObjectRef:
        """The ref of an object: entries have no namespace."""
        return resource(kind, namespace, name) if self.resources else entry(kind, name)

    def native(
        self, ref: ObjectRef, kind: str, fields: Json, role: Role, needs: tuple[ObjectRef, ...] = ()
    ) -> NativeObject:
        """An object of these fields of the API."""
        if self.resources:
            metadata = {"name": ref.name, "namespace": ref.namespace}
            body = {"apiVersion": VERSION, "kind": ref.kind, "metadata": metadata, "spec": small(fields)}
        else:
            body = {"Kind": kind, "Name": ref.name, **fields}
        return NativeObject(ref, role, msgspec.json.encode(body, order="sorted"), needs=needs)

    def intention(
        self, namespace: str, service: str, fields: Json, role: Role, needs: tuple[ObjectRef, ...] = ()
    ) -> NativeObject:
        """The intention of a service, or of every service: no Kubernetes object can be called like that."""
        kind, name = "service-intentions", service
        if self.resources:
            name = EVERY_RESOURCE if service == EVERY else service
            fields = {**fields, "Destination": {"Name": service}}
        return self.native(self.ref(kind, namespace, name), kind, fields, role, needs)


def defaults(form: Form, namespace: str, service: str) -> NativeObject:
    """That a service speaks HTTP, without which no permission and no splitter is taken."""
    ref = form.ref("service-defaults", namespace, service)
    return form.native(ref, "service-defaults", {"Protocol": "http"}, Role.REFERENCED)

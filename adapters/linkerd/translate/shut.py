"""Servers that deny where an account's own ones are not where they should be.

Observed on Linkerd edge-26.8: of several Servers for one port the oldest rules, and without one the default policy does. So a
further Server that lets nobody in opens nothing, while one that comes back brings all policies for it into force again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adapters.linkerd import names
from adapters.linkerd.config import POLICY
from adapters.linkerd.translate.objects import Json
from adapters.linkerd.translate.reading import encoded, json_of, spec_of
from adapters.linkerd.translate.standing import Standing
from hub.api import Identity, NativeObject, ObjectRef, Role

SALTS: tuple[tuple[str, ...], ...] = ((), ("met",), ("met", "again"), ("met", "once more"))
"""What names are salted with where the usual one is taken."""


def is_in_place(server: ObjectRef, there: Standing, asked: Standing) -> bool:
    """Whether a Server stands before the port and the Pods that it should, whatever it says of who gets in."""
    spec = spec_of(there.servers.get(server), server) or {}
    return isinstance(spec.get("accessPolicy", ""), str) and _denying(spec) == asked.specs.get(server)


def kept_shut(server: ObjectRef, there: Standing) -> Iterator[NativeObject]:
    """A Server that stands elsewhere: what it stands before might be open without it."""
    body: Any = there.servers.get(server)
    if (spec := spec_of(body, server)) is not None:
        yield NativeObject(server, Role.GUARD, encoded({**body, "spec": _denying(spec)}))


def shutting(wanted: NativeObject, owner: Identity, there: Standing) -> Iterator[NativeObject]:
    """A Server where one is missing; under another name where anything waits for it that may let somebody in again."""
    body = json_of(wanted.body)
    found = (spec_of(one, ref) for ref, one in there.servers.items())
    if body["spec"] in [_denying(one) for one in found if one is not None]:
        return
    if not there.is_taken(wanted.ref) and wanted.ref not in there.by_server and there.is_clear(wanted.ref):
        yield wanted
        return
    refs = (_named(owner, wanted.ref.name, *salt) for salt in SALTS)
    for ref in [one for one in refs if not there.is_taken(one)][:1]:
        yield NativeObject(ref, Role.GUARD, encoded({**body, "metadata": {**body["metadata"], "name": ref.name}}))


def _named(owner: Identity, *facts: str) -> ObjectRef:
    return names.of_callers(POLICY, "Server", owner.namespace, owner.service_account, *facts)


def _denying(spec: Json) -> Json:
    return {**spec, "accessPolicy": "deny"}

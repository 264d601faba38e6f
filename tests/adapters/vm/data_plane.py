"""A real Envoy for the conformance kit: what objects give to the Pods and Workloads of a world, asked request by request.

All receivers stand in one Envoy, each inbound listener on a port of its own; nothing else of the objects is changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from adapters.vm import names, wire
from adapters.vm.view import view
from hub.api import Facts, NativeObject, Placement, Request, raw_bytes
from tests.servers.ads import Ads, serving
from tests.servers.apps import echo
from tests.servers.calls import Connect, http1, http2, tls
from tests.servers.certificates import Authority
from tests.servers.ports import held_port
from tests.servers.real_envoy import ads_bootstrap, running
from tests.servers.sidecar import secrets

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PATH = re.compile(r"/[\x21-\x7e]*")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?|")
_FRAMING = frozenset({"host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect"})
_ADS = {"ads": {}, "resource_api_version": "V3"}


class RealEnvoy(Struct, frozen=True):
    """A DataPlane of the kit (hub.testing.conformance.subject); `folder` is for logs and sockets."""

    folder: Path

    def __call__(self, objects: Sequence[NativeObject], facts: Facts, requests: Sequence[Request]) -> list[str]:
        """The verdict word of each request; "" for those of Services, and for what no client can send as it is."""
        authority, foreign = Authority(), Authority("foreign")
        with echo() as app:
            world = _World(objects, facts, (authority, foreign), app.port)
            if not world.listens:
                return [world.word(request) for request in requests]  # Envoy would wait for listeners
            own = authority.issue(["spiffe://cluster.local/ns/d/sa/api"])
            ads = Ads()
            ads.put([*secrets(own, authority.pem), *world.resources()])
            with serving(ads) as port, running(ads_bootstrap(port), self.folder):
                ads.wait_settled()
                assert not ads.nacks, ads.nacks
                return [world.word(request) for request in requests]


class _World:
    """The objects of one world as they are served, and who asks there."""

    def __init__(
        self, objects: Sequence[NativeObject], facts: Facts, authorities: tuple[Authority, Authority], app: int
    ) -> None:
        self._objects = [one for one in objects if one.ref.kind in wire.KINDS and not one.ref.name.startswith("out/")]
        self._facts, self._app = facts, app
        self._ours, self._foreign = authorities
        self._ports = {one.ref.name: held_port() for one in self._objects if one.ref.kind == "Listener"}
        self._pods = _alone((f"{one.ref.namespace}/{one.ref.name}", one) for one in facts.placements.values())
        owners = (
            (f"{one.identity.namespace}/{one.identity.service_account}", one) for one in facts.placements.values()
        )
        self._identities = _alone(owners)

    @property
    def listens(self) -> bool:
        """Whether there is any listener."""
        return bool(self._ports)

    def resources(self) -> list[tuple[str, bytes]]:
        """Kinds and final bytes."""
        return [(one.ref.kind, self._served(one)) for one in self._objects]

    def _served(self, native: NativeObject) -> bytes:
        kind, name = native.ref.kind, native.ref.name
        text = json.dumps(view(native.body, kind)).replace(names.BUNDLE, json.dumps(self._ours.pem)[1:-1])
        value = _over_ads(json.loads(text))
        if kind == "Listener":
            value["address"] = _place(self._ports[name])
        for group in value.get("load_assignment", {}).get("endpoints", ()) if kind == "Cluster" else ():
            for one in group.get("lb_endpoints", ()):
                one["endpoint"]["address"] = _place(self._app)
        return wire.pack(wire.from_json(kind, value))

    def word(self, request: Request) -> str:
        """What becomes of a request."""
        placement = self._pods.get(request.dst.pod or "") or self._identities.get(request.dst.identity or "")
        if placement is None or request.protocol == "udp" or not _sendable(request):
            return ""
        variant = next((one[2] for one in placement.inbound if one[:2] == (request.port, "TCP")), "")
        owner = placement.identity.namespace, placement.identity.service_account
        listener = names.inbound_listener(*owner, request.port, variant, placement.bind)
        if listener not in self._ports:
            return "deny"  # nobody listens there
        return "allow" if _passes(self._connect(request, self._ports[listener]), request) else "deny"

    def _connect(self, request: Request, port: int) -> Connect:
        """With the certificate of the caller, of a foreign authority where the trust domain is, or with none."""
        spiffe = self._caller(request)
        ours = spiffe.startswith(f"spiffe://{self._facts.trust_domain}/")
        return tls(port, self._ours.pem, (self._ours if ours else self._foreign).issue([spiffe]) if spiffe else None)

    def _caller(self, request: Request) -> str:
        source = request.src
        if source.identity is not None:
            namespace, _, account = source.identity.partition("/")
            return f"spiffe://{self._facts.trust_domain}/ns/{namespace}/sa/{account}"
        pod = self._pods.get(source.pod or "")
        return source.spiffe or (pod.identity.spiffe if pod is not None else "")


def _alone(named: Iterable[tuple[str, Placement]]) -> Mapping[str, Placement]:
    """By name, where it is that of one workload alone."""
    found: dict[str, list[Placement]] = {}
    for name, placement in named:
        found.setdefault(name, []).append(placement)
    return {name: every[0] for name, every in found.items() if len(every) == 1}


def _sendable(request: Request) -> bool:
    """Whether a client can send a request as it is, over both versions of HTTP; what Envoy makes of others is tested elsewhere."""
    named = request.src.identity or request.src.spiffe or request.src.pod or ""
    lines = all(
        _TOKEN.fullmatch(name) and _VALUE.fullmatch(value) and name.lower() not in _FRAMING
        for name, value in request.headers
    )
    asked = _TOKEN.fullmatch(request.method) and _PATH.fullmatch(request.path) and lines
    return named.isascii() and (request.protocol == "tcp" or bool(asked))


def _passes(connect: Connect, request: Request) -> bool:
    """Whether the application answers: bytes that are no HTTP, or HTTP of one version at least."""
    if request.protocol == "tcp":
        return _heard(connect)
    path = raw_bytes(request.path).decode("latin-1")
    if http1(connect, path, request.method, request.headers).status == 200:
        return True
    lower = [(name.lower(), value) for name, value in request.headers]
    return http2(connect, path, request.method, lower).status == 200


def _heard(connect: Connect) -> bool:
    """Whether the application is sent bytes that are no HTTP: it answers 200, Envoy itself would answer 400."""
    try:
        with connect() as connection:
            connection.sendall(b"\x00\x01raw\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _over_ads(value: Any) -> Any:
    """Sources of configuration in the one way that Envoy takes; secrets that name none are those of the process."""
    if isinstance(value, list):
        return [_over_ads(one) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _over_ads(one) for key, one in value.items()}
    if set(inner) == {"name"} and inner["name"] == names.SELF:
        return {**inner, "sds_config": _ADS}
    return {**inner, **_ADS} if "ads" in inner else inner


def _place(port: int) -> Any:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

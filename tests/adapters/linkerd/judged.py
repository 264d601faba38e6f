"""Requests to a Pod of a Linkerd mesh, judged by hand: what says what happens, the objects, who asks for what, the verdict.

The sources are Linkerd's pages, the specification of the Gateway API, and what a real policy controller with real proxies did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub.api import Request, Source
from hub.testing.conformance.subject import JudgedRequest
from tests.adapters.linkerd.judged_routes import ON_ROUTES, TO_SERVICES
from tests.adapters.linkerd.objects import (
    API,
    AUTHZ,
    MTLS,
    NEW,
    OLD,
    RAW,
    ROGUE,
    SEEN,
    WORLD,
    ask,
    authn,
    granted,
    identities,
    opened,
    path,
    policy,
    send,
    server,
)

_WEB = granted("Server/api", "web")
_ROGUE = granted("Server/api", "rogue", name="b")
_SERVER = server(), *_WEB
_PUBLIC = opened("public", "web", path("^(?:/public/.*)$"))
_SUFFIX = "*.shop.serviceaccount.identity.linkerd.cluster.local"
_EXACT = "web.shop.serviceaccount.identity.linkerd.cluster.local"
_OTHER, _OPS = "other/web", "other/ops"
_ACCOUNT = server(), policy("Server/api", authn("web", "ServiceAccount"))
_TWO = server(), identities(), identities("b", "*"), policy("Server/api", "web", "b")
_SPACE = server(), identities("shop", kind="Namespace"), policy("Server/api", "shop")
_FOREIGN = server(), identities(namespace="other"), policy("Server/api", "web")
_WHOLE = server(), *_PUBLIC, identities("all", "*"), policy("Namespace/shop", "all")


def _named(*texts: str) -> tuple[Any, ...]:
    """A Server, and a grant to these identities."""
    return server(), identities("ids", *texts), policy("Server/api", "ids")


def _open(name: str, age: str, other: str) -> tuple[Any, ...]:
    """A Server that lets nobody in, and one of this name that lets in everybody."""
    return server(age=other), server(name, age=age, accessPolicy="all-unauthenticated")


def _spiffe(text: str) -> Request:
    return Request(Source(spiffe=text), API, 8080)


_SERVERS: Sequence[tuple[str, Sequence[Any], Request, str]] = (
    # Without a Server everything is open; with one nobody gets in whom nothing admits.
    (AUTHZ, (), ask(), "allow"),
    (SEEN, (), ask(src=RAW), "allow"),
    (AUTHZ, (server(),), ask(), "deny"),
    (SEEN, (server(),), ask(src=RAW), "deny"),
    (SEEN, _SERVER, ask(), "allow"),
    (SEEN, _SERVER, ask(src=ROGUE), "deny"),
    (SEEN, _SERVER, ask(src=RAW), "deny"),
    (SEEN, _SERVER, send(), "allow"),
    (SEEN, _SERVER, send(ROGUE), "deny"),
    (SEEN, _SERVER, ask(src=_OTHER), "deny"),
    (AUTHZ, (server(port=9090),), ask(), "deny"),
    (AUTHZ, (server(podSelector={"matchLabels": {"app": "other"}}),), ask(), "allow"),
    (AUTHZ, (server(podSelector={"matchLabels": {"app": "api", "version": "v9"}}),), ask(), "allow"),
    (SEEN, (server(podSelector={"matchLabels": {}}),), ask(), "deny"),
    (SEEN, (server(ns="other"),), ask(), "allow"),
    # Of several Servers on one port the oldest counts, then the first by name.
    (SEEN, _open("b", age=NEW, other=OLD), ask(), "deny"),
    (SEEN, _open("b", age=OLD, other=NEW), ask(), "allow"),
    (SEEN, _open("b", age=OLD, other=OLD), ask(), "deny"),
    (SEEN, _open("a", age=OLD, other=OLD), ask(), "allow"),
    # accessPolicy: every word but `deny` joins every route.
    (SEEN, (server(accessPolicy="deny"),), ask(), "deny"),
    (SEEN, (server(accessPolicy="all-unauthenticated"),), ask(src=RAW), "allow"),
    (SEEN, (server(accessPolicy="all-authenticated"),), ask(src=ROGUE), "allow"),
    (SEEN, (server(accessPolicy="all-authenticated"),), ask(src=RAW), "deny"),
    (SEEN, (server(accessPolicy="cluster-authenticated"),), ask(src=ROGUE), "allow"),
    (SEEN, (server(accessPolicy="cluster-authenticated"),), ask(src=RAW), "deny"),
    (SEEN, (server(accessPolicy="audit"),), ask(src=RAW), "allow"),
    (SEEN, (server(accessPolicy="audit"), *_PUBLIC), ask("/public/x", RAW), "allow"),
    (SEEN, (server(accessPolicy="audit"), *_PUBLIC), ask("/x", RAW), "deny"),
    (SEEN, (server(accessPolicy="nonsense"),), ask(), "deny"),
    (SEEN, (server(accessPolicy="all-tls-unauthenticated"),), ask(), "deny"),
)
_GRANTS: Sequence[tuple[str, Sequence[Any], Request, str]] = (
    # What a policy requires: nothing lets in everybody, and what is missing or too much lets in nobody.
    (SEEN, (server(), policy("Server/api")), ask(src=RAW), "allow"),
    (AUTHZ, (server(), policy("Server/api", "missing")), ask(), "deny"),
    (SEEN, _TWO, ask(), "deny"),
    (SEEN, _ACCOUNT, ask(), "allow"),
    (SEEN, _ACCOUNT, ask(src=_OTHER), "deny"),
    (SEEN, (server(), *_WEB, *_ROGUE), ask(src=ROGUE), "allow"),
    (SEEN, (server(), *_WEB, *_ROGUE), ask(), "allow"),
    # Identities: exact, every one, by suffix, by namespace.
    (AUTHZ, _named("*"), ask(src=_OPS), "allow"),
    (AUTHZ, _named("*"), ask(src=RAW), "deny"),
    (SEEN, _named(_SUFFIX), ask(src=ROGUE), "allow"),
    (SEEN, _named(_SUFFIX), ask(src=_OTHER), "deny"),
    (SEEN, _named(_SUFFIX), ask(src="workshop/web"), "deny"),
    (AUTHZ, _named(_EXACT), ask(), "allow"),
    (SEEN, _named(_EXACT.replace("web", "WEB")), ask(), "deny"),
    (SEEN, _named(_EXACT), ask(src=_OTHER), "deny"),
    (SEEN, _SPACE, ask(src=ROGUE), "allow"),
    (SEEN, _SPACE, ask(src=_OPS), "deny"),
    (AUTHZ, _FOREIGN, ask(src=_OTHER), "allow"),
    (AUTHZ, _FOREIGN, ask(), "deny"),
    # A policy for a namespace joins every Server there, and every route.
    (SEEN, (server(), identities(), policy("Namespace/shop", "web")), ask(), "allow"),
    (SEEN, _WHOLE, ask("/public/x", ROGUE), "allow"),
    (SEEN, _WHOLE, ask("/x", ROGUE), "deny"),
    (AUTHZ, (server(), identities(), policy("Namespace/shop", "web", ns="other")), ask(), "deny"),
    # Other callers, and what is not captured.
    (AUTHZ, _SERVER, _spiffe("spiffe://cluster.local/ns/shop/sa/web"), "allow"),
    (MTLS, _SERVER, _spiffe("spiffe://partner.example/ns/shop/sa/web"), "deny"),
    (AUTHZ, _named("spiffe://cluster.local/vm/7"), _spiffe("spiffe://cluster.local/vm/7"), "allow"),
    ("https://linkerd.io/2-edge/features/protocol-detection/", _SERVER, send(protocol="udp"), "deny"),
)

JUDGED = tuple(
    JudgedRequest(tuple(objects), request, verdict, source, WORLD)
    for source, objects, request, verdict in (*_SERVERS, *_GRANTS, *ON_ROUTES, *TO_SERVICES)
)

"""What Consul refuses, what Envoy rejects, and what is not modelled is an error that names the entry, never a guess."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.consul.config import ConsulK8sConfig
from adapters.consul.evaluate.mesh import evaluator, settled
from hub.api import Facts, NativeObject, UnmodelledError
from tests.adapters.consul.native import (
    HTTP,
    allow,
    call,
    defaults,
    deny,
    entry,
    header,
    intentions,
    manifest,
    may,
    raw_entry,
    resolver,
    route,
    router,
    source,
    split,
    to,
    web,
)

_ALL = (
    intentions("web", source("a", may(exact="/x", Methods=["GET"], Header=[header("x-a", Exact="b")])), deny()),
    defaults("web"),
    router("web", route("web-v1", prefix="/x", Header=[header("a", Regex="b")], QueryParam=[header("c", Exact="d")])),
    split("web", to(50), to(50, "web-v1")),
    resolver("web", Subsets={"all": {}}),
    resolver("web", Redirect={"Service": "shop_web-v1"}),
)


def surprised(value: Any) -> Iterator[Any]:
    """The same with an unknown field, once for each object in it."""
    if isinstance(value, dict):
        yield {**value, "zqUnknown": True}
        for key, inner in value.items():
            if key != "Subsets":
                yield from ({**value, key: one} for one in surprised(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ([*value[:index], one, *value[index + 1 :]] for one in surprised(inner))


@pytest.mark.parametrize("native", _ALL, ids=lambda one: str(one.ref))
def test_unknown_field_is_an_error_wherever_it_stands(native: NativeObject, facts: Facts) -> None:
    """In the entry itself, and in everything inside; in a manifest too."""
    others = tuple(one for one in HTTP if one.ref != native.ref)
    for make, made in ((evaluator, native), (settled(ConsulK8sConfig()), manifest(native))):
        beside = others if made is native else tuple(map(manifest, others))
        make((*beside, made), facts)
        for body in surprised(json.loads(made.body)):
            with pytest.raises(UnmodelledError):
                make((*beside, replace(made, body=json.dumps(body).encode())), facts)


def _source(**fields: Any) -> NativeObject:
    return intentions("web", {"Name": "shop_a", **fields})


def _http(**fields: Any) -> NativeObject:
    return intentions("web", source("a", {"Action": "allow", "HTTP": fields}))


_TOO_LONG = "/(?:[0-9a-z]{900}){900}"


@pytest.mark.parametrize(
    ("native", "why"),
    [
        # What Consul refuses to store.
        (intentions("web"), "without sources"),
        (_source(), "allow or deny"),
        (_source(Permissions=[]), "allow or deny"),
        (_source(Action="ALLOW"), "allow or deny"),
        (_source(Action="allow", Permissions=[may(exact="/")]), "action and permissions"),
        (_source(Permissions=[{"Action": "allow"}]), "object"),
        (_http(), "asks for nothing"),
        (_http(PathExact="/", PathRegex="/"), "more than one"),
        (_http(PathExact="a"), "does not start with /"),
        (_http(PathPrefix="a"), "does not start with /"),
        (_http(Methods=["PURGE"]), "nine"),
        (_http(Methods=["*"]), "nine"),
        (_http(Methods=["GET", "get"]), "twice"),
        (_http(Header=[header("a")]), "exactly one"),
        (_http(Header=[header("a", Exact="b", Regex="b")]), "exactly one"),
        (_http(Header=[header("a", Present=True, Exact="b")]), "exactly one"),
        (_http(Header=[header("a", Regex="b", IgnoreCase=True)]), "IgnoreCase"),
        (_http(Header=[header("a", Present=True, IgnoreCase=True)]), "IgnoreCase"),
        (intentions("web", allow("a"), deny("a")), "one source twice"),
        (intentions("*", source("a", may(exact="/"))), r"destination is \*"),
        (raw_entry("service-intentions", "we*", Sources=[deny()]), "we"),
        (intentions("tcpsvc", source("a", may(exact="/"))), "TCP"),
        (intentions("undeclared", source("a", may(exact="/"))), "TCP"),
        (split("web"), "100.00"),
        (split("web", to(49.99, "web-v1"), to(50, "web-v2")), "100.00"),
        (split("web", *(to(33.333, name) for name in ("web", "web-v1", "web-v2"))), "100.00"),
        (split("web", to(50, "web-v1"), to(50, "web-v1")), "twice"),
        (split("web", to(50), to(50, "web")), "twice"),
        (split("web", to(50, "web-v1"), to(50, "nosvc")), "several protocols"),
        (split("tcpsvc", to(100, "tcpsvc")), "TCP"),
        (router("tcpsvc"), "TCP"),
        (split("web", to(100, "web-v1", ServiceSubset="all")), "subset"),
        (resolver("web", DefaultSubset="all"), "default subset"),
        (resolver("web", Redirect={"Service": "shop_web"}), "circle"),
        (router("web", route("web-v1", Header=[header("a", Contains="b")])), "Contains"),
        (router("web", route("web-v1", Header=[header("a", Exact="b", IgnoreCase=True)])), "IgnoreCase"),
        # What Consul stores and Envoy rejects: it keeps what it had.
        (_http(PathRegex="(["), "rejects the regex"),
        (_http(PathRegex="(?=x)"), "rejects the regex"),
        (_http(PathRegex=_TOO_LONG), "rejects"),
        (_http(Header=[header("a", Regex="([")]), "rejects the regex"),
        (router("web", route("web-v1", regex="([")), "rejects the regex"),
        (router("web", route("web-v1", Header=[header("a", Regex="(?=x)")])), "rejects the regex"),
        (split("web", to(-10, "web-v1"), to(110, "web-v2")), "weight"),
        # What Consul stores and ignores, so that it would mean something else.
        (split("web", to(100, "web-v1", Namespace="other")), "Namespace"),
        (router("web", {"Destination": {"Service": "shop_web-v1", "Partition": "other"}}), "Partition"),
        # What is not modelled.
        (_source(Action="allow", Peer="other"), "Peer"),
        (_source(Action="allow", SamenessGroup="other"), "SamenessGroup"),
        (_source(Action="allow", Namespace="other"), "Namespace"),
        (_source(Action="allow", Type="other"), 'type "other"'),
        (intentions("web", {"Name": "a+b", "Action": "allow"}), r"a\+b"),
        (intentions("web", {"Name": "", "Action": "allow"}), "source"),
        (entry("service-intentions", "web", Sources=[deny()], JWT={}), "JWT"),
        (_http(Header=[header("host", Exact="b")]), "proxies set"),
        (_http(Header=[header(":authority", Exact="b")]), "proxies set"),
        (_http(Header=[header("x-forwarded-client-cert", Present=True)]), "proxies set"),
        (_http(Header=[header("a b", Present=True)]), "proxies set"),
        (_http(Header=[header("a", Present="yes")]), "boolean"),
        (_http(Header=[header("a", Exact=7)]), "string"),
        (defaults("web", "ftp"), 'protocol "ftp"'),
        (entry("service-defaults", "web", Protocol="http", MutualTLSMode="permissive"), "MutualTLSMode"),
        (entry("service-defaults", "web", Protocol="http", Expose={"Checks": True}), "Expose"),
        (entry("service-defaults", "web", Protocol="http", EnvoyExtensions=[]), "EnvoyExtensions"),
        (entry("service-defaults", "web", Protocol="http", ExternalSNI="x"), "ExternalSNI"),
        (resolver("web", Failover={"*": {"Service": "shop_web-v1"}}), "Failover"),
        (resolver("web", Subsets={"v1": {"Filter": "Service.Meta.version == v1"}}), "Filter"),
        (resolver("web", Redirect={"Service": "shop_web-v1", "Datacenter": "dc2"}), "Datacenter"),
        (resolver("web", Redirect={}), "redirect"),
        (router("web", {"Match": {"HTTP": {"PathExact": "/", "CaseInsensitive": True}}}), "CaseInsensitive"),
        (router("web", {"Destination": {"PrefixRewrite": "/"}}), "PrefixRewrite"),
        (router("web", route("web-v1", QueryParam=[{"Name": "a"}])), "exactly one"),
        (router("web", route("WEB")), "WEB"),
        (raw_entry("proxy-defaults", "global", Config={"protocol": "http"}), "proxy-defaults"),
        (raw_entry("mesh", "mesh"), 'kind "mesh"'),
        (raw_entry("service-intentions", "", Sources=[deny()]), "no identity"),
        (raw_entry("service-intentions", "a.b", Sources=[deny()]), "no identity"),
        (raw_entry("service-intentions", 7, Sources=[deny()]), "string"),
        (replace(intentions("web", deny()), body=b"\xff{"), "not JSON"),
        (replace(intentions("web", deny()), body=b"[]"), "object"),
    ],
)  # fmt: skip
def test_reason_is_told(native: NativeObject, why: str, facts: Facts) -> None:
    """Each with the entry that it is about, or the service."""
    others = tuple(one for one in HTTP if one.ref != native.ref)
    with pytest.raises(UnmodelledError, match=why):
        evaluator((*others, native), facts)


@pytest.mark.parametrize(
    "natives",
    [
        (split("web", to(100, "web-v1")), split("web-v1", to(100, "web"))),
        (split("web", to(100, "web-v1")), split("web-v1", to(100, "web-v2")), split("web-v2", to(100, "web-beta"))),
        (resolver("web", Redirect={"Service": "shop_web-v1"}), resolver("web-v1", Redirect={"Service": "shop_web"})),
    ],
)
def test_circles_are_refused(natives: tuple[NativeObject, ...], facts: Facts) -> None:
    """Of splitters and of redirects; how three splitters behind each other are rounded is not modelled."""
    with pytest.raises(UnmodelledError, match="circle"):
        evaluator((*HTTP, *natives), facts)


def test_names_of_entries_have_no_case(facts: Facts) -> None:
    """`SHOP_WEB` is the entry of `shop_web`, so two such entries are one, and the last write would count."""
    loud = raw_entry("service-intentions", "SHOP_WEB", Sources=[allow("a")])
    assert evaluator((*HTTP, loud), facts).judge(call()).verdict == "allow"
    with pytest.raises(UnmodelledError, match="one entry"):
        evaluator((loud, intentions("web", deny())), facts)


def test_an_entry_of_another_kind_than_its_reference(facts: Facts) -> None:
    """Whichever of the two is right, it is not read."""
    odd = replace(deny_all := intentions("web", deny()), ref=replace(deny_all.ref, kind="service-defaults"))
    with pytest.raises(UnmodelledError, match="kind"):
        evaluator((odd,), facts)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"apiVersion": "consul.hashicorp.com/v1"}, "kind"),
        ({"kind": "Mesh"}, "Mesh"),
        ({"spec": {"Sources": []}}, "Sources"),
        ({"spec": {"sources": [{"name": "*", "action": "deny"}]}}, "no identity"),
        ({"metadata": {"name": "w", "namespace": "s", "annotations": {"consul.hashicorp.com/x": "y"}}}, "hashicorp"),
    ],
)
def test_manifests_that_are_not_read(change: dict[str, Any], why: str, facts: Facts) -> None:
    """Other versions and kinds, fields in capitals, an intention without a destination, what consul-k8s reads besides."""
    made = manifest(intentions("web", deny()))
    body = {**json.loads(made.body), **change}
    with pytest.raises(UnmodelledError, match=why):
        settled(ConsulK8sConfig())((replace(made, body=json.dumps(body).encode()),), facts)


def test_what_a_server_fills_in_means_nothing(facts: Facts) -> None:
    """An entry comes back with its place in the order, a digest, and indices."""
    filled = {"Meta": {"a": "b"}, "CreateIndex": 7, "ModifyIndex": 8, "Hash": 9}
    came = {"Name": "shop_a", "Action": "allow", "Precedence": 9, "Type": "consul", "Description": "x"}
    objects = (
        entry("service-defaults", "web", Protocol="http", TransparentProxy={}, MeshGateway={}, Expose={}, **filled),
        entry("service-intentions", "web", Sources=[came], **filled),
        entry("service-router", "web", Routes=[], **filled),
        entry("service-resolver", "web", **filled),
        entry("service-splitter", "web", Splits=[to(100)], **filled),
    )
    assert evaluator(objects, facts).judge(call()).verdict == "allow"


@pytest.mark.parametrize("at", ["/x?beta=%31", "/x?beta=1&beta=2"])
def test_queries_that_are_not_judged(at: str, facts: Facts) -> None:
    """What escapes and several values mean was not observed."""
    objects = (*web(may(prefix="/")), router("web", route("web-v1", QueryParam=[header("beta", Present=True)])))
    with pytest.raises(UnmodelledError, match="query"):
        evaluator(objects, facts).judge(call(at=at))

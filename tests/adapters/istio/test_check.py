"""The last look at final bytes: every shape that was seen to open a policy, end an Envoy or freeze a route table."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from adapters.istio.safety.check import check
from hub.api import UnsafeResourceError

Json = dict[str, Any]
Edit = Callable[[Json], object]

RULE: Json = {
    "from": [{"source": {"principals": ["td/ns/d/sa/web"]}}],
    "to": [{"operation": {"ports": ["80"], "methods": ["GET"], "paths": ["/a/*", "*.b"], "notPaths": ["/a/x"]}}],
    "when": [
        {"key": "request.headers[:path]", "values": ["/a/*"]},
        {"key": "request.headers[x-tier]", "values": ["gold*", "*"]},
    ],
}
POLICY: Json = {
    "apiVersion": "security.istio.io/v1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "smihub-api", "namespace": "d"},
    "spec": {"action": "ALLOW", "selector": {"matchLabels": {"smihub.io/sa": "api"}}, "rules": [RULE]},
}
PEERS: Json = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "smihub-api", "namespace": "d"},
    "spec": {"mtls": {"mode": "STRICT"}, "selector": {"matchLabels": {"smihub.io/sa": "api"}}},
}


def share(service: str, weight: int | None = None, port: int = 80) -> Json:
    """One destination of namespace `d`."""
    made: Json = {"destination": {"host": f"{service}.d.svc.cluster.local", "port": {"number": port}}}
    return made if weight is None else {**made, "weight": weight}


ROUTES: Json = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "smihub-web", "namespace": "d"},
    "spec": {
        "hosts": ["web.d.svc.cluster.local"],
        "http": [
            {"match": [{"port": 80, "uri": {"regex": "/[0-9]+"}}], "directResponse": {"status": 503}},
            {
                "match": [{"port": 80, "method": {"exact": "GET"}, "headers": {"x-a": {"prefix": "1"}}}],
                "route": [share("v2", 1)],
            },
            {"match": [{"port": 80}], "route": [share("v1", 9), share("v2", 1)]},
        ],
        "tcp": [
            {"match": [{"port": 80}], "route": [share("v1", 9), share("v2", 1)]},
            {
                "match": [{"port": 81}],
                "route": [{"destination": {"host": "nobody.smihub.invalid", "port": {"number": 81}}}],
            },
        ],
    },
}


def checked(manifest: Json) -> None:
    """Check a manifest in canonical bytes."""
    check(msgspec.json.encode(manifest, order="sorted"))


def refused(manifest: Json, edit: Edit) -> str:
    """Why an edited manifest is refused."""
    edited = copy.deepcopy(manifest)
    edit(edited)
    with pytest.raises(UnsafeResourceError) as caught:
        checked(edited)
    return str(caught.value)


def put(*way: Any) -> Edit:
    """Set the value at the end of a way: `put("spec", "rules", 0, {})`."""

    def edit(manifest: Json) -> None:
        at: Any = manifest
        for step in way[:-2]:
            at = at[step]
        at[way[-2]] = way[-1]

    return edit


def drop(*way: Any) -> Edit:
    """Remove what a way leads to."""

    def edit(manifest: Json) -> None:
        at: Any = manifest
        for step in way[:-1]:
            at = at[step]
        del at[way[-1]]

    return edit


@pytest.mark.parametrize("manifest", [POLICY, PEERS, ROUTES])
def test_manifest_when_it_is_ours(manifest: Json) -> None:
    """What translation writes passes."""
    checked(manifest)


def test_policy_when_it_has_no_rules() -> None:
    """That denies, and passes."""
    edited = copy.deepcopy(POLICY)
    del edited["spec"]["rules"]
    checked(edited)


ANYWHERE: list[tuple[str, Edit]] = [
    ("annotations", put("metadata", "annotations", {"istio.io/dry-run": "true"})),
    ("labels", put("metadata", "labels", {})),
    ("another version", put("apiVersion", "v1alpha1")),
    ("another kind", put("kind", "EnvoyFilter")),
    ("no namespace", drop("metadata", "namespace")),
    ("a bad name", put("metadata", "name", "A_b")),
    ("a status", put("status", {})),
    ("no spec", drop("spec")),
    ("an empty spec", put("spec", {})),
]


@pytest.mark.parametrize("edit", [edit for _, edit in ANYWHERE], ids=[name for name, _ in ANYWHERE])
@pytest.mark.parametrize("manifest", [POLICY, PEERS, ROUTES], ids=["policy", "peers", "routes"])
def test_manifest_when_its_head_is_wrong(manifest: Json, edit: Edit) -> None:
    """Nothing beside the fields that are ours."""
    assert "must not be written" in refused(manifest, edit)


_TO = ("spec", "rules", 0, "to", 0, "operation")
_RAW: Json = {"operation": {"ports": ["90"]}}
IN_POLICIES: list[tuple[str, Edit]] = [
    ("deny", put("spec", "action", "DENY")),
    ("no action", drop("spec", "action")),
    ("no selector", drop("spec", "selector")),
    ("empty selector", put("spec", "selector", {})),
    ("empty labels", put("spec", "selector", "matchLabels", {})),
    ("without the account", put("spec", "selector", "matchLabels", {"app": "api"})),
    ("an empty label value", put("spec", "selector", "matchLabels", "track", "")),
    ("a wildcard label", put("spec", "selector", "matchLabels", "track", "*")),
    ("a target", put("spec", "targetRefs", [])),
    ("empty rules", put("spec", "rules", [])),
    ("an empty rule", put("spec", "rules", 0, {})),
    ("too many rules", put("spec", "rules", [RULE] * 513)),
    ("no from", drop("spec", "rules", 0, "from")),
    ("empty from", put("spec", "rules", 0, "from", [])),
    ("empty from entry", put("spec", "rules", 0, "from", [{}])),
    ("empty source", put("spec", "rules", 0, "from", 0, "source", {})),
    ("empty principals", put("spec", "rules", 0, "from", 0, "source", "principals", [])),
    ("null principals", put("spec", "rules", 0, "from", 0, "source", "principals", None)),
    ("an empty principal", put("spec", "rules", 0, "from", 0, "source", "principals", [""])),
    ("any principal", put("spec", "rules", 0, "from", 0, "source", "principals", ["*"])),
    ("a wild principal", put("spec", "rules", 0, "from", 0, "source", "principals", ["*/ns/d/sa/web"])),
    ("a scheme", put("spec", "rules", 0, "from", 0, "source", "principals", ["spiffe://td/ns/d/sa/web"])),
    ("namespaces", put("spec", "rules", 0, "from", 0, "source", "namespaces", ["d"])),
    ("notPrincipals", put("spec", "rules", 0, "from", 0, "source", "notPrincipals", ["x"])),
    ("empty to", put("spec", "rules", 0, "to", [])),
    ("null to", put("spec", "rules", 0, "to", None)),
    ("empty to entry", put("spec", "rules", 0, "to", [{}])),
    ("empty operation", put(*_TO, {})),
    ("empty operation alone", put("spec", "rules", 0, {"from": RULE["from"], "to": [{"operation": {}}]})),
    ("empty paths", put(*_TO, "paths", [])),
    ("an empty path", put(*_TO, "paths", [""])),
    ("any path", put(*_TO, "paths", ["*"])),
    ("a path with query", put(*_TO, "paths", ["/a?b"])),
    ("a relative path", put(*_TO, "paths", ["a"])),
    ("empty ports", put(*_TO, "ports", [])),
    ("a named port", put(*_TO, "ports", ["http"])),
    ("a padded port", put(*_TO, "ports", ["080"])),
    ("a large port", put(*_TO, "ports", ["65536"])),
    ("both kinds of ports", put(*_TO, "notPorts", ["90"])),
    ("empty methods", put(*_TO, "methods", [])),
    ("a wild method", put(*_TO, "methods", ["G*"])),
    ("any method beside others", put(*_TO, "methods", ["*", "GET"])),
    ("hosts", put(*_TO, "hosts", ["x"])),
    ("notPaths alone", drop(*_TO, "paths")),
    ("wild notPaths", put(*_TO, "notPaths", ["/a/*"])),
    ("raw beside HTTP", put("spec", "rules", 0, "to", [RULE["to"][0], _RAW])),
    ("a condition beside raw", put("spec", "rules", 0, "to", [_RAW])),
    ("a condition alone", drop("spec", "rules", 0, "to")),
    ("empty when", put("spec", "rules", 0, "when", [])),
    ("an unknown key", put("spec", "rules", 0, "when", 0, "key", "request.header[x]")),
    ("a key about the host", put("spec", "rules", 0, "when", 1, "key", "request.headers[host]")),
    ("another attribute", put("spec", "rules", 0, "when", 0, "key", "source.ip")),
    ("no values", drop("spec", "rules", 0, "when", 0, "values")),
    ("empty values", put("spec", "rules", 0, "when", 0, "values", [])),
    ("an empty value", put("spec", "rules", 0, "when", 1, "values", [""])),
    ("notValues", put("spec", "rules", 0, "when", 1, "notValues", ["x"])),
    ("the end of :path", put("spec", "rules", 0, "when", 0, "values", ["*.json"])),
    ("the whole of :path", put("spec", "rules", 0, "when", 0, "values", ["/a"])),
    ("any :path", put("spec", "rules", 0, "when", 0, "values", ["*"])),
    ("the root namespace", put("metadata", "namespace", "istio-system")),
]


@pytest.mark.parametrize("edit", [edit for _, edit in IN_POLICIES], ids=[name for name, _ in IN_POLICIES])
def test_policy_when_it_might_mean_more(edit: Edit) -> None:
    """Each of these would open something, or be read differently than it looks."""
    assert "must not be written" in refused(POLICY, edit)


@pytest.mark.parametrize(
    "path",
    """
    {*} {**} a/{*} {*}/a //a/{*} /a/{*}// /a/{**}/{*} /a/{**}/z /a/{*}* /a/x{*} /a/{x} /a{*} /a{b /a} /a/*/{*}
    /{*}/%zz{ *{*} /a//{*}
    """.split(),  # noqa: SIM905 - easier to read
)
def test_policy_when_a_template_is_unsafe(path: str) -> None:
    """Some of these end the process of Envoy, others match more or less than they say."""
    assert "must not be written" in refused(POLICY, put(*_TO, "paths", [path]))


@pytest.mark.parametrize(
    "path", ["/a/{*}", "/a/{*}/b", "/f/{**}", "/a/{*}/{**}", "/a/{*}/", "/a**", "**x", "/a*b", "*/*"]
)
def test_policy_when_a_path_is_safe(path: str) -> None:
    """Templates of the safe form, and stars that are literal."""
    edited = copy.deepcopy(POLICY)
    put(*_TO, "paths", [path])(edited)
    checked(edited)


IN_PEERS: list[tuple[str, Edit]] = [
    ("permissive", put("spec", "mtls", "mode", "PERMISSIVE")),
    ("disabled", put("spec", "mtls", "mode", "DISABLE")),
    ("unset", put("spec", "mtls", {})),
    ("ports", put("spec", "portLevelMtls", {"80": {"mode": "DISABLE"}})),
    ("no selector", drop("spec", "selector")),
    ("another selector", put("spec", "selector", "matchLabels", {"app": "x"})),
]


@pytest.mark.parametrize("edit", [edit for _, edit in IN_PEERS], ids=[name for name, _ in IN_PEERS])
def test_peers_when_plain_text_might_pass(edit: Edit) -> None:
    """Mutual TLS, for one account."""
    assert "must not be written" in refused(PEERS, edit)


_MANY = [share(f"v{n}", 2**31 - 1) for n in range(3)]
_LAST = ("spec", "http", 2)
_FIRST = ("spec", "http", 0, "match", 0)
IN_ROUTES: list[tuple[str, Edit]] = [
    ("no hosts", put("spec", "hosts", [])),
    ("two hosts", put("spec", "hosts", ["web.d.svc.cluster.local", "x.d.svc.cluster.local"])),
    ("a short host", put("spec", "hosts", ["web"])),
    ("a wildcard host", put("spec", "hosts", ["*"])),
    ("another namespace's host", put("spec", "hosts", ["web.e.svc.cluster.local"])),
    ("gateways", put("spec", "gateways", ["x"])),
    ("empty http", put("spec", "http", [])),
    ("no match", drop(*_LAST, "match")),
    ("empty match", put(*_LAST, "match", [])),
    ("no port in match", put(*_LAST, "match", [{}])),
    ("two ports in match", put(*_LAST, "match", [{"port": 80}, {"port": 81}])),
    ("no fallback", drop(*_LAST)),
    ("a route after the fallback", lambda m: m["spec"]["http"].append(m["spec"]["http"][0])),
    ("all weights zero", put(*_LAST, "route", [share("v1", 0), share("v2", 0)])),
    ("one weight zero", put(*_LAST, "route", [share("v1", 1), share("v2", 0)])),
    ("a negative weight", put(*_LAST, "route", [share("v1", -1), share("v2", 2)])),
    ("no weights", put(*_LAST, "route", [share("v1"), share("v2")])),
    ("a weight that is no integer", put(*_LAST, "route", 0, "weight", 0.5)),
    ("a weight beyond int32", put(*_LAST, "route", 0, "weight", 2**31)),
    ("a sum beyond int32", put(*_LAST, "route", _MANY)),
    ("no destinations", put(*_LAST, "route", [])),
    ("a destination twice", put(*_LAST, "route", [share("v1", 1), share("v1", 1)])),
    ("no port in destination", drop(*_LAST, "route", 0, "destination", "port")),
    ("another port in destination", put(*_LAST, "route", [share("v1", 1, port=81)])),
    ("a subset", put(*_LAST, "route", 0, "destination", "subset", "x")),
    ("a short destination", put(*_LAST, "route", 0, "destination", "host", "v1")),
    ("another namespace's destination", put(*_LAST, "route", 0, "destination", "host", "v1.e.svc.cluster.local")),
    (
        "nobody for HTTP",
        put(*_LAST, "route", [{"destination": {"host": "nobody.smihub.invalid", "port": {"number": 80}}}]),
    ),
    ("neither route nor answer", drop(*_LAST, "route")),
    ("route and answer", put(*_LAST, "directResponse", {"status": 503})),
    ("another answer", put("spec", "http", 0, "directResponse", {"status": 200})),
    ("a rewrite", put(*_LAST, "rewrite", {"uri": "/"})),
    ("a bad regex", put(*_FIRST, "uri", {"regex": "("})),
    ("a look-ahead", put(*_FIRST, "uri", {"regex": "/(?=a)"})),
    ("a regex that Go refuses", put(*_FIRST, "uri", {"regex": r"/\C"})),
    ("a long regex", put(*_FIRST, "uri", {"regex": "/" + "a" * 1024})),
    ("an empty regex", put(*_FIRST, "uri", {"regex": ""})),
    ("an empty prefix", put(*_FIRST, "uri", {"prefix": ""})),
    ("an empty text match", put(*_FIRST, "uri", {})),
    ("two text matches", put(*_FIRST, "uri", {"exact": "/a", "prefix": "/a"})),
    ("empty headers", put(*_FIRST, "headers", {})),
    ("an empty header prefix", put(*_FIRST, "headers", {"x": {"prefix": ""}})),
    ("a managed header", put(*_FIRST, "headers", {"host": {"exact": "x"}})),
    ("a pseudo header", put(*_FIRST, "headers", {":path": {"exact": "x"}})),
    ("a header that Istio ignores", put(*_FIRST, "headers", {"uri": {"exact": "x"}})),
    ("a header in capitals", put(*_FIRST, "headers", {"X": {"exact": "x"}})),
    ("an inverted header", put(*_FIRST, "withoutHeaders", {"x": {"exact": "x"}})),
    ("a case-blind path", put(*_FIRST, "ignoreUriCase", True)),
    ("two TCP routes", put("spec", "tcp", 1, "match", 0, "port", 80)),
    ("TCP without port", put("spec", "tcp", 0, "match", [{}])),
    ("nobody beside others", lambda m: m["spec"]["tcp"][1]["route"].append(share("v1", 1, port=81))),
    ("no routes at all", lambda m: m["spec"].update(http=[], tcp=[])),
    ("nothing but a host", lambda m: (m["spec"].pop("http"), m["spec"].pop("tcp"))),
    ("TLS routes", put("spec", "tls", [])),
]


@pytest.mark.parametrize("edit", [edit for _, edit in IN_ROUTES], ids=[name for name, _ in IN_ROUTES])
def test_routes_when_they_might_freeze_or_mislead(edit: Edit) -> None:
    """Each of these is refused by Envoy with the whole table, or sends calls elsewhere."""
    assert "must not be written" in refused(ROUTES, edit)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"kind": "AuthorizationPolicy"}'])
def test_bytes_when_they_are_no_object(body: bytes) -> None:
    """One error for whatever cannot be read."""
    with pytest.raises(UnsafeResourceError):
        check(body)


def test_bytes_when_they_are_not_canonical() -> None:
    """Other spacing, another order, or a key that stands twice."""
    body = msgspec.json.encode(POLICY, order="sorted")
    for other in (body + b" ", msgspec.json.encode(POLICY), body[:-1] + b',"kind":"AuthorizationPolicy"}'):
        if other != body:
            with pytest.raises(UnsafeResourceError):
                check(other)

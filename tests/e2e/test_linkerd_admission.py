"""Linkerd's objects on a real kube-apiserver: ours are taken as they are, documented mistakes are refused, and some are not."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from adapters.linkerd.config import GATEWAY, POLICY, LinkerdConfig
from adapters.linkerd.plugin import SPEC
from adapters.linkerd.safety.check import check
from adapters.linkerd.translate.access import MAX_CALLERS
from adapters.linkerd.translate.unit import translate
from hub.api import Access, Backend, HttpMatch, Identity, NativeObject, RoutePort, Split, UnsafeResourceError
from hub.testing.conformance.split_worlds import make_split_values
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.worlds import documents_of, make_values
from tests.adapters.linkerd.objects import surprised
from tests.servers.istio.gateway import gateway_types
from tests.servers.istio.kube import Kube
from tests.servers.istio.plane import api_server, serve_types
from tests.servers.linkerd.refused import REFUSED, SOUND
from tests.servers.linkerd.types import FOLDER, linkerd_types
from tests.servers.units import access, http_grant, inbound, route, split, split_ref, tcp_grant

pytestmark = pytest.mark.istio
GOLDENS = Path(__file__).parents[1] / "adapters" / "linkerd" / "goldens"
GROUPS = (POLICY, GATEWAY)
WORLDS = {POLICY: 60, GATEWAY: 15}
"""Random worlds; with routes of the Gateway API all else is as it is without."""
Body = dict[str, Any]


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """An API server with Linkerd's types, and those of the Gateway API that it reads."""
    with api_server(tmp_path_factory.mktemp("linkerd")) as one:
        serve_types(one.kube, [*linkerd_types(), *gateway_types("experimental")])
        for name in ("d", "x", "default", "shop", "8080"):
            one.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield one.kube


def hold(kube: Kube, body: Body) -> None:
    """The API server takes it, and has nothing else afterwards."""
    kube.apply(body)
    found = kube.read(body)
    assert found is not None
    assert found["spec"] == body["spec"]


# ------------------------------------------------------------------------------------------------------------- ours


def test_goldens_are_taken_as_they_are(kube: Kube) -> None:
    """Every one of them."""
    goldens = sorted(GOLDENS.glob("*.linkerd.yaml"))
    bodies = [one for file in goldens for one in yaml.load(file.read_text(), yaml.CSafeLoader)["objects"]]
    kinds = {one["kind"] for one in bodies}
    authentications = {"MeshTLSAuthentication", "NetworkAuthentication"}
    assert kinds == {"Server", "HTTPRoute", "TCPRoute", "AuthorizationPolicy"} | authentications
    for body in bodies:
        hold(kube, {key: value for key, value in body.items() if key != "role"})


@pytest.mark.parametrize("group", GROUPS)
def test_objects_of_random_worlds_are_taken_as_they_are(kube: Kube, group: Any) -> None:
    """Nothing is filled in that a GitOps tool would see as a difference."""
    mesh = SinklessMesh("linkerd", SPEC, LinkerdConfig(http_routes=group))
    seen = set()
    for number in range(WORLDS[group]):
        values = (make_values, make_split_values)[number % 2](Random(f"linkerd/{number}"))
        units = compile_documents(documents_of(values), Scope()).units
        for native_ in (one for made in translate_units(units, mesh).values() for one in made.objects):
            seen.add((native_.ref.kind, native_.role))
            hold(kube, json.loads(native_.body))
    assert len(seen) >= 6


def _largest(group: Any) -> Iterator[NativeObject]:
    """The most callers, the longest names, the most and longest matches, the most backends and rules."""
    config = LinkerdConfig(http_routes=group)
    owner = Identity("td", "d", ".".join(["a" * 63] * 3 + ["b" * 61]))
    names = [f"{number:04}" + "c" * 59 + ".c" * 95 for number in range(MAX_CALLERS)]
    callers = tuple(Identity("td", "d" * 63, name).spiffe for name in names)
    headers = tuple((f"x-{number}" + "-" * 250, "a" * 150) for number in range(16))
    long = [HttpMatch(f"/{number:03}", ("GET",), headers) for number in range(150)]
    grants = replace(tcp_grant("raw", []), sources=callers), replace(http_grant("a", [], *long), sources=callers[:1])
    yield from translate(Access(owner, grants, (inbound(8080), inbound(9100, "none"))), config).objects
    backends = tuple(Backend(f"{'s' * 55}{number}", Fraction(number + 1)) for number in range(16))
    conditions = tuple(HttpMatch(f"/{number}(/.*)?", ("GET",), headers) for number in range(119))
    layers = (Split(split_ref("a"), conditions, backends), Split(split_ref("z"), None, backends))
    yield from translate(route("s" * 63, RoutePort(80, "TCP", "http", layers)), config).objects


@pytest.mark.parametrize("group", GROUPS)
def test_the_largest_objects_are_taken_as_they_are(kube: Kube, group: Any) -> None:
    """The limits of the API server are not below those of the adapter."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d" * 63}})
    made = list(_largest(group))
    largest = made if group == POLICY else [one for one in made if one.ref.kind == "HTTPRoute"]
    sizes = [(len(one.body), one.ref.kind) for one in largest]
    assert group == GATEWAY or max(sizes) > (1_400_000, "MeshTLSAuthentication")
    assert sum(kind == "HTTPRoute" for _, kind in sizes) > 2
    for native_ in largest:
        hold(kube, json.loads(native_.body))


# ----------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(("body", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_the_types_do_not_allow_is_refused(kube: Kube, body: Body, said: str) -> None:
    """By the API server alone: no webhook is there."""
    with pytest.raises(RuntimeError) as refusal:
        kube.apply(body)
    assert said in str(refusal.value)
    assert kube.read(body) is None


def test_every_kind_has_objects_that_are_refused() -> None:
    """At least two of each."""
    found = Counter((body["apiVersion"].partition("/")[0], body["kind"]) for _, body, _ in REFUSED)
    named = {(one["spec"]["group"], one["spec"]["names"]["kind"]) for one in linkerd_types()}
    assert set(found) == named | {(GATEWAY, kind) for kind in ("HTTPRoute", "GRPCRoute", "TCPRoute")}
    assert min(found.values()) >= 2


@pytest.mark.parametrize("body", SOUND, ids=[one["kind"] for one in SOUND])
def test_a_field_that_is_not_described_is_refused(kube: Kube, body: Body) -> None:
    """Wherever it stands: the schemas are closed, and whatever is not known would be dropped or kept unseen."""
    kube.apply(body)
    wrong = list(surprised(body["spec"]))
    assert len(wrong) > 1
    for spec in wrong:
        with pytest.raises(RuntimeError, match="field not declared in schema"):
            kube.apply({**body, "spec": spec})


def test_no_type_keeps_what_it_does_not_know() -> None:
    """And each of Linkerd's own kinds has a sound object here."""
    files = list(FOLDER.glob("*.yaml"))
    assert len(files) == len({one["kind"] for one in SOUND}) == len(linkerd_types()) == 7
    assert not [file.name for file in files if "preserve-unknown" in file.read_text()]


# ---------------------------------------------------------------------------------------------------- taken, and wrong


def _made(group: Any) -> dict[str, Body]:
    """One object of each kind as we write it; `Split` is the HTTPRoute of a Service."""
    config = LinkerdConfig(http_routes=group)
    granted = translate(access(http_grant("t", ["web"], HttpMatch("/a")), ports=(inbound(8080),)), config).objects
    led = translate(route("store", RoutePort(80, "TCP", "http", (split("s", v1=1, v2=1),))), config).objects
    return {one.ref.kind: json.loads(one.body) for one in granted} | {"Split": json.loads(led[0].body)}


_RULE = ("spec", "rules", 0)
_REGEX = (*_RULE, "matches", 0, "path", "value")
_PARENT = ("spec", "parentRefs", 0)
_REWRITE = [{"type": "URLRewrite", "urlRewrite": {"hostname": "a.example"}}]
_IGNORED: Sequence[tuple[str, Any, tuple[Any, ...], Any]] = (
    # An access policy that Linkerd does not know denies.
    ("Server", POLICY, ("spec", "accessPolicy"), "nonsense"),
    ("Server", POLICY, ("spec", "accessPolicy"), "all-tls-unauthenticated"),
    # No authentication is required: everybody gets in.
    ("AuthorizationPolicy", POLICY, ("spec", "requiredAuthenticationRefs"), []),
    # What the index cannot read leaves the grant that stood there before.
    ("MeshTLSAuthentication", POLICY, ("spec", "identityRefs", 0, "kind"), "User"),
    ("AuthorizationPolicy", POLICY, ("spec", "targetRef"), {"group": "apps", "kind": "Deployment", "name": "api"}),
    ("AuthorizationPolicy", POLICY, ("spec", "requiredAuthenticationRefs", 0, "kind"), "User"),
    # Routes that are ignored, and said to be accepted.
    *(
        row
        for group in GROUPS
        for row in (
            ("HTTPRoute", group, _REGEX, "^(?:/[)$"),
            ("HTTPRoute", group, (*_PARENT, "port"), 8080),
            ("HTTPRoute", group, (*_PARENT, "sectionName"), "http"),
            ("Split", group, (*_RULE, "matches", 0, "path"), {"type": "RegularExpression", "value": "^(?:/[)$"}),
        )
    ),
    ("HTTPRoute", GATEWAY, (*_RULE, "filters"), _REWRITE),
    ("Split", GATEWAY, (*_RULE, "filters"), _REWRITE),
)


@pytest.mark.parametrize(
    ("kind", "group", "place", "value"), _IGNORED, ids=[f"{row[0]}-{row[2][-1]}-{row[1]}" for row in _IGNORED]
)
def test_what_linkerd_ignores_or_takes_for_more_is_accepted_here_and_stopped_by_our_list(
    kube: Kube, kind: str, group: Any, place: tuple[Any, ...], value: Any
) -> None:
    """As an update of what we write; observed on Linkerd edge-26.8."""
    body = _made(group)[kind]
    check(msgspec.json.encode(body, order="sorted"))
    hold(kube, body)
    changed = copy.deepcopy(body)
    at: Any = changed
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    hold(kube, changed)
    with pytest.raises(UnsafeResourceError, match="must not be written"):
        check(msgspec.json.encode(changed, order="sorted"))

"""What waits and what never does, while something cannot be read: on both meshes, and in fresh processes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hub.model import Destination, NativeObject, Observed, Request, Source
from tests.servers.folder import CONFIG, Folder, target
from tests.servers.hubs import hub_of

pytestmark = pytest.mark.thorough

ISTIO = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes: [{name: istio, adapter: istio, sink: {path: rendered}}]
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  template:
    metadata: {labels: {app: api, smihub.io/sa: api}}
    spec:
      serviceAccountName: api
      containers: [{name: app, image: app, ports: [{name: web, containerPort: 8080}]}]
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec:
  selector: {app: api}
  ports: [{name: http-web, port: 80, targetPort: web}]
"""
WORKLOADS = """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: api-1, namespace: shop, labels: {app: api}}
spec: {serviceAccount: api, addresses: [10.0.0.2], ports: [{name: web, port: 8080}]}
"""
ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec: {matches: [{name: x, pathRegex: /x, methods: [GET]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: raw, namespace: shop}
spec: {}
"""
RAW = """\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: peer, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: shop}
  rules: [{kind: TCPRoute, name: raw}]
  sources: [{kind: ServiceAccount, name: peer, namespace: shop}]
"""
BROKEN = "kind: Pod\n<<<<<<< HEAD\nkind: [\n"
Call = tuple[str, str, str]
"""Source, path, protocol."""


@pytest.fixture(name="folder", params=["vm", "istio"])
def make_folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    """`web` may GET /x of `api`, on a port that a Service declares as HTTP; `peer` may send raw bytes where it is not."""
    folder = Folder(tmp_path)
    folder.config(CONFIG if request.param == "vm" else ISTIO)
    folder.write("work.yaml", WORKLOADS if request.param == "vm" else DEPLOYMENT)
    folder.write("svc.yaml", SERVICE)
    folder.write("routes.yaml", ROUTES)
    folder.write("web.yaml", target("web", matches="x"))
    folder.write("peer.yaml", RAW)
    applied(folder)
    return folder


def applied(folder: Folder, *arguments: str) -> tuple[int, str]:
    """Apply in a hub of its own; the exit code, and what was said on stderr."""
    result = folder.run("apply", "--yes", *arguments)
    return result.exit_code, result.stderr


def standing(folder: Folder, calls: Iterable[Call]) -> dict[Call, str]:
    """What the objects that stand in the mesh say of calls to port 8080 of `api`."""
    return asyncio.run(_standing(folder, calls))


async def _standing(folder: Folder, calls: Iterable[Call]) -> dict[Call, str]:
    hub = hub_of(folder.root / "smihub.yaml")
    try:
        hub.read()
        (mesh,) = hub.meshes
        await hub.recall()
        mirror = await mesh.observed()
        hub.clusters[""].endpoints.update()
        natives = [_native(one) for one in mirror.whole().objects.values()]
        evaluator = mesh.spec.evaluator(natives, hub.clusters[""].endpoints.facts())
        return {call: evaluator.judge(_request(*call)).verdict for call in calls}
    finally:
        await hub.close()


def _native(one: Observed) -> NativeObject:
    assert one.owner is not None
    return NativeObject(one.ref, one.role, one.owned, (), one.needs)


def _request(source: str, path: str, protocol: str) -> Request:
    kind: Any = protocol
    return Request(Source(identity=f"shop/{source}"), Destination(identity="shop/api"), 8080, kind, "GET", path)


GRANTED, RAW_HTTP, RAW_BYTES = ("web", "/x", "http"), ("peer", "/x", "http"), ("peer", "/", "tcp")


def test_what_is_granted_to_begin_with(folder: Folder) -> None:
    """The declared protocol keeps raw bytes out."""
    found = standing(folder, (GRANTED, RAW_HTTP, RAW_BYTES))
    assert found == {GRANTED: "allow", RAW_HTTP: "deny", RAW_BYTES: "deny"}


@pytest.mark.parametrize("file", ["work.yaml", "svc.yaml", "routes.yaml", "web.yaml", "peer.yaml"])
def test_a_file_that_breaks_opens_and_closes_nothing(folder: Folder, file: str) -> None:
    """A merge conflict in any file: a fresh process keeps what it granted, and adds nothing."""
    (folder.manifests / file).write_text((folder.manifests / file).read_text() + BROKEN)
    code, _ = applied(folder)
    assert code == 1
    found = standing(folder, (GRANTED, RAW_HTTP, RAW_BYTES))
    assert found == {GRANTED: "allow", RAW_HTTP: "deny", RAW_BYTES: "deny"}


def test_a_folder_that_cannot_be_followed_opens_and_closes_nothing(folder: Folder, tmp_path: Path) -> None:
    """A folder that becomes a link out of the source hides the Service and the TrafficTarget that it holds."""
    (folder.manifests / "team").mkdir()
    for name, text in (("svc.yaml", SERVICE), ("web.yaml", target("web", matches="x"))):
        folder.remove(name)
        (folder.manifests / "team" / name).write_text(text)
    applied(folder)
    (folder.manifests / "team").rename(tmp_path / "elsewhere")
    (folder.manifests / "team").symlink_to(tmp_path / "elsewhere")
    assert applied(folder)[0] == 1
    found = standing(folder, (GRANTED, RAW_HTTP, RAW_BYTES))
    assert found == {GRANTED: "allow", RAW_HTTP: "deny", RAW_BYTES: "deny"}


def test_a_revocation_in_the_same_unit_is_written_beside_a_broken_file(folder: Folder) -> None:
    """web.yaml and evil.yaml grant to api; web.yaml breaks and evil.yaml goes: web keeps its access, evil loses it."""
    folder.write("evil.yaml", target("evil", source="evil", matches="x"))
    applied(folder)
    folder.write("web.yaml", BROKEN)
    folder.remove("evil.yaml")
    applied(folder)
    found = standing(folder, (GRANTED, ("evil", "/x", "http")))
    assert list(found.values()) == ["allow", "deny"]


def test_a_typo_keeps_what_was_granted_and_adds_nothing(folder: Folder) -> None:
    """An object that cannot be decoded grants what it granted, as far as the others still do; its unit gains nothing."""
    folder.write("web.yaml", target("web", matches="x").replace("sources:", "source:"))
    wider = ROUTES.replace("pathRegex: /x", "pathRegex: /.*")
    folder.write("routes.yaml", wider)
    folder.write("evil.yaml", target("evil", source="evil", matches="x"))
    code, said = applied(folder)
    assert (code, "web.yaml" in said) == (1, True)
    calls = (GRANTED, ("web", "/y", "http"), ("evil", "/x", "http"))
    assert list(standing(folder, calls).values()) == ["allow", "deny", "deny"]
    folder.write("routes.yaml", ROUTES.replace("pathRegex: /x", "pathRegex: /z"))
    applied(folder)
    assert list(standing(folder, calls).values()) == ["deny", "deny", "deny"]


def test_explain_tells_what_is_in_force_beside_what_the_sources_say(folder: Folder) -> None:
    """SMI grants nothing by a broken object; the mesh still does."""
    folder.write("web.yaml", target("web", matches="x").replace("sources:", "source:"))
    said = folder.run("explain", "--from", "shop/web", "--to", "shop/api:80", "--path", "/x").stdout
    assert "in effect: allow, kept from the last apply" in said
    folder.write("web.yaml", target("web", matches="x"))
    said = folder.run("explain", "--from", "shop/web", "--to", "shop/api:80", "--path", "/x").stdout
    assert "in force" not in said


def test_a_broken_object_can_be_given_up(folder: Folder) -> None:
    """`--accept broken-object` revokes what it granted; the object is wrong all the same (1)."""
    folder.write("web.yaml", target("web", matches="x").replace("sources:", "source:"))
    assert applied(folder, "--accept", "broken-object")[0] == 1
    assert standing(folder, (GRANTED,))[GRANTED] == "deny"


def test_an_empty_list_revokes(folder: Folder) -> None:
    """What is well-formed and empty is no typo."""
    folder.write("web.yaml", target("web", matches="x").partition("  sources:")[0] + "  sources: []\n")
    applied(folder)
    assert standing(folder, (GRANTED,))[GRANTED] == "deny"


def test_unequal_copies_grant_what_both_and_the_last_apply_grant(folder: Folder) -> None:
    """A second copy of the routes that is narrower narrows, one that is wider adds nothing."""
    folder.write("routes2.yaml", ROUTES.replace("pathRegex: /x", "pathRegex: /.*").partition("---")[0])
    applied(folder)
    calls = (GRANTED, ("web", "/y", "http"))
    assert list(standing(folder, calls).values()) == ["allow", "deny"]
    folder.write("routes2.yaml", ROUTES.replace("pathRegex: /x", "pathRegex: /y").partition("---")[0])
    applied(folder)
    assert list(standing(folder, calls).values()) == ["deny", "deny"]


def test_a_protocol_that_changes_is_a_gain_and_waits_beside_a_broken_file(folder: Folder) -> None:
    """The Service says TCP now: peer would gain raw bytes; the plan says so, and beside a broken file it waits."""
    folder.write("svc.yaml", SERVICE.replace("http-web", "tcp-web"))
    plan = folder.plan()["meshes"][0]
    assert any("shop/peer" in line and "any bytes" in line for line in plan["newlyAllowed"])
    assert any("shop/web" in line for line in plan["newlyDenied"])
    folder.write("bad.yaml", BROKEN)
    applied(folder)
    found = standing(folder, (GRANTED, RAW_HTTP, RAW_BYTES))
    assert (found[RAW_HTTP], found[RAW_BYTES]) == ("deny", "deny")


ANY = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec: {matches: [{name: x, %s}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: raw, namespace: shop}
spec: {}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pathRegex: any path, methods: [GET]", "methods: [GET]"),
        ('pathRegex: "/a x-t=b", methods: [GET]', "pathRegex: /a, methods: [GET], headers: {x-t: b}"),
    ],
)
def test_lines_that_read_alike_are_told_apart(folder: Folder, before: str, after: str) -> None:
    """What decides is the value: another match is a gain, whatever its line looks like."""
    folder.write("routes.yaml", ANY % before)
    applied(folder, "--accept", "istio.path-not-expressible")
    folder.write("routes.yaml", ANY % after)
    plan = folder.plan()["meshes"][0]
    assert len(plan["newlyAllowed"]) == 1
    folder.write("bad.yaml", BROKEN)
    applied(folder)
    assert folder.plan()["meshes"][0]["held"] == ["access/shop/api"]


@pytest.mark.parametrize("folder", ["istio"], indirect=True)
def test_what_was_revoked_is_new_again_though_somebody_put_an_old_memory_back(folder: Folder) -> None:
    """A folder's memory of before a revocation does not fit the objects that stand: nothing is taken for known."""
    memory = folder.root / "rendered" / ".smihub.json"
    folder.write("evil.yaml", target("evil", source="evil", matches="x"))
    applied(folder)
    old = memory.read_bytes()
    folder.remove("evil.yaml")
    applied(folder)
    memory.write_bytes(old)
    folder.write("evil.yaml", target("evil", source="evil", matches="x"))
    assert any("shop/evil" in line for line in folder.plan()["meshes"][0]["newlyAllowed"])
    folder.write("bad.yaml", BROKEN)
    applied(folder)
    assert list(standing(folder, (("evil", "/x", "http"),)).values()) == ["deny"]


def test_an_identity_that_becomes_governed_is_told_first(folder: Folder) -> None:
    """Before what is gained: callers without a TrafficTarget are refused from then on."""
    text = (folder.manifests / "work.yaml").read_text()
    folder.write("more.yaml", re.sub(r"\bapi\b", "more", text).replace("10.0.0.2", "10.0.0.3"))
    plan = folder.plan()["meshes"][0]
    assert plan["newlyGoverned"] == ["shop/more"]
    text = folder.run("plan").stdout
    assert "shop/more: callers without a TrafficTarget will be refused" in text


def test_a_workload_that_was_never_readable_takes_nothing_and_holds_what_is_new(folder: Folder) -> None:
    """A second workload of the account, with a typo: what stands stays, nothing is added, until it is given up or mended."""
    text = (folder.manifests / "work.yaml").read_text().replace("name: api", "name: more", 1)
    typo = text.replace("ort: 8080", 'ort: "8080"')
    calls = (GRANTED, RAW_HTTP, RAW_BYTES, ("evil", "/x", "http"))

    def after(*arguments: str) -> tuple[int, list[str]]:
        """The exit code of an apply beside the typo, and what then stands for the workload that can be read."""
        folder.write("more.yaml", typo)
        code, _ = applied(folder, *arguments)
        folder.remove("more.yaml")
        return code, list(standing(folder, calls).values())

    folder.write("evil.yaml", target("evil", source="evil", matches="x"))
    assert after() == (1, ["allow", "deny", "deny", "deny"])
    folder.remove("web.yaml")
    assert after() == (1, ["deny", "deny", "deny", "deny"])
    folder.write("web.yaml", target("web", matches="x"))
    assert (applied(folder)[0], list(standing(folder, calls).values())) == (0, ["allow", "deny", "deny", "allow"])
    assert after() == (1, ["allow", "deny", "deny", "allow"])
    assert after("--accept", "broken-object") == (1, ["deny", "deny", "deny", "deny"])


@pytest.mark.parametrize("kind", ["vm", "istio"])
def test_a_service_that_was_never_readable_opens_nothing(tmp_path: Path, kind: str) -> None:
    """On the first apply of a folder with `port: "80"`: its ports are not undeclared."""
    folder = Folder(tmp_path)
    folder.config(CONFIG if kind == "vm" else ISTIO)
    folder.write("all.yaml", "---\n".join((WORKLOADS if kind == "vm" else DEPLOYMENT, ROUTES, RAW)))
    folder.write("svc.yaml", SERVICE.replace("port: 80,", 'port: "80",'))
    assert applied(folder)[0] == 1
    assert list(standing(folder, (RAW_HTTP, RAW_BYTES)).values()) == ["deny", "deny"]
    folder.write("svc.yaml", SERVICE.replace("http-web", "web"))
    assert applied(folder)[0] == 0
    assert list(standing(folder, (RAW_HTTP, RAW_BYTES)).values()) == ["allow", "allow"]


GOLD = """
---
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {name: gold, namespace: shop}
spec: {schemes: {podLabelSelector: {matchLabels: {tier: gold}}}}
"""


def test_raw_grant_to_some_pods_waits_where_only_other_pods_still_bar_the_port(tmp_path: Path) -> None:
    """The Service no longer leads to the Pods that the grant selects: what it kept from them is a gain."""
    folder = Folder(tmp_path)
    folder.config(ISTIO)
    for tier in ("gold", "plain"):
        text = DEPLOYMENT.replace("name: api,", f"name: api-{tier},").replace("app: api,", f"app: api, tier: {tier},")
        folder.write(f"{tier}.yaml", text)
    folder.write("svc.yaml", SERVICE)
    bound = RAW.replace("kind: ServiceAccount, name: api,", "kind: IdentityBinding, name: gold,")
    folder.write("peer.yaml", ROUTES + "---\n" + bound.replace("v1alpha3", "v1alpha4") + GOLD)
    applied(folder)
    folder.write("svc.yaml", SERVICE.replace("selector: {app: api}", "selector: {tier: plain}"))
    folder.write("unread.yaml", "apiVersion: specs.smi-spec.io/v1alpha4\n" + BROKEN)
    code, _ = applied(folder)
    assert (code, _bars(folder)) == (1, True)
    (folder.root / "manifests" / "unread.yaml").unlink()
    code, _ = applied(folder)
    assert (code, _bars(folder)) == (0, False)


def _bars(folder: Folder) -> bool:
    """Whether the policy of the Pods that the grant selects leaves port 8080 out."""
    (policy,) = (folder.root / "rendered" / "objects").glob("*_AuthorizationPolicy.*smihub.*.api.yaml")
    assert "tier: gold" in policy.read_text()
    return 'notPorts:\n        - "8080"' in policy.read_text()


@pytest.mark.parametrize("folder", ["istio"], indirect=True)
def test_a_unit_that_somebody_edited_loses_what_is_revoked_and_gains_nothing(folder: Folder) -> None:
    """Somebody edited its policy, and a file is broken: nobody can tell what its policy permits, but web goes."""
    (policy,) = (file for file in (folder.root / "rendered").rglob("*.yaml") if "/x" in file.read_text())
    policy.write_text(policy.read_text().replace("/x", "/y"))
    folder.write("bad.yaml", BROKEN)
    folder.remove("web.yaml")
    plan = folder.plan()["meshes"][0]
    assert (plan["frozen"], plan["notRevoked"], plan["edited"]) == ([], [], ["access/shop/api"])
    assert plan["newlyDenied"] == ["shop/web -> shop/api:* GET /x"]
    assert "edited access/shop/api: " in folder.run("plan").stdout
    code, _ = applied(folder)
    assert (code, "/y" in policy.read_text()) == (1, False)
    folder.write("web.yaml", target("web", matches="x"))
    code, _ = applied(folder)
    assert (code, "/x" in policy.read_text()) == (1, False)
    told = json.loads(folder.run("status", "-o", "json").stdout)["meshes"][0]
    assert told["summary"]["losing"] == 0
    (why,) = (unit["conditions"]["Applied"] for unit in told["units"] if unit["unit"] == "access/shop/api")
    assert (why["reason"], "its objects were changed by somebody else" in why["message"]) == ("waiting", True)
    folder.remove("bad.yaml")
    code, _ = applied(folder)
    assert (code, "/x" in policy.read_text()) == (0, True)


@pytest.mark.parametrize("folder", ["istio"], indirect=True)
def test_a_frozen_unit_tells_what_it_does_not_revoke(folder: Folder) -> None:
    """What was remembered is lost, and a file is broken: nobody can tell what that granted, so all stays as it stands."""
    (memory,) = (folder.root / "rendered").rglob(".smihub.json")
    found = memory.read_bytes()
    folder.write("bad.yaml", BROKEN)
    folder.remove("web.yaml")
    memory.unlink()
    plan = folder.plan()["meshes"][0]
    assert (plan["frozen"], plan["notRevoked"], plan["newlyDenied"]) == (["access/shop/api"], [], [])
    memory.write_bytes(found)
    plan = folder.plan()["meshes"][0]
    assert (plan["frozen"], plan["newlyDenied"]) == ([], ["shop/web -> shop/api:* GET /x"])

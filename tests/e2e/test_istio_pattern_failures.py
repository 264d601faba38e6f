"""What a real Istio mesh does when a filter of patterns is missing, wrong, or refused by sidecars, and where paths are raw bytes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from adapters.istio.config import IstioConfig
from adapters.istio.plugin import SPEC
from adapters.istio.safety.check import check
from hub.api import UnsafeResourceError
from hub.model import Request
from tests.servers.istio.callers import http2
from tests.servers.istio.judging import IstioJudge
from tests.servers.istio.mesh import Mesh, standing
from tests.servers.istio.trying import tried
from tests.servers.istio.worlds import SERVICES
from tests.servers.processes import wait_until
from tests.servers.raw_calls import Ask
from tests.servers.worlds import World, call, group, spiffe, target

pytestmark = pytest.mark.istio
Manifest = dict[str, Any]
Edit = Callable[[Manifest], object]
FILTERS = IstioConfig(patterns="envoyfilter")
USERS = World("users", (group("users", {"pathRegex": "/users/[0-9]+"}), target("t", "api", ["web"], "http:users")), ())
NUMBER, LETTER = call("web-1", "api", 80, "/users/7"), call("web-1", "api", 80, "/users/x")
STRANGER = call("partner-1", "api", 80, "/users/7")
_HCM, _RBAC = "envoy.filters.network.http_connection_manager", "envoy.filters.http.rbac"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One mesh for this file; its logs stay in the temporary folder."""
    with standing(tmp_path_factory.mktemp("istio"), SERVICES) as running:
        yield running


def natives(edit: Edit | None = None) -> list[Manifest]:
    """The objects of the world, with a change of its filter."""
    made = copy.deepcopy(IstioJudge(USERS, SPEC, FILTERS).natives)
    if edit is not None:
        edit(next(one for one in made if one["kind"] == "EnvoyFilter"))
    return made


def filter_of(made: list[Manifest]) -> Manifest:
    """Its filter."""
    return next(one for one in made if one["kind"] == "EnvoyFilter")


def inserted(manifest: Manifest) -> Manifest:
    """The HTTP filter of an EnvoyFilter."""
    found: Manifest = manifest["spec"]["configPatches"][0]["patch"]["value"]
    return found


def rbac(manifest: Manifest) -> Manifest:
    """Its configuration."""
    found: Manifest = inserted(manifest)["typed_config"]
    return found


def policy(manifest: Manifest) -> Manifest:
    """Its one policy."""
    found: Manifest = rbac(manifest)["shadow_rules"]["policies"]["match"]
    return found


def rules(manifest: Manifest) -> list[Manifest]:
    """The rules of its one permission."""
    found: list[Manifest] = policy(manifest)["permissions"][0]["and_rules"]["rules"]
    return found


def served(mesh: Mesh, *requests: Request) -> list[bool]:
    """Which of these requests an application answers."""
    return [bool(one.app) for one in tried(mesh, requests)]


# --------------------------------------------------------------------------------------------------------- fail closed


def test_filter_as_it_is(mesh: Mesh) -> None:
    """It stands directly before Istio's RBAC filter, in every inbound chain of its Pods, and lets in what the pattern matches."""
    mesh.put(natives())
    assert served(mesh, NUMBER, LETTER, STRANGER) == [True, False, False]
    by_pod = {one.node.pod: one.get("/config_dump?resource=dynamic_listeners") for one in mesh.sidecars}
    having = {pod for pod, text in by_pod.items() if "smihub.patterns." in text}
    assert having == {"api-v1-1", "api-v2-1"}
    assert _before_the_anchor(by_pod["api-v1-1"])
    assert mesh.rejections() == {}


def _before_the_anchor(dump: str) -> bool:
    """Whether each inbound HTTP chain has the filter once, directly before RBAC, and no outbound one has it."""
    found = 0
    for config in msgspec.json.decode(dump)["configs"]:
        listener = config["active_state"]["listener"]
        for chain in listener.get("filter_chains", []):
            names = [one["name"] for each in chain["filters"] for one in each["typed_config"].get("http_filters", ())]
            ours = [at for at, name in enumerate(names) if name.startswith("smihub.patterns.")]
            if listener["name"] != "virtualInbound" and ours:
                return False
            if _RBAC in names and (len(ours) != 1 or names[ours[0] + 1] != _RBAC):
                return False
            found += len(ours)
    return found > 0


def _removing(manifest: Manifest) -> Manifest:
    """Somebody else's EnvoyFilter that takes ours out again, patched in after it."""
    name = inserted(manifest)["name"]
    manager = {"name": _HCM, "subFilter": {"name": name}}
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": manager}}},
        "patch": {"operation": "REMOVE"},
    }
    meta = {"name": "zz-foreign", "namespace": "shop"}
    spec = {"priority": 2147483647, "configPatches": [patch]}
    return {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": meta, "spec": spec}


CLOSED: dict[str, Edit] = {
    "a label with a typo": lambda one: one["spec"]["workloadSelector"].update(labels={"smihub.io/sa": "apo"}),
    "another namespace": lambda one: one["metadata"].update(namespace="default"),
    "an older prefix": lambda one: rbac(one).update(shadow_rules_stat_prefix=f"smihub_{'0' * 40}_"),
    "no prefix": lambda one: rbac(one).pop("shadow_rules_stat_prefix"),
    "no policies": lambda one: rbac(one)["shadow_rules"].update(policies={}),
    "an unknown type": lambda one: rbac(one).update({"@type": "type.googleapis.com/smihub.Unknown"}),
}


@pytest.mark.parametrize("name", CLOSED)
def test_filter_that_is_wrong(mesh: Mesh, name: str) -> None:
    """Nothing is let in that a pattern was to allow."""
    mesh.put(natives(CLOSED[name]))
    assert served(mesh, NUMBER, LETTER, STRANGER) == [False, False, False]


def test_filter_that_is_missing_or_taken_out(mesh: Mesh) -> None:
    """The same, also where somebody else's EnvoyFilter removes it."""
    made = natives()
    mesh.put([one for one in made if one["kind"] != "EnvoyFilter"])
    assert served(mesh, NUMBER, LETTER) == [False, False]
    mesh.put(made)
    mesh.put([*made, _removing(filter_of(made))])
    assert served(mesh, NUMBER, LETTER) == [False, False]
    mesh.put(made)
    assert served(mesh, NUMBER, LETTER) == [True, False]


def test_filter_on_one_of_two_pods(mesh: Mesh) -> None:
    """Only that one lets the pattern in."""
    mesh.put(natives(lambda one: one["spec"]["workloadSelector"]["labels"].update(version="v1")))
    ended = [call("web-1", service, 80, path) for service in ("api-v1", "api-v2") for path in ("/users/7", "/users/x")]
    assert served(mesh, *ended) == [True, False, False, False]


def test_headers_that_look_like_the_result(mesh: Mesh) -> None:
    """No caller can write the result, or have another path judged."""
    made = natives()
    mesh.put(made)
    prefix = rbac(filter_of(made))["shadow_rules_stat_prefix"]
    names = (
        f"{prefix}shadow_engine_result",
        "envoy.filters.http.rbac",
        "x-envoy-shadow-engine-result",
        "x-envoy-original-path",
        "x-envoy-peer-metadata",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-path",
        "baggage",
        "x-http-method-override",
        inserted(filter_of(made))["name"],
    )
    tries = [
        call("web-1", "api", 80, "/users/x", headers=((name, value),))
        for name in names
        for value in ("allowed", "/users/7")
    ]
    assert len(tries) == 22
    assert not any(served(mesh, *tries))


# ------------------------------------------------------------------------------------------------------------- freezing

REFUSED: dict[str, Edit] = {
    "an invalid pattern": lambda one: rules(one)[0].update(url_path=_path("/users/[0-9")),
    "an empty pattern": lambda one: rules(one)[0].update(url_path=_path("")),
    "a pattern beyond the program size": lambda one: rules(one)[0].update(url_path=_path("/" + "[a-z]{1,1000}" * 17)),
    "no permissions": lambda one: policy(one).update(permissions=[]),
    "no principals": lambda one: policy(one).update(principals=[]),
    "a misspelt matcher": lambda one: rules(one)[0].update(url_path={"path": {"safe_regexp": {"regex": "/"}}}),
    "a header without a name": lambda one: rules(one).append({"header": {"string_match": {"exact": "x"}}}),
    "a filter without a name": lambda one: inserted(one).pop("name"),
}
"""What the API server and istiod take, and no sidecar does."""


def _path(pattern: str) -> Manifest:
    return {"path": {"safe_regex": {"regex": pattern}}}


def _refusals(mesh: Mesh) -> float:
    return mesh.plane.metric("pilot_total_xds_rejects")


def _write_refused(mesh: Mesh, manifest: Manifest) -> None:
    """Write a filter, and wait until sidecars have refused what became of it."""
    before = _refusals(mesh)
    mesh.plane.kube.apply(manifest)
    wait_until("sidecars refuse it", lambda: _refusals(mesh) > before, 30)


@pytest.mark.parametrize("name", REFUSED)
def test_shape_that_sidecars_refuse(mesh: Mesh, name: str) -> None:
    """The last look refuses it as well, so the hub never writes it; until it is repaired what stood before goes on."""
    made = natives()
    mesh.put(made)
    bad = copy.deepcopy(filter_of(made))
    REFUSED[name](bad)
    body = {key: bad[key] for key in ("apiVersion", "kind", "spec")}
    body["metadata"] = {key: bad["metadata"][key] for key in ("name", "namespace")}
    with pytest.raises(UnsafeResourceError):
        check(msgspec.json.encode(body, order="sorted"))
    _write_refused(mesh, bad)
    assert served(mesh, NUMBER, LETTER, STRANGER) == [True, False, False]
    mesh.plane.kube.delete(bad)
    mesh.put(made)
    assert served(mesh, NUMBER, LETTER) == [True, False]


def test_revocation_while_a_filter_is_refused(mesh: Mesh) -> None:
    """It is not in effect until the filter is repaired: that is why nothing that may be refused is ever written."""
    made = natives()
    mesh.put(made)
    bad = copy.deepcopy(filter_of(made))
    REFUSED["an invalid pattern"](bad)
    _write_refused(mesh, bad)
    revoking = copy.deepcopy(
        next(one for one in made if one["metadata"]["name"] == "smihub-api" and one["kind"] == "AuthorizationPolicy")
    )
    before = _refusals(mesh)
    del revoking["spec"]["rules"]
    mesh.plane.kube.apply(revoking)
    wait_until("sidecars refuse that as well", lambda: _refusals(mesh) > before, 30)
    time.sleep(2)
    assert served(mesh, NUMBER) == [True]
    mesh.plane.kube.apply(filter_of(made))
    mesh.fence()
    mesh.drained()
    assert served(mesh, NUMBER, LETTER) == [False, False]


# ----------------------------------------------------------------------------------------------------- paths as raw bytes


BYTES = World(
    "bytes",
    (
        group("g", *({"pathRegex": one} for one in ("/u/..", "/u/[^a][^b]", r"/u/\W\W", "/public/.*x.*y?"))),
        target("t", "api", ["web"], "http:g"),
    ),
    (),
)
MEANT = ("/u/ab", "/u/--", "/public/x")
RAW = ("/u/é", "/u/\udcff\udcfe", "/public/x\udcff")
"""Paths that no pattern means: one character of two bytes, two bytes that are no text, a text with such a byte."""


def _unguarded(made: list[Manifest]) -> list[Manifest]:
    """The same without the guard of paths."""
    bare = copy.deepcopy(made)
    for permission in policy(filter_of(bare))["permissions"]:
        kept = [rule for rule in permission["and_rules"]["rules"] if "not_rule" not in rule]
        permission["and_rules"]["rules"] = kept
    return bare


def test_paths_that_nothing_normalises(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With `pathNormalization: NONE` HTTP/2 carries bytes beyond ASCII: no pattern matches them, thanks to the guard alone."""
    none = {"pathNormalization": {"normalization": "NONE"}}
    with standing(tmp_path_factory.mktemp("raw"), SERVICES, none) as mesh:
        line = mesh.certified(spiffe("web"), "api-v1-1", 8080, "istio-h2")

        def reached() -> list[str]:
            return [path for path in (*MEANT, *RAW) if mesh.loop.wait(http2(line, Ask("GET", path))).status == 200]

        made = IstioJudge(BYTES, SPEC, FILTERS).natives
        mesh.put(made)
        assert reached() == [*MEANT]
        mesh.put(_unguarded(made))
        assert set(reached()) > set(MEANT)

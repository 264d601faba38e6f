"""What smihub.yaml accepts: a code for ever, or in one mesh, about one object, up to a day; and what is accepted for nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from hub.plan import saved as plans
from tests.servers.folder import CONFIG, Folder

CODE = "proto.udp-not-captured"
ROUTE = "apiVersion: specs.smi-spec.io/v1alpha4\nkind: UDPRoute\nmetadata: {name: dns, namespace: shop}\nspec: {matches: {ports: [53]}}\n"
TWO = CONFIG + "- {name: more, adapter: istio, sink: {kind: directory, path: out}}\n"


def by_udp(name: str, account: str) -> str:
    """A TrafficTarget that grants UDP, which the VM mesh cannot say, and HTTP, which it can."""
    return f"""\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: {name}, namespace: shop}}
spec:
  destination: {{kind: ServiceAccount, name: {account}, namespace: shop}}
  rules: [{{kind: UDPRoute, name: dns}}, {{kind: HTTPRouteGroup, name: routes, matches: [orders]}}]
  sources: [{{kind: ServiceAccount, name: cart, namespace: shop}}]
"""


def accepting(*accepts: str, config: str = CONFIG) -> str:
    """A smihub.yaml that accepts these."""
    return config + "accept:\n" + "".join(f"- {one}\n" for one in accepts)


@pytest.fixture(name="lossy")
def make_lossy(folder: Folder) -> Folder:
    """Two TrafficTargets to two accounts, of both of which a part cannot be said."""
    folder.write("udp.yaml", ROUTE, by_udp("to-api", "api"), by_udp("to-web", "web"))
    return folder


def refused(folder: Folder, *options: str) -> Iterator[tuple[str, str]]:
    """By mesh, the objects whose loss refuses."""
    for mesh in json.loads(folder.run("plan", "-o", "json", *options).stdout)["meshes"]:
        yield from ((mesh["mesh"], one["object"]) for one in mesh["refused"])


@pytest.mark.thorough
def test_accepted_for_one_object_lifts_that_of_no_other_one(lossy: Folder) -> None:
    """The other unit gains nothing, in plan, apply and a saved plan; once all is accepted nothing is refused."""
    lossy.config(accepting(f"{{code: {CODE}, object: TrafficTarget/shop/to-api}}"))
    assert list(refused(lossy)) == [("vms", "TrafficTarget/shop/to-web")]
    (mesh,) = lossy.plan()["meshes"]
    assert "shop/cart -> shop/api:* POST /orders" in mesh["newlyAllowed"]
    assert not any("-> shop/web" in line for line in mesh["newlyAllowed"])
    assert lossy.run("plan", "--save", "review.plan").exit_code == 3
    assert plans.decode((lossy.root / "review.plan").read_bytes()).meshes[0].accepted == (
        f"{CODE}@TrafficTarget/shop/to-api",
    )
    lossy.config()
    applied = lossy.run("apply", "review.plan", "--yes")
    assert applied.exit_code == 3
    (left,) = json.loads(lossy.run("plan", "-o", "json", "--accept", CODE).stdout)["meshes"]
    assert left["newlyAllowed"] == ["shop/cart -> shop/web:* POST /orders"]


@pytest.mark.thorough
@pytest.mark.parametrize("word", ["TrafficTarget/shop/to-api", "access/shop/api"])
def test_accepted_once_for_an_object_or_a_unit(lossy: Folder, word: str) -> None:
    """--accept CODE@OBJECT, which is told if nothing asked for it."""
    assert list(refused(lossy, "--accept", f"{CODE}@{word}")) == [("vms", "TrafficTarget/shop/to-web")]
    assert "has no effect" not in lossy.run("plan", "--accept", f"{CODE}@{word}").stderr
    assert "has no effect" in lossy.run("plan", "--accept", f"{CODE}@{word}x").stderr


@pytest.mark.thorough
def test_accepted_in_one_mesh_lifts_nothing_in_another(lossy: Folder) -> None:
    """Two meshes with the same losses."""
    lossy.config(TWO)
    assert {mesh for mesh, _ in refused(lossy)} == {"vms", "more"}
    lossy.config(accepting(f"{{code: {CODE}, mesh: vms}}", config=TWO))
    assert {mesh for mesh, _ in refused(lossy)} == {"more"}


def test_accepted_until_a_day_that_has_passed_lifts_nothing_and_is_told(lossy: Folder) -> None:
    """Its last day counts whole; afterwards it is refused again, and the line of smihub.yaml is named."""
    lossy.config(accepting(f"{{code: {CODE}, until: 2999-12-31}}"))
    assert list(refused(lossy)) == []
    lossy.config(accepting(CODE.replace("udp", "tcp"), f"{{code: {CODE}, until: 2020-01-31}}"))
    assert len(list(refused(lossy))) == 2
    told = lossy.run("plan").stderr
    assert (
        f'smihub.yaml:8: accept[1]: accepting "{CODE}" has no effect: it expired after 2020-01-31 (config.accept-unused)'
        in told
    )


def test_accepted_for_nothing_any_more_is_reported(folder: Folder) -> None:
    """A code, an object that is gone, and a mesh in which nothing asks for it; guards come and go, and are not."""
    folder.config(accepting(CODE, f"{{code: {CODE}, object: TrafficTarget/shop/gone}}", "guard.blast-radius"))
    problems = json.loads(folder.run("plan", "-o", "json").stdout)["problems"]
    assert [(one["field"], one["code"], one["severity"], one["origin"]["line"]) for one in problems] == [
        ("accept[0]", "config.accept-unused", "warning", 7),
        ("accept[1]", "config.accept-unused", "warning", 8),
    ]
    assert "nothing needs it any more" in problems[0]["message"]
    assert folder.run("plan").exit_code == 2


@pytest.mark.parametrize(
    ("written", "field", "said"),
    [
        ("7", "accept[0]", "use a code, such as"),
        ("{mesh: vms}", "accept[0].code", "is missing; add code: port.undeclared-mixed"),
        (f"{{code: {CODE}, mehs: vms}}", "accept[0].mehs", 'did you mean "mesh"?'),
        (f"{{code: {CODE}, mesh: vm}}", "accept[0].mesh", 'unknown mesh "vm"; did you mean "vms"?'),
        (f"{{code: {CODE}, object: api}}", "accept[0].object", "an object such as TrafficTarget/shop/api"),
        ("{code: guard.blast-radius, object: access/shop/api}", "accept[0].object", "applies to a whole mesh"),
        (
            f"{{code: {CODE}, until: tomorrow}}",
            "accept[0].until",
            "the last day on which it is valid, such as 2030-12-31",
        ),
        (f"{{code: {CODE}, until: 2026-02-30}}", "accept[0].until", "is not a calendar date"),
        ("{code: a b}", "accept[0].code", "expected a code such as"),
    ],
)
def test_an_accept_that_is_written_wrongly(folder: Folder, written: str, field: str, said: str) -> None:
    """File, line, field, and what to write."""
    folder.config(accepting(written))
    result = folder.run("check")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert re.match(rf"error: smihub\.yaml:7: {re.escape(field)}: ", result.stderr), result.stderr
    assert said in result.stderr

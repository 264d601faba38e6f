"""How what a mesh cannot do is told: place, object, field, what is missing, effect, fix, how to accept."""

from __future__ import annotations

from hub.cli.losses import loss_lines
from hub.cli.places import Locations
from hub.model import Loss, ObjectRef
from hub.plan.plan import Plan
from tests.servers.folder import Folder, target

CONFIG = """\
domain: {trustDomain: cluster.local}
owner: "11111111111111111111111111111111"
sources: [{path: manifests}]
meshes: [{name: east, adapter: istio, sink: {path: rendered}}]
"""
ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec:
  matches:
  - {name: books, pathRegex: /books, methods: [GET]}
  - name: orders
    pathRegex: /orders/[0-9]+
    methods: [POST]
"""


def lossy(folder: Folder) -> None:
    """An Istio mesh, a path that it cannot say, and one that it can."""
    folder.config(CONFIG)
    folder.write("routes.yaml", ROUTES)
    folder.write("access.yaml", target("api-from-web", matches="books, orders"))


def test_a_loss_names_the_match_its_line_and_the_way_out(folder: Folder) -> None:
    """The match is the one that Istio cannot say, though the Loss is of the TrafficTarget."""
    lossy(folder)
    result = folder.run("plan")
    assert result.exit_code == 3
    assert "  asked for, but not possible in this mesh (1)" in result.stdout
    last = result.stdout.splitlines()[-1]
    parts = (
        '    refused manifests/routes.yaml:7 HTTPRouteGroup/shop/routes match "orders": Path "/orders/[0-9]+"',
        ' Effect on east: a request with path "/orders/0" is refused (403). Fix: ',
        ' Or accept: --accept "istio.path-not-expressible@TrafficTarget/shop/api-from-web", or in smihub.yaml accept: [{code: ',
    )
    assert last.startswith(parts[0])
    assert [last.find(part) > 0 or last.startswith(part) for part in parts] == [True] * 3
    assert last.index(parts[1]) < last.index(parts[2])
    assert last.endswith(" (istio.path-not-expressible, TrafficTarget/shop/api-from-web)")
    accepted = last.partition("smihub.yaml ")[2].partition(" (")[0].removesuffix(".")
    folder.config(CONFIG + accepted + "\n")
    assert folder.run("plan").exit_code == 2


def test_check_and_render_tell_it_in_the_same_words(folder: Folder) -> None:
    """One form everywhere."""
    lossy(folder)
    said = folder.run("plan").stdout.splitlines()[-1].strip()
    assert folder.run("check").stdout.splitlines()[-1] == said
    shown = folder.run("render", "east").stderr.strip().removeprefix("loss")
    assert said.removeprefix("refused").startswith(shown.rpartition(" (")[0])


def test_what_is_held_by_a_loss_says_so(folder: Folder) -> None:
    """It waits for somebody's word, and not for a file."""
    lossy(folder)
    assert "waiting access/shop/api: new access waits until what is refused below" in folder.run("plan").stdout


def test_status_tells_a_loss_once_and_what_waits_for_it(folder: Folder) -> None:
    """With the remedy, since that is what somebody does next."""
    lossy(folder)
    folder.run("apply", "--yes")
    lowered, applied = (line.strip() for line in folder.run("status").stdout.splitlines() if " since " in line)
    assert lowered.startswith("loss (Lowered) since ")
    assert 'path "/orders/[0-9]+" cannot be expressed' in lowered
    assert 'or add "istio.path-not-expressible" to "accept"' in lowered
    assert applied.startswith("waiting (Applied) since ")
    assert applied.endswith(": newly allowed access waits until the losses are fixed or accepted")


def test_as_data_a_loss_has_its_place(folder: Folder) -> None:
    """Object, field and match, source, file and line."""
    lossy(folder)
    (loss,) = folder.plan()["meshes"][0]["losses"]
    assert loss["at"] == {
        "object": "HTTPRouteGroup/shop/routes",
        "field": "spec.matches[1]",
        "matches": ["orders"],
        "source": "manifests",
        "file": "routes.yaml",
        "line": 7,
    }
    assert loss["effect"] == 'a request with path "/orders/0" is refused (403)'


def test_many_losses_are_cut_and_those_that_refuse_are_not_left_out() -> None:
    """A hundred of each kind, with the number that is missing; -v shows all."""
    ref = ObjectRef("g", "TrafficTarget", "shop", "t")
    losses = tuple(Loss(code, ref, f"f{number}", "m", "e", "r") for code in ("a.b", "a.c") for number in range(150))
    refusing = [loss for loss in losses if loss.code == "a.c"]
    shown = [text.plain for text in loss_lines(Plan("vms", "t", losses=losses), refusing, Locations())]
    assert sum(text.startswith("    loss ") for text in shown) == 100
    assert sum(text.startswith("    refused ") for text in shown) == 100
    assert shown.count("    ... 50 more (-v shows all)") == 2
    assert len(list(loss_lines(Plan("vms", "t", losses=losses), refusing, Locations(), "all"))) == 301


def test_status_numbers_several_reasons(folder: Folder) -> None:
    """Each is a sentence with commas of its own."""
    lossy(folder)
    folder.write("routes.yaml", ROUTES.replace("pathRegex: /books", 'pathRegex: "/books/[a-z]+"'))
    folder.run("apply", "--yes")
    told = next(line for line in folder.run("status").stdout.splitlines() if "loss (Lowered)" in line)
    assert ": (1) TrafficTarget/shop/api-from-web: path " in told
    assert ', (2) TrafficTarget/shop/api-from-web: path "/orders/[0-9]+"' in told
    folder.write("routes.yaml", ROUTES)
    folder.run("apply", "--yes")
    assert "(1)" not in folder.run("status").stdout

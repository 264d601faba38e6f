"""The matrix says of every cell what all requests say, and shows a request for each difference."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from hub.explain import Explainer
from hub.matrix import Cell, Matrix, Receiver, Word, matrix_of
from hub.matrix.asked import normal_paths
from hub.model import Destination, Request, Translation
from hub.testing.documents import SinklessMesh
from hub.testing.random_requests import Hints, any_request
from hub.testing.worlds import documents_of, make_values
from tests.hub.matrix.seeing import PODS, seeing, seeing_text
from tests.servers.readings import ISTIO, LINKERD, MESHES, VM

TARGET = """\
apiVersion: access.smi-spec.io/v1alpha2
kind: TrafficTarget
metadata: {name: t, namespace: d}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: d%s}
  sources: [{kind: ServiceAccount, name: web, namespace: d}]
  rules: [{kind: %s, name: r%s}]
---
"""
ROUTES = "apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: {name: r, namespace: d}\nspec: {matches: [%s]}\n---\n"
BYTES = "apiVersion: specs.smi-spec.io/v1alpha4\nkind: TCPRoute\nmetadata: {name: r, namespace: d}\nspec: {}\n---\n"


def matrix_of_routes(matches: str, port: str = "", meshes: tuple[SinklessMesh, ...] = (ISTIO, LINKERD)) -> Matrix:
    """What `d/web` may send to `d/api` by a group of these matches."""
    text = PODS + TARGET % (port, "HTTPRouteGroup", "") + ROUTES % matches
    return matrix_of(seeing_text(text, meshes))


def cell_of(found: Matrix) -> Cell:
    """What `d/web` may send to `d/api`."""
    return next(each for each in found.receivers if each.name == "d/api").cells["d/web"]


def words(cell: Cell) -> dict[tuple[int | None, str], str]:
    """How much SMI allows, by port and protocol."""
    return {(each.port, each.protocol): str(each.smi) for each in cell.entries}


def test_nobody_may_do_anything_without_a_grant() -> None:
    """Every identity has its row and its column, and so has a caller without one."""
    found = matrix_of(seeing_text(PODS, (ISTIO,)))
    assert [party.name for party in found.callers] == ["d/api", "d/old", "d/web", "(no identity)"]
    assert [each.name for each in found.receivers] == ["d/api", "d/old", "d/web"]
    assert all(cell == Cell(whole=cell.whole) for each in found.receivers for cell in each.cells.values())


def test_one_method_one_path_and_one_header_on_one_port_show() -> None:
    """However narrow a grant is, the cell is `part`, and the requests are those that it grants."""
    found = matrix_of_routes("{name: m, methods: [PUT], pathRegex: /v1/x, headers: {x-a: b}}", ", port: 8080")
    cell = cell_of(found)
    assert (cell.word(), cell.word("istio"), cell.word("linkerd")) == (Word.PART, Word.PART, Word.PART)
    (entry,) = cell.entries
    assert (entry.port, entry.protocol) == (8080, "http")
    assert {(each.request.method, each.request.path) for each in entry.shown} == {("PUT", "/v1/x")}
    assert {("x-a", "b")} <= {line for each in entry.shown for line in each.request.headers}
    others = [cell for name, cell in found.receivers[0].cells.items() if name != "d/web"]
    assert not any(cell.entries for cell in others)


@pytest.mark.thorough
def test_all_is_said_only_where_everything_is_allowed() -> None:
    """HTTP and bytes on every port are all; a path less, a method less or a header more is a part."""
    every = (
        PODS
        + TARGET % ("", "TCPRoute", "")
        + BYTES
        + (TARGET % ("", "HTTPRouteGroup", "")).replace("name: t", "name: u")
        + ROUTES % '{name: m, methods: ["*"]}'
    )
    assert cell_of(matrix_of(seeing_text(every, (ISTIO,)))).word() is Word.ALL
    for less in ("{name: m, methods: [GET]}", "{name: m, pathRegex: '/[^x]*'}", "{name: m, headers: {a: b}}"):
        entry = cell_of(matrix_of_routes(less)).entries[0]
        assert (entry.port, entry.protocol, entry.smi) == (8080, "http", Word.PART), less


def test_patterns_that_leave_nothing_out_together_are_all() -> None:
    """What two matches allow between them counts."""
    found = matrix_of_routes("{name: m, pathRegex: '/a.*'}, {name: n, pathRegex: '/(?:[^a].*)?'}")
    assert words(cell_of(found))[8080, "http"] == "all"


def test_a_part_of_what_a_receiver_without_ports_may_get_is_not_all() -> None:
    """Nothing is declared, so nothing is wholly allowed either."""
    text = (PODS + TARGET % ("", "HTTPRouteGroup", "")).replace(
        "name: api, namespace: d}\n  sources", "name: old, namespace: d}\n  sources"
    )
    found = matrix_of(seeing_text(text + ROUTES % "{name: m, pathRegex: /x}", (ISTIO,)))
    cell = next(each for each in found.receivers if each.name == "d/old").cells["d/web"]
    assert (cell.whole, cell.word()) == (0, Word.PART)


@pytest.mark.thorough
def test_a_pattern_of_a_mesh_that_cannot_be_analysed_leaves_cells_undecided() -> None:
    """It is not left out in silence."""

    def altered(*given: Any) -> Translation:
        found = LINKERD.spec.translate(*given)
        changed = [replace(each, body=each.body.replace(b"/v1/x", b"/(?:a?){1000}")) for each in found.objects]
        return replace(found, objects=tuple(changed))

    mesh = SinklessMesh("linkerd", replace(LINKERD.spec, translate=altered))
    text = PODS + TARGET % ("", "HTTPRouteGroup", "") + ROUTES % "{name: m, pathRegex: '/v1/x.*'}"
    assert cell_of(matrix_of(seeing_text(text, (mesh,)))).undecided


def test_a_difference_has_its_loss_and_a_request_that_explain_confirms() -> None:
    """What Istio cannot say is refused there, and the request that shows it is answered so by `explain`."""
    text = PODS + TARGET % ("", "HTTPRouteGroup", "") + ROUTES % "{name: m, pathRegex: '/v[0-9]+/x'}"
    explainer = seeing_text(text, (ISTIO, LINKERD))
    cell = cell_of(matrix_of(explainer))
    assert cell.differs
    shown = [each for entry in cell.entries for each in entry.shown if each.differs]
    for each in shown:
        smi, meshes = explainer.explain(each.request)
        assert (smi.verdict == "allow") is each.smi
        assert {name: answer.verdict == "allow" for name, answer in meshes.items()} == dict(each.meshes)
        assert all(each.losses[name] for name in each.losses)
    assert {code for each in shown for code in each.losses["istio"]} == {"istio.path-not-expressible"}


def test_a_grant_to_some_workloads_of_an_identity_is_a_part() -> None:
    """The others are asked one by one, and each request names the workload that it reaches."""
    text = (
        PODS
        + PODS.replace("api-0", "api-1")
        .partition("---")[0]
        .replace("labels: {app: api}", "labels: {app: api, tier: front}")
        + "---\n"
    )
    text += """\
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {name: front, namespace: d}
spec: {schemes: {podLabelSelector: {matchLabels: {tier: front}}}}
---
""" + (TARGET % ("", "TCPRoute", "") + BYTES).replace("v1alpha2", "v1alpha4").replace(
        "{kind: ServiceAccount, name: api, namespace: d}", "{kind: IdentityBinding, name: front, namespace: d}"
    )
    cell = cell_of(matrix_of(seeing_text(text, (VM, LINKERD))))
    assert cell.word() is Word.PART
    assert {each.request.dst.pod for entry in cell.entries for each in entry.shown if each.smi} == {"d/api-1"}


def test_too_many_classes_are_said_and_not_guessed() -> None:
    """The cells of such a receiver say why they are not decided."""
    headers = ", ".join(f"x-{number}: 'a[{number}-9]*'" for number in range(7))
    cell = cell_of(matrix_of_routes(f"{{name: m, headers: {{{headers}}}}}"))
    assert "requests apart, more than" in cell.undecided
    assert not cell.entries


@pytest.mark.parametrize("match", ["pathRegex: /é", "pathRegex: '/a//b'", "headers: {x-a: é+}"])
def test_a_grant_of_nothing_that_is_asked_about_is_not_shown_as_none(match: str) -> None:
    """Paths that meshes rewrite and letters beyond ASCII are left out; the cell says so."""
    assert "matches" in cell_of(matrix_of_routes(f"{{name: m, {match}}}")).undecided


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("word", "other"),
    [("/v1/x", "/v1/y"), ("PUT", "GET"), ("x-a", "x-b"), ('"b"', '"c"'), ("8080", "9000"), ("sa/web", "sa/old")],
)
def test_a_mesh_that_was_given_something_else_differs(word: str, other: str) -> None:
    """What its objects say is tried as well, though SMI says nothing about it: another path, method, header, value, port, caller."""

    def altered(*given: Any) -> Translation:
        found = ISTIO.spec.translate(*given)
        changed = [replace(each, body=each.body.replace(word.encode(), other.encode())) for each in found.objects]
        return replace(found, objects=tuple(changed))

    mesh = SinklessMesh("istio", replace(ISTIO.spec, translate=altered))
    matches = "{name: m, methods: [PUT], pathRegex: /v1/x, headers: {x-a: b}}"
    found = matrix_of_routes(matches, ", port: 8080", (mesh,))
    shown = [
        each
        for cell in found.receivers[0].cells.values()
        for entry in cell.entries
        for each in entry.shown
        if each.differs
    ]
    assert any(each.smi for each in shown), "what SMI allows is refused"
    # HTTP conditions on a port of bytes match nothing.
    assert other == "9000" or any(not each.smi for each in shown), "and what it denies is let in"


# --------------------------------------------------------------------------- random worlds


def _asked(rng: Random, values: list[Any], matrix: Matrix) -> Iterator[tuple[Receiver, Request]]:
    """Requests as the matrix means them: between identities, as receivers get them."""
    hints = Hints.of(values)
    callers = [party.source for party in matrix.callers]
    for _ in range(150):
        request, receiver = any_request(rng, hints), rng.choice(matrix.receivers)
        at = receiver.workloads
        to = Destination(pod=rng.choice(at)) if at else Destination(identity=receiver.name)
        if request.protocol != "http" or _is_plain(request):
            yield receiver, replace(request, src=rng.choice(callers), dst=to)


def _is_plain(request: Request) -> bool:
    lines = [value for _, value in request.headers]
    names = [name for name, _ in request.headers]
    path = request.path.partition("?")[0]
    return (
        normal_paths().holds(path)
        and request.method in {"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"}
        and all(value.isascii() and value.isprintable() and value == value.strip() for value in lines)
        and all(name == name.lower() and names.count(name) <= 2 for name in names)
    )


def _check(explainer: Explainer, matrix: Matrix, receiver: Receiver, request: Request) -> None:
    cell = receiver.cells[next(party.name for party in matrix.callers if party.source == request.src)]
    if cell.undecided:
        return
    port = request.port if request.port in receiver.ports else None
    entry = next((each for each in cell.entries if (each.port, each.protocol) == (port, request.protocol)), None)
    smi, meshes = explainer.explain(request)
    for name, answer in {"": smi, **meshes}.items():
        word = Word.NONE if entry is None else entry.meshes[name] if name else entry.smi
        allowed = answer.verdict in {"allow", "ungoverned"}
        assert word is not Word.ALL or allowed, (name, request)
        assert word is not Word.NONE or not allowed, (name, request)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(40))
def test_no_random_request_says_otherwise(seed: int) -> None:
    """Where a cell says none, nothing that is tried is allowed; where it says all, everything is."""
    rng = Random(seed)
    values = make_values(rng)
    explainer = seeing(documents_of(values), MESHES)
    matrix = matrix_of(explainer)
    if matrix.receivers:
        for receiver, request in _asked(rng, values, matrix):
            _check(explainer, matrix, receiver, request)


@pytest.mark.thorough
def test_one_caller_or_receiver_alone() -> None:
    """Only that one is asked about, and answered as in the whole."""
    explainer = seeing_text(
        PODS + TARGET % ("", "HTTPRouteGroup", "") + ROUTES % "{name: m, pathRegex: /a}", (ISTIO, LINKERD)
    )
    whole = matrix_of(explainer)
    some = matrix_of(explainer, caller="d/web", receiver="d/api")
    (receiver,) = some.receivers
    (whole_receiver,) = [each for each in whole.receivers if each.name == "d/api"]
    assert receiver.cells == {"d/web": whole_receiver.cells["d/web"]}
    assert 0 < some.verdicts < whole.verdicts

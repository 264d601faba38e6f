"""Every row of the table that was judged by hand, asked of a real Consul with real sidecars."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import pytest

from hub.api import NativeObject, Request
from tests.adapters.consul.judged import ROWS, Row
from tests.servers.consul.agent import POLICIES
from tests.servers.consul.calls import Call, tried
from tests.servers.consul.cast import Cast
from tests.servers.consul.mesh import Mesh, standing
from tests.servers.raw_calls import Ask

pytestmark = pytest.mark.consul
CAST = Cast(
    ("a", "b", "c", "web", "web-v1"),
    {**dict.fromkeys(("web", "web-v1", "web-v2"), "http"), "tcpsvc": "tcp"},
    ("web-beta", "nosvc"),
)
FEW, MANY = 12, 60
"""How often a Service is called, and where its calls are shared out: of the latter both outcomes are met, but once in 10^5."""
LEAST = {"deny": 150, "allow": 25}
"""Rows that are asked under each default."""


@pytest.fixture(scope="module", params=POLICIES)
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One mesh for this file and each default; its logs stay in the temporary folder."""
    with standing(tmp_path_factory.mktemp("consul"), request.param, CAST) as running:
        yield running


def call_of(request: Request) -> Call | None:
    """The request as it is made; None where nobody could make it."""
    named = request.dst.service or request.dst.pod or ""
    caller, callee = (request.src.identity or "").removeprefix("shop/"), named.removeprefix("shop/")
    if request.src.spiffe or callee not in {*CAST.callees, *CAST.virtual}:
        return None
    ask = None if request.protocol == "tcp" else Ask(request.method, request.path, request.headers)
    return Call(caller, callee, ask, direct=request.dst.service is None or not caller)


def verdict(mesh: Mesh, call: Call, times: int) -> str:
    """What became of a call that is made so often."""
    reached = {bool(one.app) for one in tried(mesh, [call] * times)}
    return "mixed" if len(reached) > 1 else "allow" if True in reached else "deny"


def key(row: Row) -> str:
    """The entries of a row as text."""
    return repr(sorted(one.body for one in row.objects))


def grouped(rows: Iterable[Row]) -> Iterator[tuple[Sequence[NativeObject], list[Row]]]:
    """The rows with the same entries together."""
    for _, each in groupby(sorted(rows, key=key), key):
        found = list(each)
        yield found[0].objects, found


def wrong_of(mesh: Mesh, rows: Iterable[Row]) -> list[str]:
    """What did not end as it was judged."""
    found: list[str] = []
    for objects, each in grouped(rows):
        mesh.put([json.loads(one.body) for one in objects])
        if any(is_called(row) for row in each):
            mesh.drained()
        found += filter(None, (_wrong(mesh, row) for row in each))
    return found


def _wrong(mesh: Mesh, row: Row) -> str:
    call = call_of(row.request)
    if call is None:
        return ""
    found = verdict(mesh, call, 1 if call.direct else MANY if row.verdict == "mixed" else FEW)
    return "" if found == row.verdict else f"{found}, not {row.verdict}: {call} with {key(row)}"


def is_called(row: Row) -> bool:
    """Whether a row is about a Service: about routes, and not about defaults."""
    return row.request.dst.service is not None


def test_rows(mesh: Mesh) -> None:
    """Each ends as it was judged; those of Services only where the default is to deny, since they hold under either."""
    policy = mesh.agent.policy
    rows = [
        row
        for row in ROWS
        if row.default == policy or (row.default == "any" and not (is_called(row) and policy == "allow"))
    ]
    assert wrong_of(mesh, rows) == []
    asked = sum(call_of(row.request) is not None for row in rows)
    print(policy, asked, "rows")  # noqa: T201 - what was measured
    assert asked >= LEAST[policy]


@pytest.mark.slow
def test_rows_of_services_under_the_other_default(mesh: Mesh) -> None:
    """They hold there, too."""
    if mesh.agent.policy == "allow":
        assert wrong_of(mesh, filter(is_called, ROWS)) == []

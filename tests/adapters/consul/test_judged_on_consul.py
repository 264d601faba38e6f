"""Every row of the table that was judged by hand, asked of a real Consul with real sidecars."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
TIMES = 40
"""How often a Service is called: shares of a half are both met, but once in 10^12."""
LEAST = 120
"""Rows that are asked under either default, at least."""


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


def verdict(mesh: Mesh, call: Call) -> str:
    """What became of a call: once of a Pod, many times of a Service."""
    reached = {bool(one.app) for one in tried(mesh, [call] * (1 if call.direct else TIMES))}
    return "mixed" if len(reached) > 1 else "allow" if True in reached else "deny"


def key(row: Row) -> str:
    """The entries of a row as text."""
    return repr(sorted(one.body for one in row.objects))


def grouped(policy: str) -> Iterator[tuple[Sequence[NativeObject], list[Row]]]:
    """The rows for a default, those with the same entries together."""
    mine = sorted((row for row in ROWS if row.default in {policy, "any"}), key=key)
    for _, rows in groupby(mine, key):
        found = list(rows)
        yield found[0].objects, found


def test_rows(mesh: Mesh) -> None:
    """Each ends as it was judged."""
    wrong, asked = [], 0
    for objects, rows in grouped(mesh.agent.policy):
        mesh.put([json.loads(one.body) for one in objects])
        for row in rows:
            call = call_of(row.request)
            asked += call is not None
            if call is not None and (found := verdict(mesh, call)) != row.verdict:
                wrong.append(f"{found}, not {row.verdict}: {call} with {key(row)}")
    print(mesh.agent.policy, asked, "rows")  # noqa: T201 - what was measured
    assert wrong == []
    assert asked >= LEAST

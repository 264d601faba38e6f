"""Workloads written for an older smihub, whose upstreams lend the identity to every program of the machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.servers.hubs import hub_of
from tests.servers.older import install

LENT = 12
"""Upstreams of the older sources, all of them on loopback."""


async def _listeners(config: Path) -> tuple[set[str], set[str]]:
    """The listeners for workloads' own calls that stand after the next plan, and those that it touches."""
    hub = hub_of(config)
    try:
        hub.read()
        made = (await hub.plan(hub.meshes[0])).plan
        after = {change.ref.name for change in made.changes if change.after is not None}
        gone = {change.ref.name for change in made.changes if change.after is None}
        stood = {ref.name for ref in (await hub.meshes[0].observed()).whole().objects if ref.kind == "Listener"}
        doors = {name for name in stood | after if name.startswith("out/") and "@" in name}
        return doors - gone, doors & (after | gone)
    finally:
        await hub.close()


@pytest.mark.thorough
async def test_each_upstream_that_is_lost_is_named_with_what_to_write(tmp_path: Path) -> None:
    """An error per line, with file, line and remedy; nobody loses one without being told before."""
    config = install(tmp_path, "vm")
    hub = hub_of(config)
    try:
        hub.read()
        told = [each for each in hub.intake.problems() if each.code == "workload.upstream-shared"]
    finally:
        await hub.close()
    assert len({(each.origin.line, each.field) for each in told}) == LENT
    assert all(each.severity.value == "error" and '"shared: host"' in each.remedy for each in told)
    stand, touched = await _listeners(config)
    assert (len(stand), len(touched)) == (0, LENT)


@pytest.mark.thorough
async def test_upstreams_that_are_shared_on_purpose_stay_the_same_objects(tmp_path: Path) -> None:
    """With the word, no listener for calls is renamed, replaced or lost, and so no connection of a caller."""
    config = install(tmp_path, "vm")
    _share(tmp_path / "folder" / "workloads.yaml")
    stand, touched = await _listeners(config)
    assert (len(stand), touched) == (LENT, set())


def _share(file: Path) -> None:
    file.write_text(re.sub(r"(localPort: \d+)", r"\1, shared: host", file.read_text()))

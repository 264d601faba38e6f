"""One unit never holds up another: not by an object of somebody else, not by a Loss, not by an adapter that raises."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.istio.plugin import SPEC as ISTIO
from hub.cli.context import Exit
from hub.errors import AdapterError
from hub.explaining import explain_hub
from hub.model import Access, NativeObject, ObjectRef, Observed, Translation, Unit
from hub.reconcile.hub import Hub, Reviewed
from hub.reconcile.ownership import adoptions
from hub.sinks import folder as on_disk
from tests.hub.cli.test_apply import UDP
from tests.hub.sinks.istio_shop import POLICY_FILE, RENDERED, deployment, istio_shop
from tests.servers.folder import Folder, target
from tests.servers.hubs import hub_of

pytestmark = pytest.mark.thorough

FOREIGN = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: smihub-db, namespace: shop}
spec: {action: ALLOW, rules: [{}]}
"""
FOREIGN_FILE = "objects/shop_AuthorizationPolicy.security.istio.io_smihub-db.yaml"


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """`web` and `evil` may GET /books from `api`, which is applied."""
    folder = istio_shop(tmp_path)
    folder.write("evil.yaml", target("evil", source="evil"))
    assert folder.run("apply", "--yes").exit_code == Exit.SAME
    return folder


def policy(folder: Folder) -> str:
    """The policy of `api` as it is written."""
    return (folder.root / RENDERED / POLICY_FILE).read_text()


def test_foreign_object_in_the_way_of_one_unit_holds_up_no_other(folder: Folder) -> None:
    """`db` becomes governed where somebody has a policy of that name: it stays, and `evil` is revoked all the same."""
    theirs = folder.root / RENDERED / FOREIGN_FILE
    theirs.write_text(FOREIGN)
    folder.write("db.yaml", target("db", account="db"))
    folder.remove("evil.yaml")
    result = folder.run("apply", "--yes")
    assert result.exit_code == Exit.REFUSED, result.output
    assert "guard.foreign-owner" in result.output
    assert "sa/evil" not in policy(folder)
    assert "sa/web" in policy(folder)
    assert theirs.read_text() == FOREIGN


def test_gain_of_a_unit_with_a_foreign_object_waits_and_its_loss_does_not(folder: Folder) -> None:
    """Our mark was taken off another object of `api`: what `api` loses by its policy is written, what it gains is not."""
    peers = folder.root / RENDERED / "objects/shop_PeerAuthentication.security.istio.io_smihub-api.yaml"
    peers.write_text(peers.read_text().replace("app.kubernetes.io/managed-by: smihub", "mine: here"))
    folder.remove("evil.yaml")
    folder.write("more.yaml", target("more", source="more"))
    result = folder.run("apply", "--yes")
    assert result.exit_code == Exit.REFUSED, result.output
    assert "sa/evil" not in policy(folder)
    assert "sa/more" not in policy(folder)
    assert "mine: here" in peers.read_text()


def test_loss_that_nobody_accepted_holds_up_no_other_unit(folder: Folder) -> None:
    """`db` asks for UDP, which the mesh cannot grant: everything else of the plan is written, and the exit code says 3."""
    folder.write("udp.yaml", UDP.replace("name: api,", "name: db,"))
    folder.remove("evil.yaml")
    result = folder.run("apply", "--yes")
    assert result.exit_code == Exit.REFUSED, result.output
    assert "sa/evil" not in policy(folder)
    again = folder.run("apply", "--yes")
    assert again.exit_code == Exit.REFUSED
    assert "nothing was written" in again.stderr


@pytest.mark.parametrize("left", ["open", "standing"])
def test_unit_with_a_loss_of_which_nothing_is_remembered(folder: Folder, left: str) -> None:
    """Without its policy its Pods are open: it is closed like one that is new. A policy that stands stays as it is."""
    memory, before = folder.root / RENDERED / ".smihub.json", policy(folder)
    known = json.loads(memory.read_text())
    known["units"] = [each for each in known["units"] if each["unit"] != "access/shop/api"]
    memory.write_text(json.dumps(known))
    folder.write("udp.yaml", UDP)
    if left == "open":
        (folder.root / RENDERED / POLICY_FILE).unlink()
    result = folder.run("apply", "--yes")
    assert result.exit_code == Exit.REFUSED, result.output
    assert "proto.udp-not-captured" in result.output
    after = policy(folder) if (folder.root / RENDERED / POLICY_FILE).exists() else "open"
    assert (after != "open" and "sa/" not in after) if left == "open" else after == before


# ------------------------------------------------------------------------------- adapters that raise

Break = Callable[[Unit], None]


def _on(name: str) -> Break:
    def fails(unit: Unit) -> None:
        if isinstance(unit, Access) and unit.identity.service_account == name:
            raise KeyError("nobody thought of this")

    return fails


def _on_a_second_source(unit: Unit) -> None:
    """Raise where anybody but `web` is granted something."""
    if isinstance(unit, Access) and any("/sa/web" not in source for each in unit.grants for source in each.sources):
        raise RecursionError


def reviewed(folder: Folder, fails: Break) -> Reviewed:
    """The plan of an adapter that fails on some units."""

    def translate(unit: Unit, config: Any) -> Translation:
        fails(unit)
        found: Translation = ISTIO.translate(unit, config)
        return found

    return asyncio.run(_reviewed(folder, {"translate": translate}))


async def _reviewed(folder: Folder, parts: Mapping[str, Any]) -> Reviewed:
    hub = hub_of(folder.root / "smihub.yaml")
    try:
        hub.read()
        (mesh,) = hub.meshes
        mesh.spec = replace(mesh.spec, **parts)
        return await hub.plan(mesh)
    finally:
        await hub.close()


def test_unit_on_which_translate_raises_stays_and_the_others_are_planned(folder: Folder) -> None:
    """It is named with what was raised; nothing accepts it."""
    folder.write("db.yaml", target("db", account="db"))
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    made = reviewed(folder, _on("api"))
    assert [each.code for each in made.refusals] == ["bug.adapter"]
    assert "KeyError: 'nobody thought of this'" in made.refusals[0].message
    assert {change.unit.name for change in made.plan.changes} == {"db"}
    assert [str(key) for key in made.plan.frozen] == ["access/shop/api"]


@pytest.mark.parametrize("ask", [Hub.render, adoptions, explain_hub])
def test_who_needs_every_unit_is_told_on_which_the_adapter_fails(folder: Folder, ask: Callable[..., Any]) -> None:
    """`render`, `adopt` and `explain` leave no unit out: one line, with what the plan says of it."""

    def translate(unit: Unit, config: Any) -> Translation:
        raise NotImplementedError("write this first")

    async def asked() -> None:
        hub = hub_of(folder.root / "smihub.yaml")
        hub.read()
        (mesh,) = hub.meshes
        mesh.spec = replace(mesh.spec, translate=translate)
        try:
            found = ask(hub) if ask is explain_hub else ask(hub, mesh)
            await found
        finally:
            await hub.close()

    with pytest.raises(AdapterError) as raised:
        asyncio.run(asked())
    assert str(raised.value) == (
        'access/shop/api: adapter "istio" failed: NotImplementedError: write this first (bug.adapter); report this to the adapter\'s author'
    )
    assert isinstance(raised.value.__cause__, NotImplementedError)


def test_unit_whose_gain_raises_still_loses(folder: Folder) -> None:
    """The adapter fails on what is new; what stood, less what was taken away, it can translate."""
    folder.remove("evil.yaml")
    folder.write("more.yaml", target("more", source="more"))
    made = reviewed(folder, _on_a_second_source)
    assert [each.code for each in made.refusals] == ["bug.adapter"]
    assert made.plan.allowed == ()
    assert [line for line in made.plan.denied if "evil" in line]
    assert [change.ref.name for change in made.plan.changes] == ["smihub-api"]


def test_unit_on_which_settle_raises_stays_and_the_others_are_planned(folder: Folder) -> None:
    """As translate."""

    def settle(desired: Sequence[NativeObject], observed: Mapping[ObjectRef, Observed]) -> tuple[NativeObject, ...]:
        if any(native.ref.name == "smihub-api" for native in desired):
            raise ZeroDivisionError
        return tuple(desired)

    folder.write("db.yaml", target("db", account="db"))
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    made = asyncio.run(_reviewed(folder, {"carry_over": settle}))
    assert {each.code for each in made.refusals} == {"bug.adapter"}
    assert {change.unit.name for change in made.plan.changes} == {"db"}


# ------------------------------------------------------------------------------- files that cannot be written


def test_file_that_cannot_be_written_stops_its_unit_alone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at one file: the unit is named, `apply` ends with 1, and every other loss is written."""
    folder.write("db.yaml", target("db", account="db"))
    folder.remove("evil.yaml")
    monkeypatch.setattr(on_disk, "_write", _full_at("smihub-db"))
    result = folder.run("apply", "--yes")
    assert result.exit_code == Exit.ERROR, result.output
    assert "access/shop/db is not fully written" in result.stderr
    assert "smihub-db.yaml" in result.stderr
    assert "no space left on device; free space on its file system" in result.stderr
    assert "sa/evil" not in policy(folder)
    monkeypatch.undo()
    assert folder.run("apply", "--yes").exit_code == Exit.SAME
    assert folder.run("plan").exit_code == Exit.SAME


def _full_at(name: str, kind: str = "") -> Callable[[int, bytes], None]:
    real = on_disk._write

    def write(at: int, data: bytes) -> None:
        if f"name: {name}\n".encode() in data and f"kind: {kind}".encode() in data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(at, data)

    return write


BINDING = """\
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {name: canary, namespace: shop}
spec: {schemes: {podLabelSelector: {matchLabels: {track: canary}}}}
"""


@pytest.fixture(name="canary")
def make_canary(tmp_path: Path) -> Folder:
    """`evil` may GET /books from canaries of `api`, by a policy of theirs beside the one that denies; nothing is applied."""
    folder = istio_shop(tmp_path)
    folder.remove("access.yaml")
    folder.write("canary.yaml", deployment("canary", ", smihub.io/sa: api, track: canary", account="api"))
    to = target("evil", source="evil").replace("v1alpha3", "v1alpha4")
    to = to.replace("{kind: ServiceAccount, name: api,", "{kind: IdentityBinding, name: canary,")
    folder.write("evil.yaml", BINDING, to)
    return folder


def test_policy_that_denies_is_there_before_those_beside_it(canary: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be written, neither are they: when they went, nothing would be left that denies."""
    monkeypatch.setattr(on_disk, "_write", _full_at("smihub-api", "AuthorizationPolicy"))
    assert canary.run("apply", "--yes").exit_code == Exit.ERROR
    assert policies(canary) == []
    monkeypatch.undo()
    assert canary.run("apply", "--yes").exit_code == Exit.SAME
    assert len(policies(canary)) == 2


def test_last_policy_of_a_workload_is_not_deleted_before_the_one_that_denies_is_there(
    canary: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deleted the one that denies, and the disk is full: without both, everybody would be allowed."""
    assert canary.run("apply", "--yes").exit_code == Exit.SAME
    (canary.root / RENDERED / POLICY_FILE).unlink()
    canary.write("evil.yaml", BINDING)
    monkeypatch.setattr(on_disk, "_write", _full_at("smihub-api", "AuthorizationPolicy"))
    for _ in range(2):
        assert canary.run("apply", "--yes").exit_code == Exit.ERROR
        (left,) = policies(canary)
        assert "sa/evil" not in left.read_text()
        assert "rules" not in left.read_text()
        assert "track: canary" in left.read_text()
        plan = canary.run("plan")
        assert "newly denied" not in plan.output, plan.output
    monkeypatch.undo()
    assert canary.run("apply", "--yes").exit_code == Exit.SAME
    assert [each.name for each in policies(canary)] == [Path(POLICY_FILE).name]
    assert "sa/evil" not in policy(canary)


def test_last_policy_of_a_workload_is_not_deleted_where_somebody_took_the_one_that_denies(canary: Folder) -> None:
    """What stands in its place now may be anything, and select nobody."""
    assert canary.run("apply", "--yes").exit_code == Exit.SAME
    theirs = canary.root / RENDERED / POLICY_FILE
    theirs.write_text(
        FOREIGN.replace("smihub-db", "smihub-api").replace("action", "selector: {matchLabels: {a: b}}, action")
    )
    canary.write("evil.yaml", BINDING)
    assert canary.run("apply", "--yes").exit_code == Exit.REFUSED
    (emptied,) = (each for each in policies(canary) if each != theirs)
    assert "sa/evil" not in emptied.read_text()
    assert "track: canary" in emptied.read_text()


def test_unit_with_an_object_that_is_left_alone_loses_though_something_is_unread(canary: Folder) -> None:
    """What was written beside that object is remembered: a revocation waits for no file that says nothing of it."""
    assert canary.run("apply", "--yes").exit_code == Exit.SAME
    (alone,) = (each for each in policies(canary) if each.name != Path(POLICY_FILE).name)
    kept = alone.read_text().replace("  annotations:\n", '  annotations:\n    smihub.io/paused: "true"\n', 1)
    alone.write_text(kept)
    canary.write("evil.yaml", BINDING)
    canary.write("more.yaml", target("more", source="more"), target("web"))
    assert canary.run("apply", "--yes").exit_code == Exit.SAME
    assert "sa/more" in policy(canary)
    assert canary.run("apply", "--yes").exit_code == Exit.SAME
    canary.write("more.yaml", target("web"))
    canary.write("broken.yaml", "kind: Pod\nspec: [")
    canary.run("apply", "--yes")
    assert "sa/more" not in policy(canary)
    assert alone.read_text() == kept
    canary.write("new.yaml", target("evil", source="evil"))
    canary.run("apply", "--yes")
    assert "sa/evil" not in policy(canary)


def policies(folder: Folder) -> list[Path]:
    """The policies that are written."""
    return sorted((folder.root / RENDERED / "objects").glob("*AuthorizationPolicy*"))

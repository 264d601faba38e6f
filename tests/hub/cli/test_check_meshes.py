"""`smihub check` asks every mesh: what plan would refuse, check says, without any state."""

from __future__ import annotations

import json

from tests.hub.cli.test_apply import UDP
from tests.servers.folder import CONFIG, Folder


def test_a_loss_that_nobody_accepts_is_told_by_check(folder: Folder) -> None:
    """The mesh, the object, the code, and 3; nothing is written, and once it is accepted nothing is told."""
    folder.write("udp.yaml", UDP)
    result = folder.run("check")
    assert result.exit_code == 3
    last = result.stdout.splitlines()[-1]
    assert last.startswith("refused manifests/udp.yaml:")
    assert "TrafficTarget/shop/by-udp spec.rules: " in last
    assert "Effect on vms: " in last
    (told,) = json.loads(folder.run("check", "-o", "json").stdout)["refused"]
    assert (told["mesh"], told["code"], told["object"]) == (
        "vms",
        "proto.udp-not-captured",
        "TrafficTarget/shop/by-udp",
    )
    assert not (folder.root / ".smihub").exists()
    folder.config(CONFIG + "accept: [proto.udp-not-captured]\n")
    assert folder.run("check").exit_code == 0

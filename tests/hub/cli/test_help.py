"""Help, the version, completion, and wrong usage."""

from __future__ import annotations

import os
import platform
import re
import resource
from importlib import metadata
from pathlib import Path

import pytest

from tests.servers.folder import CONFIG, Folder, workload

FOLDER_MESH = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes: [{name: istio, adapter: istio, sink: {path: rendered}}]
"""

VERBS = (
    "init",
    "check",
    "plan",
    "apply",
    "render",
    "run",
    "bootstrap",
    "explain",
    "status",
    "history",
    "approve",
    "test",
)


@pytest.mark.thorough
@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_has_an_example(folder: Folder, verb: str) -> None:
    """An example is what people copy."""
    result = folder.run(verb, "--help")
    assert result.exit_code == 0
    assert f"smihub {verb}" in result.stdout.partition("Example")[2]


@pytest.mark.thorough
@pytest.mark.parametrize("verb", [*VERBS, "adopt", "release", "pause", "resume", "features", ""])
def test_help_is_in_the_words_of_the_command(folder: Folder, verb: str) -> None:
    """`-h` is help too; nobody is shown a type of Python, and options say what to write."""
    asked = [verb, "-h"] if verb else ["-h"]
    result = folder.run(*asked)
    assert result.exit_code == 0
    assert not re.search(r"<[a-z]|bool|\bstr\b|list\[", result.stdout)
    assert result.stdout == folder.run(*asked[:-1], "--help").stdout


@pytest.mark.thorough
def test_version_names_the_commit_and_python(folder: Folder) -> None:
    """What a report of a bug needs, on one line."""
    result = folder.process("--version")
    pattern = rf"smihub {re.escape(metadata.version('smihub'))} \((commit [0-9a-f]{{7,12}}(-dirty)?, )?Python {platform.python_version()}\)\n"
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(pattern, result.stdout)
    if (Path(__file__).parents[3] / ".git").exists():
        assert "commit" in result.stdout


def test_help_lists_every_verb(folder: Folder) -> None:
    """And says what the exit codes are."""
    text = folder.run("--help").stdout
    assert all(f" {verb} " in text for verb in VERBS)
    assert "2 changes" in text


@pytest.mark.thorough
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_every_shell(folder: Folder, shell: str) -> None:
    """What `--install-completion` installs."""
    environment = {"_SMIHUB_COMPLETE": f"source_{shell}"}
    result = folder.process(env=environment)
    assert result.returncode == 0
    assert "_SMIHUB_COMPLETE" in result.stdout


@pytest.mark.thorough
def test_completion_knows_the_verbs(folder: Folder) -> None:
    """What bash asks for after `smihub e`."""
    environment = {"_SMIHUB_COMPLETE": "complete_bash", "COMP_WORDS": "smihub e", "COMP_CWORD": "1"}
    assert "explain" in folder.process(env=environment).stdout.split()


def offered(folder: Folder, *words: str) -> list[str]:
    """What bash is offered at the end of these words."""
    line = " ".join(("smihub", *words))
    environment = {"_SMIHUB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    result = folder.process(env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


NAMED = [
    (("plan", "--mesh", ""), ["vms"]),
    (("plan", "--mesh", "x"), []),
    (("render", "v"), ["vms"]),
    (("bootstrap", ""), ["shop/api-1", "shop/web-1"]),
    (("bootstrap", "--mesh", ""), ["vms"]),
    (("render", "vms", "--unit", "access/"), ["access/shop/api", "access/shop/web"]),
    (("release", "vms", "route"), ["route/shop/api"]),
    (("explain", "--from", ""), ["shop/api", "shop/web"]),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("words", "names"), NAMED)
def test_completion_offers_names(folder: Folder, words: tuple[str, ...], names: list[str]) -> None:
    """Those of smihub.yaml and of its sources; nothing is written for it."""
    before = sorted(folder.root.rglob("*"))
    assert offered(folder, *words) == names
    assert sorted(folder.root.rglob("*")) == before


@pytest.mark.thorough
def test_completion_offers_the_objects_of_the_mesh_named_before(folder: Folder) -> None:
    """Once there are any."""
    folder.config(FOLDER_MESH)
    assert offered(folder, "pause", "istio", "") == []
    folder.run("apply", "--yes")
    assert "AuthorizationPolicy/shop/smihub-api" in offered(folder, "pause", "istio", "Auth")


@pytest.mark.thorough
def test_completion_reads_the_configuration_that_is_named(folder: Folder) -> None:
    """And not the one that lies here."""
    (folder.root / "other.yaml").write_text(CONFIG.replace("vms", "elsewhere"))
    assert offered(folder, "plan", "-c", "other.yaml", "--mesh", "") == ["elsewhere"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text",
    ["", "meshes: [", "meshes: 7", "[1, 2]", "domain: {}\nmeshes: [7]", "domains: x", "\x00", "&a [*a]"],
)
@pytest.mark.parametrize("words", [("plan", "--mesh", ""), ("bootstrap", ""), ("pause", "vms", "")])
def test_completion_when_the_configuration_is_broken_offers_nothing(
    folder: Folder, text: str, words: tuple[str, ...]
) -> None:
    """Nor does it print anything into the line that is typed."""
    folder.config(text)
    assert offered(folder, *words) == []


@pytest.mark.thorough
def test_completion_of_meshes_needs_no_more_than_their_names(folder: Folder) -> None:
    """A mistake elsewhere in the file is for check to tell."""
    folder.config(CONFIG.replace("trustDomain", "trustdomain"))
    assert offered(folder, "plan", "--mesh", "") == ["vms"]


def _cpu_s() -> float:
    """Processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.thorough
def test_completion_when_a_source_is_slow_offers_what_was_found(folder: Folder) -> None:
    """A pipe that nobody writes to, and thousands of files, must not hold up a shell."""
    os.mkfifo(folder.manifests / "pipe.yaml")  # whoever opened it would wait until the process is ended for it
    for number in range(3000):
        folder.write(f"more-{number}.yaml", workload(f"w-{number}", number))
    before = _cpu_s()
    found = offered(folder, "bootstrap", "shop/")
    assert _cpu_s() - before < 10  # 0.8 s of it for reading; of the processor, since others may load the machine
    assert set(found) <= {f"shop/{name}" for name in ("web-1", "api-1", *(f"w-{number}" for number in range(3000)))}


@pytest.mark.thorough
@pytest.mark.parametrize("arguments", [("plan", "-o", "xml"), ("plan", "--no-such"), ("paln",), ("bootstrap",), ()])
def test_usage_when_wrong_never_looks_like_changes(folder: Folder, arguments: tuple[str, ...]) -> None:
    """Exit code 2 means changes, so a misspelt option must end with 1."""
    result = folder.process(*arguments)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr

"""`smihub explain --batch`: JSON lines in, JSON lines out, one for one, in order, for machines."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from hub.cli.streams import READER_GONE
from hub.requests import MAX_LINE_BYTES
from tests.servers.folder import Folder
from tests.servers.processes import LIMIT_S, within

BATCH = ("explain", "--batch", "-", "--source", "manifests")
BAD = ("not json", "[]", "null", "{}", '{"id": 3}', '"text"', "{" * 5000, '{"src": 1}')
LEFT_OUT = "note: not asked: linkerd, which can have no workload of the sources\n"


def ask(path: str = "/books", **more: Any) -> str:
    """A request as a line."""
    request = {"src": {"identity": "shop/web"}, "dst": {"service": "shop/api"}, "port": 80, "path": path, **more}
    return json.dumps(request)


def answers(text: str) -> list[dict[str, Any]]:
    """Every line of output."""
    return [json.loads(line) for line in text.splitlines()]


def test_batch_answers_in_order_and_repeats_ids(folder: Folder) -> None:
    """Numbers and texts as they came; none where none was."""
    lines = [ask(id=1), ask("/no", id="two"), ask(), ask(id=0)]
    result = folder.run(*BATCH, text="\n".join(lines) + "\n")
    found = answers(result.stdout)
    assert result.exit_code == 0
    assert [each.get("id") for each in found] == [1, "two", None, 0]
    assert [each["smi"]["verdict"] for each in found] == ["allow", "deny", "allow", "allow"]
    assert all(set(each["meshes"]) == {"istio", "vm"} for each in found)
    assert result.stderr == LEFT_OUT


def test_a_mesh_of_pods_is_asked_as_soon_as_a_template_makes_one(folder: Folder) -> None:
    """Linkerd has no Workloads of our kind, but the folder has more than those now."""
    folder.write(
        "deployment.yaml",
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: more, namespace: shop}, spec: {template: {spec: {containers: []}}}}",
    )
    result = folder.run(*BATCH, text=ask())
    (found,) = answers(result.stdout)
    assert set(found["meshes"]) == {"istio", "linkerd", "vm"}
    assert result.stderr == ""


def test_batch_when_a_line_is_bad_answers_with_an_error_and_goes_on(folder: Folder) -> None:
    """Each bad line has its own answer in its own place; exit code 1."""
    lines = [line for bad in BAD for line in (bad, ask(id="good"))]
    result = folder.run(*BATCH, text="\n".join(lines))
    found = answers(result.stdout)
    assert result.exit_code == 1
    assert len(found) == len(lines)
    assert all(set(each["error"]) == {"code", "field", "message"} for each in found[::2])
    assert all(each["id"] == "good" for each in found[1::2])
    assert found[8]["id"] == 3
    assert result.stderr == LEFT_OUT


def test_batch_when_a_line_is_empty_keeps_the_count(folder: Folder) -> None:
    """An empty line between others is a bad one, so that answers stay beside their questions; at the end it is none."""
    result = folder.run(*BATCH, text=f"{ask(id=1)}\n\n{ask(id=2)}\n\n\n")
    found = answers(result.stdout)
    assert ["error" in each for each in found] == [False, True, False]
    assert result.exit_code == 1


def test_batch_when_a_line_is_too_long_goes_on_after_it(folder: Folder) -> None:
    """A line without end is not kept in memory, and is one error."""
    text = f"{ask(id=1)}\n{'x' * (3 * MAX_LINE_BYTES)}\n{ask(id=2)}\n"
    found = answers(folder.run(*BATCH, text=text).stdout)
    assert [each.get("id") for each in found] == [1, None, 2]
    assert found[1]["error"]["code"] == "request.too-large"


def test_batch_when_nothing_is_asked_answers_nothing(folder: Folder) -> None:
    """An empty input is no error."""
    result = folder.run(*BATCH, text="")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.thorough
def test_batch_of_ten_thousand_lines_from_a_file(folder: Folder) -> None:
    """All are answered, in order."""
    lines = [ask(f"/{number}" if number % 2 else "/books", id=number) for number in range(10_000)]
    (folder.root / "requests.jsonl").write_text("\n".join(lines))
    result = folder.run("explain", "--batch", "requests.jsonl")
    found = answers(result.stdout)
    assert [each["id"] for each in found] == list(range(10_000))
    assert [each["smi"]["verdict"] for each in found[:4]] == ["allow", "deny", "allow", "deny"]
    assert all(each["meshes"]["vms"]["verdict"] == each["smi"]["verdict"] for each in found)


@pytest.mark.thorough
def test_batch_answers_each_line_before_the_next_is_asked(folder: Folder) -> None:
    """A program may wait for an answer before it asks again."""
    child = subprocess.Popen(
        folder.command(*BATCH), cwd=folder.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child, within(LIMIT_S, "three answers", child):
        assert child.stdin
        assert child.stdout
        for number in range(3):
            child.stdin.write(ask(id=number) + "\n")
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["id"] == number
        child.stdin.close()
        assert child.wait(30) == 0


@pytest.mark.thorough
def test_batch_when_the_reader_goes_away_ends_without_a_trace(folder: Folder) -> None:
    """`| head -1` is everyday use."""
    text = "\n".join([ask()] * 3000)
    (folder.root / "requests.jsonl").write_text(text)
    command = folder.command("explain", "--batch", "requests.jsonl")
    child = subprocess.Popen(command, cwd=folder.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stderr
    with within(LIMIT_S, "the end", child):
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == ""
    child.stderr.close()
    assert child.wait(30) == READER_GONE


@pytest.mark.parametrize("kind", ["missing", "empty", "no objects"])
def test_batch_when_the_folder_cannot_be_used_is_one_line(folder: Folder, kind: str) -> None:
    """A missing or empty folder is an error, never a world in which all is denied."""
    (folder.root / "other").mkdir()
    if kind == "no objects":
        (folder.root / "other" / "a.yaml").write_text("# nothing\n")
    source = "none" if kind == "missing" else "other"
    result = folder.run("explain", "--batch", "-", "--source", source, text=ask())
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)


def test_batch_when_a_file_is_broken_tells_it_and_answers_by_the_rest(folder: Folder) -> None:
    """What cannot be read grants nothing and is told on stderr."""
    folder.write("broken.yaml", "kind: Pod\na: [")
    result = folder.run(*BATCH, text=ask())
    assert answers(result.stdout)[0]["smi"]["verdict"] == "allow"
    assert "broken.yaml" in result.stderr


def test_batch_when_its_file_is_missing_is_one_line(folder: Folder) -> None:
    """The name that was given, and what to do."""
    result = folder.run("explain", "--batch", "none.jsonl")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert '"none.jsonl" cannot be read' in result.stderr

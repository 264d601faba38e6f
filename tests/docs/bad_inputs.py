"""Bad inputs as cases in YAML, what the command says of each, and how docs/bad-inputs.md shows them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from typer.testing import Result

from tests.servers.folder import CONFIG, Folder, shop

CASES = Path(__file__).parent / "bad"
ELSEWHERE = Path(__file__).parent / "bad_elsewhere.yaml"
_MESHES = {
    "vm": CONFIG,
    "istio": CONFIG.replace("{name: vms, adapter: vm}", "{name: istio, adapter: istio, sink: {path: rendered}}"),
    "linkerd": CONFIG.replace("{name: vms, adapter: vm}", "{name: linkerd, adapter: linkerd, sink: {path: rendered}}"),
}
_CODE = re.compile(r"""(?:\(|"code":"|"losses":\[")([a-z]+\.[a-z-]+)(?=[,)"])""")
_WRONG = ("error: ", "refused: ")
_OWNER = re.compile(r"\b[0-9a-f]{32}\b")
_SHOWN = 4


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """An input beside, or in, a folder in which all is well (tests.servers.folder), and the codes that it causes.

    `text` becomes manifests/bad.yaml; `latin1`: one byte for each character. `edit` replaces parts of a file (smihub.yaml, or
    one of manifests): a text, then what stands there instead. `shell` runs before the command in the folder; `run` is the command, `stdin` what it reads.
    Without a code the error has none, as those of smihub.yaml; `also` are the codes that follow from the same mistake.
    """

    input: str
    code: str = ""
    also: tuple[str, ...] = ()
    text: str = ""
    latin1: bool = False
    edit: dict[str, tuple[str, ...]] = {}
    shell: str = ""
    mesh: Literal["vm", "istio", "linkerd"] = "vm"
    run: str = "check"
    stdin: str = ""

    @property
    def codes(self) -> list[str]:
        """Every code that must come out, sorted."""
        return sorted({self.code, *self.also} - {""})


class Topic(Struct, frozen=True, forbid_unknown_fields=True):
    """The cases of one section of the page."""

    title: str
    about: str
    cases: tuple[Case, ...]


class Elsewhere(Struct, frozen=True, forbid_unknown_fields=True):
    """A code that no input file causes by itself: why, and the test (`FILE::FUNCTION`) that causes it."""

    code: str
    why: str
    test: str


def elsewhere() -> tuple[Elsewhere, ...]:
    """Every code that is in no case."""
    return msgspec.yaml.decode(ELSEWHERE.read_bytes(), type=tuple[Elsewhere, ...])


def topics() -> dict[str, Topic]:
    """Every topic by the name of its file, in the order of the page."""
    return {path.stem: msgspec.yaml.decode(path.read_bytes(), type=Topic) for path in sorted(CASES.glob("*.yaml"))}


def prepare(case: Case, root: Path) -> Folder:
    """The folder in which the command is run."""
    root.mkdir()
    folder = shop(root)
    folder.config(_MESHES[case.mesh])
    for name, texts in case.edit.items():
        path = root / name if name == "smihub.yaml" else folder.manifests / name
        for old, new in zip(texts[::2], texts[1::2], strict=True):
            before = path.read_text()
            assert before.count(old) == 1, f"{case.input}: {name} has {before.count(old)} times {old!r}"
            path.write_text(before.replace(old, new))
    if case.text:
        folder.write("bad.yaml", case.text.encode("latin-1" if case.latin1 else "utf-8"))
    if case.shell:
        subprocess.run(["bash", "-euc", case.shell], cwd=root, check=True)
    return folder


def said(case: Case, folder: Folder) -> list[str]:
    """What the command says is wrong, line by line; fails where it says something else than the codes of the case."""
    result = folder.run(*shlex.split(case.run), text=case.stdin or None)
    output = _OWNER.sub("0123456789abcdef" * 2, (result.stdout + result.stderr).replace(f"{folder.root}/", ""))
    lines = [line.strip() for line in output.splitlines()]
    found = [line for line in lines if _CODE.search(line) or line.startswith(_WRONG)]
    assert found, f"{case.input}: nothing is wrong:\n{result.output}"
    codes = sorted({code for line in found for code in _CODE.findall(line)})
    assert codes == case.codes, f"{case.input}: {codes} instead of {case.codes}:\n" + "\n".join(found)
    _ends_with_an_error(case, result, found)
    return found


def _ends_with_an_error(case: Case, result: Result, found: Sequence[str]) -> None:
    wrong = any(line.startswith(("error", "refused", '{"schema":2,"error"')) for line in found)
    assert result.exit_code or not wrong, f"{case.input}: exit code 0 in spite of {found}"


def section(topic: Topic, lines: Sequence[Sequence[str]]) -> str:
    """The section of the page: a row for each case."""
    rows = [_row(case, found) for case, found in zip(topic.cases, lines, strict=True)]
    return "\n".join((f"## {topic.title}\n", f"{topic.about}\n", "| code | input | message |", "|---|---|---|", *rows))


def _row(case: Case, found: Sequence[str]) -> str:
    code = f"`{case.code}`" if case.code else ""
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return f"| {code} | {case.input} | {'<br>'.join([*map(_quoted, found[:_SHOWN]), *more])} |"


def last_section(found: Sequence[Elsewhere]) -> str:
    """The section with the other codes."""
    rows = [f"| `{one.code}` | {one.why} | `{one.test}` |" for one in found]
    return "\n".join((f"## {LAST}\n", f"{_ABOUT}\n", "| code | why | test |", "|---|---|---|", *rows))


LAST = "Codes that no input causes by itself"
_ABOUT = "They need another process, an earlier apply, or a mistake in smihub. Each has a test that causes it."


def _quoted(line: str) -> str:
    assert "`" not in line, line
    return f"`{line}`".replace("|", "\\|")


def sections(page: str) -> dict[str, str]:
    """Each section of the page by its title; under "" what stands before the first."""
    parts = [part.strip() for part in re.split(r"(?m)^(?=## )", page)]
    return {part.partition("\n")[0].removeprefix("## ") if index else "": part for index, part in enumerate(parts)}


def joined(found: Mapping[str, str], order: Sequence[str]) -> str:
    """The page of these sections, in this order."""
    return "\n\n".join(found[title] for title in order if title in found) + "\n"

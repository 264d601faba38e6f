"""What `check` finds as SARIF 2.1.0, which code scanning of GitHub and others shows beside the line.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"; GitHub, "SARIF support for code scanning".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from msgspec import Struct

from hub.cli.codes import documented
from hub.cli.context import line
from hub.cli.losses import effect, how_to_accept, refused_by, sentence
from hub.cli.places import Locations
from hub.cli.saved import version
from hub.config.file import Config
from hub.model import ObjectRef, Origin, Problem
from hub.reconcile.hub import Hub, Reviewed

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class Checked(Struct, frozen=True):
    """What was found in one domain: problems, and what each of its meshes would refuse."""

    hub: Hub
    problems: Sequence[Problem]
    foreseen: Sequence[Reviewed]


class Finding(Struct, frozen=True):
    """One result; `object` is "" where it is about a file or the configuration."""

    code: str
    level: Literal["error", "warning"]
    message: str
    remedy: str
    path: str
    line: int
    object: str = ""

    @property
    def fingerprint(self) -> str:
        """What tells it apart from others, wherever in its file it stands."""
        # Without the line: code scanning would otherwise open a new alert whenever something is inserted above.
        return hashlib.sha256(f"{self.code}\n{self.path}\n{self.object}\n{self.message}".encode()).hexdigest()


def sarif(found: Iterable[Checked]) -> dict[str, Any]:
    """A SARIF log of one run; paths are relative to the root of the Git repository around smihub.yaml, else to its folder."""
    findings = list(dict.fromkeys(one for each in found for one in _findings(each)))
    codes = sorted({each.code for each in findings})
    driver = {
        "name": "smihub",
        "version": version(),
        "rules": [_rule(code, next(each for each in findings if each.code == code)) for code in codes],
    }
    results = [_result(each, codes.index(each.code)) for each in findings]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}],
    }


def _result(each: Finding, index: int) -> dict[str, Any]:
    artifact = {"uri": quote(each.path, safe="/"), "uriBaseId": "%SRCROOT%"}
    place: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(each.line, 1)}}
    }
    if each.object:
        place["logicalLocations"] = [{"fullyQualifiedName": each.object, "kind": "object"}]
    return {
        "ruleId": each.code,
        "ruleIndex": index,
        "level": each.level,
        "message": {"text": _plain(f"{each.message}; {each.remedy}")},
        "locations": [place],
        "partialFingerprints": {"smihub/v1": each.fingerprint},
    }


def _rule(code: str, first: Finding) -> dict[str, Any]:
    meaning, remedy = documented().get(code, (first.message, first.remedy))
    return {
        "id": code,
        "shortDescription": {"text": _plain(meaning)[:1000]},
        "help": {"text": _plain(f"{meaning}. Remedy: {remedy}")},
        "defaultConfiguration": {"level": first.level},
    }


def _plain(text: str) -> str:
    """Text on one line, in which nothing is a link: a message may hold `[text](target)` (SARIF 2.1.0, 3.11.6)."""
    return line(text.replace("](", "] (")).plain


# --------------------------------------------------------------------------- what was found


def _findings(each: Checked) -> Iterator[Finding]:
    places = _Places(each.hub.config)
    for problem in each.problems:
        name, field = str(problem.ref), problem.field
        text = ": ".join(part for part in (name, field, problem.message) if part)
        path, number = places.of(problem.origin)
        yield Finding(problem.code, problem.severity.value, text, problem.remedy, path, number, name)
    for reviewed in each.foreseen:
        yield from _refused(each.hub, reviewed, places)


def _refused(domain: Hub, reviewed: Reviewed, places: _Places) -> Iterator[Finding]:
    title, losses = reviewed.mesh.title, reviewed.plan.losses
    spots = Locations.of(domain, reviewed.mesh, losses, reviewed.decided.places)
    lossy, others = refused_by(losses, reviewed.refusals)
    for loss in lossy:
        at = spots.written(loss)
        message = f"{loss.origin}: {sentence(loss.message)} Effect on mesh {title}: {effect(loss, at)}"
        path, number = places.of(at.origin)
        remedy = f"{loss.remedy}, or accept it: {how_to_accept(loss)}"
        yield Finding(loss.code, "error", message, remedy, path, number, str(at.object))
    for one in others:
        refs = () if one.unit is None else reviewed.decided.units.get(one.unit) or ()
        path, number = places.of(_first(refs, reviewed.decided.places))
        yield Finding(one.code, "error", f"mesh {title}: {one.message}", one.remedy, path, number, one.object)


def _first(refs: Iterable[ObjectRef], places: Mapping[ObjectRef, Origin]) -> Origin:
    """Where the object that decides is written: the first TrafficTarget or TrafficSplit, else any."""
    ordered = sorted(refs, key=lambda ref: (not ref.kind.startswith("Traffic"), ref))
    return next((places[ref] for ref in ordered if ref in places), Origin())


class _Places:
    """Files from the root of the repository; what came from no file is told of the configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        folder = config.folder.resolve()
        self._root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
        self._sources = {each.name: each.path for each in config.sources}

    def of(self, origin: Origin) -> tuple[str, int]:
        """The path and the line of an origin."""
        if origin.source == str(self._config.folder):
            return self._relative(self._config.folder / origin.file), origin.line
        source = self._sources.get(origin.source)
        if source is None:
            return self._relative(self._config.file), 1
        return self._relative(source if source.is_file() or not origin.file else source / origin.file), origin.line

    def _relative(self, path: Path) -> str:
        found = path.parent.resolve() / path.name
        return str(found.relative_to(self._root)) if found.is_relative_to(self._root) else str(found)

"""The certificate: what was asked of an adapter and what it answered, as JSON for programs and as text for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from hub.api import AdapterSpec
from hub.errors import SmihubError
from hub.requests import answer_to_json, to_json
from hub.sinks.kubernetes import KUBERNETES
from hub.testing.conformance import tables
from hub.testing.conformance.subject import KIT_VERSION, AdapterUnderTest, CheckOutcome, PropertyFailure
from hub.testing.conformance.suite import ABOUT_ACCESS, CHECKS, PROPERTIES
from hub.testing.counterexamples import to_yaml
from hub.testing.documents import Scope
from hub.testing.kit import CASES, FOUND

_BY_SCHEMA = "yes (rules in CEL, x-kubernetes-validations, are not evaluated)"
_SEPARATOR = re.compile("^---\n", re.MULTILINE)
_MORE = ("weights", "backends", "received")
_MOST_LINES = 80
"""Of a world that is shown to people."""
_OPEN = "routes alone: it enforces no access"


class Certificate(Struct, frozen=True, omit_defaults=True):
    """What a run of the suite proves, if all of it ran: `passed` is False where a property failed or was not asked.

    `proof` is "model only" where no real data plane ran: then all of this rests on the adapter's own evaluate, as far as the
    author's `judged` rows and the field checks bear it. `schema` says whether objects were held against one of the vendor. `missing`
    are properties of which a check did not run. `settings` are the adapter's, as far as they are not the defaults, `meaningless` the fields of which the
    author says that they mean nothing: those were not asked about. `doubts` are reasons for which it does not pass though all holds. `governs` are the adapter's: with ("routes",) it enforces no access, and no property about
    access is among `properties`. `cpu_s` is, by property, the processor time in seconds of the searches that asked it; `together` are
    properties that one search asked, whose time is that of all of them.
    """

    adapter: str
    version: str
    kit: str
    date: str
    passed: bool
    proof: str
    features: Mapping[str, str]
    properties: Mapping[str, bool]
    cases: int
    worlds: int
    seed: str
    judged: tuple[str, ...] = ()
    governs: tuple[str, ...] = ()
    schema: bool = False
    cpu_s: Mapping[str, float] = {}
    together: tuple[tuple[str, ...], ...] = ()
    missing: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}
    meaningless: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    failures: tuple[Mapping[str, Any], ...] = ()


class Header(Struct, frozen=True):
    """What a certificate says of the adapter and the run, before anything was asked."""

    adapter: str
    version: str
    proof: str
    features: Mapping[str, str]
    worlds: int
    seed: str
    judged: tuple[str, ...]
    governs: tuple[str, ...]
    schema: bool = False
    settings: Mapping[str, Any] = {}
    meaningless: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class CheckRow(Struct, frozen=True):
    """What became of one check, as data."""

    check: str
    properties: tuple[str, ...]
    failures: tuple[Mapping[str, Any], ...]
    cpu_s: float


def header_of(subject: AdapterUnderTest) -> Header:
    """The header of a run."""
    return Header(
        adapter=subject.spec.name,
        version=subject.version or installed_version(subject.spec),
        proof="model only" if subject.data_plane is None else "a real data plane",
        features={str(feature): str(support) for feature, support in sorted(subject.features.items())},
        worlds=subject.sizes.worlds,
        seed=subject.sizes.seed,
        judged=tuple(sorted({row.source for row in subject.judged})),
        governs=subject.spec.governs,
        schema=subject.schema is not None,
        settings=_set(subject),
        meaningless=tuple(sorted(set(subject.meaningless) - set(KUBERNETES.meaningless))),
        doubts=tuple(_doubts(subject)),
    )


def _set(subject: AdapterUnderTest) -> dict[str, Any]:
    """The settings that are not the defaults."""
    now, usual = (_builtins(one) for one in (subject.settings, subject.spec.config()))
    return {name: value for name, value in now.items() if name not in usual or usual[name] != value}


def _builtins(settings: Any) -> dict[str, Any]:
    return {name: msgspec.to_builtins(value, enc_hook=repr) for name, value in msgspec.structs.asdict(settings).items()}


def _doubts(subject: AdapterUnderTest) -> Iterator[str]:
    if subject.sizes.too_small:
        yield subject.sizes.too_small
    installed = installed_version(subject.spec)
    if subject.version and installed and subject.version != installed:
        yield f"the version is said to be {subject.version}, and {installed} is installed"


def one_header(headers: Sequence[Header]) -> Header:
    """The header of several checks, in doubt where they were not run on the same adapter with the same settings and sizes."""
    if all(one == headers[0] for one in headers):
        return headers[0]
    doubt = "not all checks were run on the same adapter, with the same settings and sizes"
    return replace(headers[0], doubts=(*headers[0].doubts, doubt))


def installed_version(spec: AdapterSpec[Any]) -> str:
    """The version of the package that brings an adapter to smihub; "" where none is installed."""
    module = getattr(spec.translate, "__module__", "").partition(".")[0]
    found = (one.dist for one in entry_points(group="smihub") if one.value.partition(".")[0] == module)
    return next((dist.version for dist in found if dist is not None), "")


def row_of(outcome: CheckOutcome) -> CheckRow:
    """An outcome as data."""
    failures = tuple(failure_to_json(failure) for failure in outcome.failures)
    return CheckRow(outcome.check, outcome.properties, failures, round(outcome.cpu_s, 2))


def certify(header: Header, rows: Sequence[CheckRow], date: str) -> Certificate:
    """The certificate of a run; `date` is when, as ISO 8601."""
    ran = {row.check for row in rows}
    left_out = {name for check in CHECKS if check.name not in ran for name in check.properties}
    asked = {name for row in rows for name in row.properties} - left_out
    failed = {failure["property"] for row in rows for failure in row.failures}
    spared = ABOUT_ACCESS if header.governs == ("routes",) else frozenset[str]()
    missing = tuple(name for name in PROPERTIES if name in left_out - spared)
    return Certificate(
        adapter=header.adapter,
        version=header.version,
        kit=KIT_VERSION,
        date=date,
        passed=not failed and not missing and not header.doubts,
        proof=header.proof,
        features=header.features,
        properties={name: name not in failed for name in PROPERTIES if name in asked | failed},
        cases=sum(1 for folder in (CASES, FOUND) for _ in folder.glob("*.yaml")),
        worlds=header.worlds,
        seed=header.seed,
        judged=header.judged,
        governs=header.governs,
        schema=header.schema,
        cpu_s={
            name: round(sum(row.cpu_s for row in rows if name in row.properties), 2)
            for name in PROPERTIES
            if name in asked
        },
        together=tuple(sorted({row.properties for row in rows if len(row.properties) > 1}, key=_place)),
        missing=missing,
        settings=header.settings,
        meaningless=header.meaningless,
        doubts=header.doubts,
        failures=tuple(failure for row in rows for failure in row.failures),
    )


def to_json_bytes(certificate: Certificate) -> bytes:
    """The certificate for programs."""
    return msgspec.json.format(msgspec.json.encode(certificate), indent=2) + b"\n"


def failure_to_json(failure: PropertyFailure) -> dict[str, Any]:
    """A failure as data: its worlds as YAML, request and answers in the form of `smihub explain`."""
    told: dict[str, Any] = {"property": failure.property, "why": failure.why}
    if failure.before is not None:
        told["before"] = to_yaml(failure.before)
    if failure.world is not None:
        told["world"] = to_yaml(failure.world)
    if failure.request is not None:
        told["request"] = _request(failure)
    if failure.answers:
        told["answers"] = {name: answer_to_json(answer) for name, answer in failure.answers.items()}
    if failure.by:
        told["by"] = list(failure.by)
    if failure.bodies:
        told["bodies"] = dict(failure.bodies)
    if failure.scope != Scope():
        told["scope"] = {
            "trustDomain": failure.scope.trust_domain,
            "reading": msgspec.to_builtins(failure.scope.reading),
        }
    return told


def _request(failure: PropertyFailure) -> Any:
    assert failure.request is not None
    try:
        return to_json(failure.request)
    except (SmihubError, ValueError):
        return repr(failure.request)


def to_text(certificate: Certificate) -> str:
    """The certificate for people: the verdict first, then what failed, then what was asked."""
    word = "passes" if certificate.passed else "does not pass"
    version = f" {certificate.version}" if certificate.version else ""
    proof = f"{certificate.proof}; {_OPEN}" if certificate.governs == ("routes",) else certificate.proof
    lines = [
        f"{certificate.adapter}{version} {word} the conformance kit {certificate.kit} ({proof}), {certificate.date}"
    ]
    lines += failures_lines(certificate.failures)
    if certificate.missing:
        lines += ["", f"not asked: {', '.join(certificate.missing)}"]
    lines += ["", *(f"in doubt: {each}" for each in certificate.doubts)] if certificate.doubts else []
    times = dict(cpu_words(certificate))
    lines += ["", *(_property_line(name, holds, times) for name, holds in certificate.properties.items())]
    declared = [name for name, support in certificate.features.items() if support in {"full", "partial", "approximate"}]
    proved = "carried out" if certificate.properties.get(tables.DECLARED) else "declared, not proved"
    lines += ["", f"features {proved}: {', '.join(declared) or 'none'}"]
    lines.append(f"{certificate.cases} case files, {certificate.worlds} random worlds, seed {certificate.seed}")
    lines.append(f"judged by hand from: {', '.join(certificate.judged) or 'nothing'}")
    lines.append(
        f"objects by the vendor's schema: {_BY_SCHEMA if certificate.schema else 'not asked, no schema is named'}"
    )
    if certificate.settings:
        lines.append(f"with the settings: {msgspec.json.encode(certificate.settings).decode()}")
    if certificate.meaningless:
        lines.append(f"fields that the author says mean nothing: {', '.join(certificate.meaningless)}")
    return "\n".join(lines) + "\n"


def _place(properties: Sequence[str]) -> int:
    return list(PROPERTIES).index(properties[0])


def cpu_words(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """By property, in the order of the suite: its time in words; where one search asked several, the first has it."""
    for name, seconds in certificate.cpu_s.items():
        others = list(dict.fromkeys(each[0] for each in certificate.together if name in each and name != each[0]))
        yield name, f"with {' and '.join(others)}" if others else f"{seconds:.1f} CPU s"


def _property_line(name: str, holds: bool, times: Mapping[str, str]) -> str:  # noqa: FBT001 - what is shown
    took = f" ({times[name]})" if name in times else ""
    return f"{'ok  ' if holds else 'FAIL'} {name}: {PROPERTIES.get(name, '')}{took}"


def failures_lines(failures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of each property the first failure with everything that shows it, and a line for each further one."""
    for name in dict.fromkeys(failure["property"] for failure in failures):
        first, *others = (failure for failure in failures if failure["property"] == name)
        yield ""
        yield from failure_lines(first)
        yield from ([f"  and {len(others)} more (the JSON form has all of each):"] if others else ())
        yield from (f"    {other['why']}" for other in others)


def failure_lines(failure: Mapping[str, Any]) -> Iterator[str]:
    """A failure with everything that shows it."""
    yield f"{failure['property']}: {failure['why']}"
    yield f"  what must hold: {PROPERTIES.get(failure['property'], '')}"
    for name in ("request", "scope"):
        if name in failure:
            yield f"  {name}: {msgspec.json.encode(failure[name]).decode()}"
    for name, answer in failure.get("answers", {}).items():
        yield f"  {name}: {_answer_words(answer)}"
    named = {one for answer in failure.get("answers", {}).values() for one in answer["by"]}
    if others := [one for one in failure.get("by", ()) if one not in named]:
        yield f"  about: {', '.join(others)}"
    for title, documents in _worlds(failure):
        yield from _shown(title, "---\n".join(documents) or "(no object)")
    for ref, body in failure.get("bodies", {}).items():
        yield from _shown(f"made of it, {ref}", yaml.safe_dump(body, sort_keys=False, allow_unicode=True))


def _shown(title: str, text: str) -> Iterator[str]:
    lines = text.splitlines()
    yield f"  {title}:"
    yield from (f"    {line}" for line in lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        yield f"    ... and {len(lines) - _MOST_LINES} more lines (the JSON form has all)"


def _answer_words(answer: Mapping[str, Any]) -> str:
    """The verdict, where calls go, and who decided."""
    words = [answer["verdict"], *([f"route {answer['route']}"] if "route" in answer else [])]
    words += [f"{name} {msgspec.json.encode(answer[name]).decode()}" for name in _MORE if answer.get(name)]
    words += [f"by {', '.join(answer['by'])}"] if answer["by"] else ["no object decides"]
    return ", ".join(words)


def _worlds(failure: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    """The smallest world, or what is the same before and after a change and what is not."""
    after = _SEPARATOR.split(failure.get("world", ""))
    if "before" not in failure:
        yield from [("the smallest world that shows it", [one for one in after if one])] if "world" in failure else []
        return
    before = _SEPARATOR.split(failure["before"])
    parts = {
        "the smallest change that shows it, the same before and after": [one for one in after if one in before],
        "before alone": [one for one in before if one not in after],
        "after alone": [one for one in after if one not in before],
    }
    yield from ((title, [one for one in documents if one]) for title, documents in parts.items())

"""What is supported of SMI, mesh by mesh, with the codes of what is not: docs/support.md, and `smihub features -o markdown`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hub.api import AdapterSpec
from hub.cli.codes import documented
from hub.features import Feature, Support

MEANING = {
    Support.FULL: "exactly",
    Support.PARTIAL: "exactly, or refused with a code and an example request",
    Support.APPROXIMATE: "approximately, for splits only; each difference is reported",
    Support.NOT_YET: "refused; not implemented yet",
    Support.NEVER: "refused; the mesh cannot do it",
}


def limits_of(spec: AdapterSpec[Any]) -> dict[Feature, tuple[str, ...]]:
    """By feature that is not fully supported, the codes with which the rest is refused or reported."""
    return {
        feature: spec.limits.get(feature, ())
        for feature in Feature
        if spec.features.get(feature, Support.NOT_YET) is not Support.FULL
    }


def reason(code: str) -> str:
    """Why, in the words of docs/problems.md."""
    return documented().get(code, ("", ""))[0]


def support_page(adapters: Mapping[str, AdapterSpec[Any]]) -> str:
    """The page, as Markdown."""
    return "\n".join(_lines(dict(sorted(adapters.items())))) + "\n"


def _lines(adapters: Mapping[str, AdapterSpec[Any]]) -> Iterator[str]:
    yield from ("# What is supported", "")
    yield "How well each mesh carries out the features of SMI, with the default settings. This page is generated from what the adapters"
    yield "declare, which the conformance suite compares with what they do; `smihub features` prints the same for the installed adapters."
    yield from ("", f"| feature | {' | '.join(adapters)} |", "|---" * (len(adapters) + 1) + "|")
    for feature in Feature:
        yield f"| `{feature}` | {' | '.join(_cell(spec, feature) for spec in adapters.values())} |"
    yield ""
    yield from (f"- `{support}`: {meaning}." for support, meaning in MEANING.items())
    yield from ("", "## Reasons", "", "| code | meaning |", "|---|---|")
    codes = sorted({code for spec in adapters.values() for found in limits_of(spec).values() for code in found})
    yield from (f"| `{code}` | {reason(code)} |" for code in codes)
    yield from ("", "[Problems and their remedies](problems.md) has all codes.")


def _cell(spec: AdapterSpec[Any], feature: Feature) -> str:
    said = spec.features.get(feature, Support.NOT_YET)
    codes = ", ".join(f"`{code}`" for code in limits_of(spec).get(feature, ()))
    return f"{said}: {codes}" if codes else f"{said}"

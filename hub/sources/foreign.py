"""Whose a file is that cannot be read as YAML: whether it may hold objects that we read, as far as its text tells.

The text is searched without NUL bytes, so that UTF-16 and UTF-32 are found as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

from hub.model import Document
from hub.smi import KINDS

_OURS = re.compile(rb"(?i)smi-spec\.io|smihub\.io")
_KIND = re.compile(
    rb"""\bkind["']?\s*:\s*(?:[&!]\S*\s+)*["']?(?:"""
    + "|".join({kind for _, kind in KINDS}).encode()
    + rb")(?:List)?\b"
)
_BRACES = b"{{"
_NAMED_BY_ALL = (
    "chart.yaml",
    "values*.yaml",
    "values*.yml",
    "kustomization.yaml",
    "kustomization.yml",
    "kustomization",
    "package.json",
)

Looks = Literal["smi", "helm", "kind", "text"]
"""Names SMI or smihub; holds template braces; holds a kind that we read; none of these."""


def looks_like(data: bytes) -> Looks:
    """What a file looks like that is no YAML; the first that applies."""
    text = data.replace(b"\0", b"")
    if _OURS.search(text):
        return "smi"
    if _BRACES in text:
        return "helm"
    return "kind" if _KIND.search(text) else "text"


def is_known_by_name(part: str) -> bool:
    """Whether everybody knows what a file of this name is, and that it holds no objects."""
    name = part.rpartition("/")[2].lower()
    return any(fnmatchcase(name, known) for known in _NAMED_BY_ALL)


def is_template(document: Document) -> bool:
    """Whether the name, namespace, kind or version of a document is still to be filled in, so that no such object is there."""
    value = document.value
    if not isinstance(value, dict):
        return False
    meta = value.get("metadata")
    named = (meta.get("name"), meta.get("namespace")) if isinstance(meta, dict) else ()
    written = (value.get("kind"), value.get("apiVersion"), *named)
    return any(isinstance(text, str) and "{{" in text for text in written)


def holds_objects(documents: Iterable[Document]) -> bool:
    """Whether any of these has a kind."""
    return any(isinstance(each.value, dict) and isinstance(each.value.get("kind"), str) for each in documents)

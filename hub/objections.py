"""Objections that several meshes have in the same words, and how all of them show what somebody wrote."""

from __future__ import annotations

from hub.model import Objection
from hub.regex import RegexRefusedError

_SHOWN = 60


def short(text: str) -> str:
    """A text as a message shows it: so much of it that one can tell which it is."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def labels_unproven(source: str) -> Objection:
    """Of a source by labels, in a mesh whose certificates name the account alone."""
    message = f'certificates do not contain the labels of source "{source}", so its workloads are refused'
    example, remedy = f'a request from "{source}"', "use a service account instead"
    return Objection("source.labels-unauthenticated", message, example, remedy)


def managed_header(name: str) -> Objection:
    """Of a header that tells of proxies on the way, not of the caller."""
    message = f'sidecars set, remove or rewrite the header "{short(name)}", so a match on it proves nothing'
    return Objection("header.managed", message, f'a request with "{short(name)}"', "match a different header")


def too_complex(refusal: RegexRefusedError, pattern: str) -> Objection:
    """Of a pattern that was not decided."""
    message = f'pattern "{short(pattern)}" cannot be analysed: {refusal.reason}'
    return Objection(refusal.code, message, f'a request that matches "{short(pattern)}"', "use a simpler pattern")

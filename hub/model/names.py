"""Names, provenance and identities: what everything else is told by."""

from __future__ import annotations

import re
from enum import StrEnum
from hashlib import sha256
from typing import Literal

from msgspec import Struct


class ObjectRef(Struct, frozen=True, order=True, gc=False):
    """Names one object of any family: API group, kind, namespace, name (parts that do not apply are empty)."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Kind/namespace/name`, the form that answers and plans print."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


class Origin(Struct, frozen=True, order=True, gc=False, omit_defaults=True):
    """Where an object was read: source name, file (relative to the source; empty for a cluster), 1-based line."""

    source: str = ""
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """`file:line` as one can open it from where the configuration is; empty for what came from nowhere."""
        if not self.file or self.source.rpartition("/")[2] == self.file:  # a source may be that one file itself
            at = self.source
        else:
            at = self.file if self.source in {"", "."} else f"{self.source.rstrip('/')}/{self.file}"
        return f"{at}:{self.line}" if at and self.line else at


class Document(Struct, frozen=True, gc=False):
    """One raw parsed object of a source: JSON-like values only (dict, list, str, int, float, bool, None)."""

    value: object
    origin: Origin = Origin()
    index: int = 0  # 0-based position of the YAML document in its file


class Severity(StrEnum):
    """How much a `Problem` takes away: `error` voids something that was asked for, `warning` does not."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Struct, frozen=True, order=True, gc=False):
    """What is wrong with one input object.

    `code` is stable and machine readable (`group.word-word`); `field` is a path such as `spec.rules[0].name`;
    `message` says what is wrong, `remedy` what to write instead.
    """

    code: str
    ref: ObjectRef
    field: str
    message: str
    remedy: str
    origin: Origin = Origin()
    severity: Severity = Severity.ERROR


class Identity(Struct, frozen=True, order=True, gc=False):
    """A workload identity: one service account of one namespace in one trust domain."""

    trust_domain: str
    namespace: str
    service_account: str

    @property
    def spiffe(self) -> str:
        """The SPIFFE id, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service_account}"


def identity_of(spiffe: str) -> Identity | None:
    """The `Identity` that a SPIFFE id of the form `spiffe://td/ns/N/sa/S` names, else None."""
    scheme, _, rest = spiffe.partition("://")
    parts = rest.split("/")
    if scheme != "spiffe" or len(parts) != 5 or parts[1] != "ns" or parts[3] != "sa" or not all(parts):
        return None
    return Identity(parts[0], parts[2], parts[4])


MANAGED_BY = "app.kubernetes.io/managed-by"
"""The label, of value `smihub`, of every Kubernetes object that smihub writes."""
SERVICE_ACCOUNT_LABEL = "smihub.io/sa"
"""The label by which a mesh that selects Pods by labels finds those of a service account."""
_LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def is_label_value(text: str) -> bool:
    """Whether Kubernetes takes the text as the value of a label; of an empty one this says no."""
    return _LABEL_VALUE.fullmatch(text) is not None


def service_account_label(account: str) -> str:
    """The value of `SERVICE_ACCOUNT_LABEL` on Pods of this account: its name, or a digest where it is too long for a label.

    Names that begin with `h.` are always written as a digest, so no two accounts share a value.
    """
    if is_label_value(account) and not account.startswith("h."):
        return account
    return f"h.{sha256(account.encode()).hexdigest()[:40]}"


def printable(text: str) -> str:
    """The text with all that nobody can see, or that would move the cursor, break or turn the line, as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class Reading(Struct, frozen=True, gc=False):
    """The two switches of our reading of SMI (docs/smi.md).

    `path_regex="prefix"` appends `.*` to a pathRegex that does not end in an end anchor.
    `root_backend="endpoints"` lets a TrafficSplit name its root as a backend (the root's own endpoints); "reject" voids it.
    """

    path_regex: Literal["full", "prefix"] = "full"
    root_backend: Literal["reject", "endpoints"] = "endpoints"

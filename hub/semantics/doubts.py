"""What objects that cannot be read may be: Services that declare protocols, and workloads that receive.

Such an object counts for nothing, and yet nobody can say what it would have declared. So much of it is read as says how far
that may reach: a Service's selector, a workload's account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from hub.semantics.envelope import HUB, KNATIVE, VERSIONS
from hub.semantics.kubernetes import TEMPLATE_KINDS
from hub.semantics.labels import Labels, SelectorIndex
from hub.semantics.names import is_label, is_subdomain
from hub.semantics.types import Account, Manifest

_WORKLOADS = frozenset({"Pod", "Workload", *TEMPLATE_KINDS})


class UnreadableObject(Struct, frozen=True):
    """A broken Service or workload. `namespace` None is any; `selector` and `account` None are not known, hence any."""

    namespace: str | None
    is_service: bool
    selector: Labels | None = None
    account: str | None = None


def doubt_of(found: Manifest) -> UnreadableObject | None:
    """Tell what a broken object may be, None if no object of its kind says what a port speaks."""
    namespace = found.namespace if is_label(found.namespace) else None
    legible = namespace is not None and found.version in VERSIONS[found.group, found.kind]
    if (found.group, found.kind) == ("", "Service"):
        return UnreadableObject(
            namespace, is_service=True, selector=_selector(found.body.get("spec")) if legible else None
        )
    if found.kind in _WORKLOADS or found.group == KNATIVE:
        return UnreadableObject(namespace, is_service=False, account=_account(found) if legible else None)
    return None


def _selector(spec: object) -> Labels | None:
    """Read a selector, empty where none is written; None where what is written is none."""
    written = spec.get("selector") if isinstance(spec, dict) else spec
    if written is None:
        return frozenset()
    if not isinstance(written, dict):
        return None
    if any(not isinstance(text, str) for pair in written.items() for text in pair):
        return None
    return frozenset(written.items())


def _account(found: Manifest) -> str | None:
    """Read the account that something runs under, None where what is written names none."""
    body: Mapping[str, object] = found.body
    if found.kind == "Pod":
        return _account_of_pod(body.get("spec"))
    spec = body.get("spec")
    if found.group == HUB:
        return _valid(spec.get("serviceAccount") if isinstance(spec, dict) else None)
    for key in ("jobTemplate", "spec", "template") if found.kind == "CronJob" else ("template",):
        spec = spec.get(key) if isinstance(spec, dict) else None
    return _account_of_pod(spec.get("spec")) if isinstance(spec, dict) else None


def _account_of_pod(spec: object) -> str | None:
    if spec is None:
        return "default"
    if not isinstance(spec, dict):
        return None
    named, legacy = spec.get("serviceAccountName"), spec.get("serviceAccount")
    if any(not isinstance(text, str | None) for text in (named, legacy)):
        return None
    return _valid(named or legacy or "default")


def _valid(account: object) -> str | None:
    return account if isinstance(account, str) and is_subdomain(account) else None


class UnreadableObjects:
    """Answers whether a broken Service may select a workload, and whether a broken workload may run under an account."""

    def __init__(self, doubts: Iterable[UnreadableObject]) -> None:
        listed = tuple(doubts)
        services = [one for one in listed if one.is_service]
        workloads = [one for one in listed if not one.is_service]
        self._selectors = SelectorIndex(
            (one.namespace, one.selector, True)
            for one in services
            if one.namespace is not None and one.selector is not None
        )
        self._selecting = {one.namespace for one in services if one.selector is None}
        self._running = {(one.namespace, one.account) for one in workloads}

    def may_select(self, namespace: str, labels: Labels) -> bool:
        """Tell whether a broken Service may select a workload with these labels."""
        # An unknown selector may be any, an unknown namespace too:
        # doubt must reach at least as far as the object could have.
        if self._selecting & {namespace, None}:
            return True
        return any(self._selectors.satisfied_by(namespace, labels))

    def may_run_under(self, account: Account) -> bool:
        """Tell whether a broken workload may run under this account."""
        namespace, name = account
        return bool(self._running & {(None, None), (namespace, None), (namespace, name)})

"""Who is who: which subjects of a TrafficTarget a caller or a receiver satisfies.

A subject that can be satisfied is named by a key: ("ServiceAccount", namespace, name) or ("IdentityBinding",
namespace, name). A caller or receiver has a set of keys; a TrafficTarget concerns it if one of them is named there.
Sources: traffic-access/v1alpha4, "IdentityBinding"; SPIFFE-ID, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hub.semantics.envelope import ACCESS
from hub.semantics.labels import Labels, SelectorIndex
from hub.semantics.names import account_of_spiffe, is_label, is_subdomain
from hub.semantics.types import Account, Binding, TargetSubject

SubjectKey = tuple[str, str, str]

_GROUPS: Mapping[str, frozenset[str | None]] = {
    "ServiceAccount": frozenset({None, "", "core"}),
    "IdentityBinding": frozenset({None, ACCESS}),
}


def key_of(subject: TargetSubject) -> SubjectKey | None:
    """Return the key that a subject names, None when it can match nobody: unknown kind or group, invalid name."""
    if subject.group not in _GROUPS.get(subject.kind, frozenset()):
        return None
    if not is_label(subject.namespace) or not is_subdomain(subject.name):
        return None
    return subject.kind, subject.namespace, subject.name


class Bindings:
    """Answers which IdentityBindings an identity, a SPIFFE id or labels satisfy."""

    def __init__(self, bindings: Iterable[Binding], trust_domain: str) -> None:
        self._trust_domain = trust_domain
        self._by_account: dict[Account, set[SubjectKey]] = {}
        self._by_spiffe: dict[str, set[SubjectKey]] = {}
        listed = tuple(bindings)
        self._by_labels = SelectorIndex(
            (binding.namespace, binding.labels, _key(binding)) for binding in listed if binding.labels is not None
        )
        for binding in listed:
            self._add(binding)

    def _add(self, binding: Binding) -> None:
        key = _key(binding)
        if binding.service_account is not None and is_subdomain(binding.service_account):
            self._by_account.setdefault((binding.namespace, binding.service_account), set()).add(key)
        for spiffe in binding.spiffe:
            account = account_of_spiffe(spiffe, self._trust_domain)
            if account is None:
                self._by_spiffe.setdefault(spiffe, set()).add(key)
            elif account[0] == binding.namespace and is_subdomain(account[1]):  # it may speak for no other namespace
                self._by_account.setdefault(account, set()).add(key)

    def of_account(self, account: Account) -> frozenset[SubjectKey]:
        """Return the keys that an identity satisfies by itself."""
        return frozenset({("ServiceAccount", *account)} | self._by_account.get(account, set()))

    def of_labels(self, namespace: str, labels: Labels) -> frozenset[SubjectKey]:
        """Return the keys that a workload of this namespace satisfies by its labels."""
        return frozenset(self._by_labels.satisfied_by(namespace, labels))

    def of_spiffe(self, spiffe: str) -> frozenset[SubjectKey]:
        """Return the keys that a certificate with this SPIFFE id satisfies."""
        account = account_of_spiffe(spiffe, self._trust_domain)
        if account is None:
            return frozenset(self._by_spiffe.get(spiffe, ()))
        if not is_label(account[0]) or not is_subdomain(account[1]):
            return frozenset()
        return self.of_account(account)


def _key(binding: Binding) -> SubjectKey:
    return "IdentityBinding", binding.namespace, binding.name

"""AuthorizationPolicies and PeerAuthentications: which of them stand before a workload, and what they decide.

Source: https://istio.io/latest/docs/reference/config/security/authorization-policy/ and
https://istio.io/latest/docs/reference/config/security/peer_authentication/; observed on Istio 1.31 with Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from adapters.istio.evaluate.match import Call, Predicate
from adapters.istio.evaluate.rule import Action, CompiledRule, Setting, rule_of
from adapters.istio.evaluate.shadow import ShadowFilter, results, shadows_of
from hub.api import Fields, NativeManifest, UnmodelledError

ROOT = "istio-system"
"""The root namespace: policies there stand before the workloads of every namespace."""

STRICT, PERMISSIVE, DISABLE = "STRICT", "PERMISSIVE", "DISABLE"
_MODES = frozenset((STRICT, PERMISSIVE, DISABLE, "UNSET", ""))
DRY_RUN = "istio.io/dry-run"
"""The annotation that takes a policy out of force (https://istio.io/latest/docs/reference/config/annotations/)."""
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
Labels = frozenset[tuple[str, str]]


class Policy(Struct, frozen=True):
    """An AuthorizationPolicy that is in force."""

    label: str
    namespace: str
    selector: Labels
    action: Action
    rules: tuple[CompiledRule, ...]


class Decision(Struct, frozen=True):
    """Whether a filter chain lets a call pass, and the policies that said so (empty: there is none)."""

    passes: bool
    by: tuple[str, ...] = ()


Labelled = tuple[str, tuple[Predicate, ...]]


class Chain(Struct, frozen=True):
    """The policies of one filter chain: no DENY may match, and one ALLOW must, if there is any; and filters before them."""

    deny: tuple[Labelled, ...]
    allow: tuple[Labelled, ...]
    shadows: tuple[ShadowFilter, ...] = ()

    def decide(self, call: Call) -> Decision:
        """The decision on one call, with every policy that made it."""
        if self.shadows:
            call = replace(call, results=results(self.shadows, call))
        # DENY before ALLOW (Istio, "Authorization Policy", evaluation
        # order); CUSTOM, which comes first, is not modelled.
        denying = _matching(self.deny, call)
        if denying:
            return Decision(False, denying)
        allowing = _matching(self.allow, call)
        # Without any ALLOW policy a workload is open. With one whose rules never match it is closed.
        if allowing or not self.allow:
            return Decision(True, allowing)
        return Decision(False, tuple(label for label, _ in self.allow))


def _matching(policies: Iterable[Labelled], call: Call) -> tuple[str, ...]:
    return tuple(label for label, rules in policies if any(rule(call) for rule in rules))


class PeerPolicy(Struct, frozen=True):
    """A PeerAuthentication and the mode that it asks for ("": that of the next wider one)."""

    label: str
    namespace: str
    selector: Labels
    mode: str


class Gate(Struct, frozen=True):
    """What stands before a workload: how it speaks TLS (and who said so), and its two filter chains."""

    mode: str
    peer: tuple[str, ...]
    http: Chain
    tcp: Chain


class Gates:
    """All policies, asked by namespace and labels; what was found is kept."""

    def __init__(self, manifests: Iterable[NativeManifest], trust_domain: str) -> None:
        everything = sorted(manifests, key=lambda one: one.label)
        policies = [policy_of(one, trust_domain) for one in everything if one.kind == "AuthorizationPolicy"]
        peers = [peer_of(one) for one in everything if one.kind == "PeerAuthentication"]
        self._policies = _by_place([one for one in policies if one is not None])
        self._peers = _by_place(peers)
        filters = [each for one in everything if one.kind == "EnvoyFilter" for each in shadows_of(one)]
        self._shadows = _by_place(filters)
        self._found: dict[tuple[str, Labels], Gate] = {}

    def before(self, namespace: str, labels: Labels) -> Gate:
        """The gate of workloads with these labels in this namespace."""
        key = (namespace, labels)
        if key not in self._found:
            self._found[key] = self._gate(namespace, labels)
        return self._found[key]

    def _gate(self, namespace: str, labels: Labels) -> Gate:
        policies = sorted(_selected(self._policies, namespace, labels), key=lambda one: one.label)
        mode, peer = _mode(list(_selected(self._peers, namespace, labels)))
        shadows = self._shadows_before(namespace, labels)
        return Gate(mode, peer, _chain(policies, _over_http, shadows), _chain(policies, _over_tcp))

    def _shadows_before(self, namespace: str, labels: Labels) -> tuple[ShadowFilter, ...]:
        """Filters in HTTP chains; of two that write one result it depends on their order which one counts."""
        found = tuple(sorted(_selected(self._shadows, namespace, labels), key=lambda one: one.label))
        by_key = {one.key: one for one in found}
        for one in found:
            if by_key[one.key] is not one:
                raise UnmodelledError(f'{one.label} and {by_key[one.key].label} both write "{one.key}"')
        return found


def _chain(
    policies: Sequence[Policy], side: Callable[[Policy], Labelled], shadows: tuple[ShadowFilter, ...] = ()
) -> Chain:
    deny, allow = (tuple(side(one) for one in policies if one.action == action) for action in ("DENY", "ALLOW"))
    return Chain(deny, allow, shadows)


def _over_http(policy: Policy) -> Labelled:
    return policy.label, tuple(rule.http for rule in policy.rules if rule.http is not None)


def _over_tcp(policy: Policy) -> Labelled:
    return policy.label, tuple(rule.tcp for rule in policy.rules if rule.tcp is not None)


# --------------------------------------------------------------------------- who is selected

SelectorKey = tuple[str, tuple[str, str] | None]
"""A namespace and one label of a selector, None for those that select all workloads."""
AnyPolicy = TypeVar("AnyPolicy", Policy, PeerPolicy, ShadowFilter)


def _by_place(policies: Iterable[AnyPolicy]) -> dict[SelectorKey, list[AnyPolicy]]:
    found: dict[SelectorKey, list[AnyPolicy]] = {}
    for policy in policies:
        found.setdefault((policy.namespace, min(policy.selector, default=None)), []).append(policy)
    return found


def _selected(policies: Mapping[SelectorKey, list[AnyPolicy]], namespace: str, labels: Labels) -> Iterator[AnyPolicy]:
    for where in dict.fromkeys((namespace, ROOT)):
        # Indexed by one label of the selector: asking every policy for every workload would be their product.
        for label in (None, *labels):
            yield from (one for one in policies.get((where, label), ()) if one.selector <= labels)


def _mode(peers: Sequence[PeerPolicy]) -> tuple[str, tuple[str, ...]]:
    """The mode of the narrowest policy that has one: by selector, by namespace, of the mesh; else PERMISSIVE."""
    layers = (
        [one for one in peers if one.selector],
        [one for one in peers if not one.selector and one.namespace != ROOT],
        [one for one in peers if not one.selector and one.namespace == ROOT],
    )
    for layer in layers:
        if len(layer) > 1:
            raise UnmodelledError(
                f"{layer[0].label} and {layer[1].label}: the older one wins, and ages are not modelled"
            )
        if layer and layer[0].mode:
            return layer[0].mode, (layer[0].label,)
    return PERMISSIVE, ()


# --------------------------------------------------------------------------- compiling


def policy_of(manifest: NativeManifest, trust_domain: str) -> Policy | None:
    """Compile an AuthorizationPolicy; None where a dry run takes it out of force."""
    with Fields(manifest.spec, manifest.label) as left:
        selector, action, rules = _selector(left), left.text("action") or "ALLOW", left.items("rules")
    if action not in ("ALLOW", "DENY"):
        raise left.unmodelled(f'the action "{action}"')
    setting = Setting(manifest.label, manifest.namespace, "DENY" if action == "DENY" else "ALLOW", trust_domain)
    compiled = tuple(rule_of(rule, setting) for rule in rules)
    # After compiling: a dry run that is not modelled is reported now, not on the day when it is put in force.
    if dict(manifest.annotations).get(DRY_RUN) in _TRUE:
        return None
    return Policy(manifest.label, manifest.namespace, selector, setting.action, compiled)


def peer_of(manifest: NativeManifest) -> PeerPolicy:
    """Compile a PeerAuthentication."""
    with Fields(manifest.spec, manifest.label) as left:
        selector, mtls = _selector(left), left.pairs("mtls")
    with Fields(mtls, manifest.label) as inner:
        mode = inner.text("mode")
    if mode not in _MODES:
        raise left.unmodelled(f'the mode "{mode}"')
    if selector and manifest.namespace == ROOT:
        raise left.unmodelled("a selector in the root namespace")
    return PeerPolicy(manifest.label, manifest.namespace, selector, "" if mode == "UNSET" else mode)


def _selector(left: Fields) -> Labels:
    """The labels that a workload must carry; none selects every workload."""
    with Fields(left.pairs("selector"), left.where) as inner:
        labels = inner.labels("matchLabels")
    if any("*" in text for pair in labels for text in pair):
        raise left.unmodelled("a selector with a star")
    return labels

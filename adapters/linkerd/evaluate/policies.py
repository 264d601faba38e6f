"""AuthorizationPolicies and the authentications that they require: who is let in where.

All that a policy requires must hold, and any one policy is enough. An empty list requires nothing. A policy that requires an
authentication that does not exist, or two of a kind, is ignored. One that targets a namespace counts for all of its Servers.
A NetworkAuthentication admits whoever calls from its networks; a caller whose address is not known may call from any.
Source: https://linkerd.io/2-edge/reference/authorization-policy/; empty lists, missing references and unions were observed on
Linkerd edge-26.8. Objects that the index cannot read keep in effect what stood there before, so they raise UnmodelledError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from msgspec import Struct

from adapters.linkerd.config import GATEWAY, POLICY
from adapters.linkerd.evaluate.callers import Caller, IdentitySet, account_name, identities_of
from hub.api import Fields, NativeManifest, UnmodelledError

_CORE = frozenset(("", "core"))
TargetKey = tuple[str, str, str, str]
"""Namespace, kind, group and name of what a policy targets; a namespace has neither group nor name."""
_Key = tuple[str, str, str]


Network = IPv4Network | IPv6Network


class Networks(Struct, frozen=True):
    """Some addresses: each of these networks, without those that it excepts. None at all: which ones is not known."""

    listed: tuple[tuple[Network, tuple[Network, ...]], ...] = ()

    @property
    def everywhere(self) -> bool:
        """Whether every address is meant."""
        whole = (one.version for one, excepted in self.listed if one.prefixlen == 0 and not excepted)
        return len(set(whole)) > 1

    def may_hold(self, addresses: Iterable[str]) -> bool:
        """Whether one of these addresses is meant."""
        return any(map(self._holds, addresses))

    def _holds(self, text: str) -> bool:
        address = ip_address(text)
        return any(address in one and not any(address in each for each in but) for one, but in self.listed)


class Admission(Struct, frozen=True):
    """Who is let in, and the object that says so; None admits everybody. `networks`: only from some addresses."""

    label: str
    identities: IdentitySet | None
    networks: Networks | None = None

    def suits(self, caller: Caller) -> bool:
        """Whether the caller is let in, from the right address if one is asked for."""
        return self.identities is None or self.identities.has(caller)


class Admitted(Struct, frozen=True):
    """The objects that let a caller in (none: nobody does); `opened`: they ask for nothing but an address."""

    by: tuple[str, ...] = ()
    opened: bool = False


def admitted(admissions: Iterable[Admission], caller: Caller) -> Admitted:
    """What lets a caller in. Raises UnmodelledError where only its address would tell, and the networks are not known."""
    suiting = [one for one in admissions if one.suits(caller)]
    sure = [one for one in suiting if one.networks is None]
    if sure or not suiting:
        return Admitted(_labels(sure))
    unknown = next((one.label for one in suiting if one.networks is not None and not one.networks.listed), None)
    if unknown is not None:
        raise UnmodelledError(f"{unknown}: it depends on the address of the caller, which is not modelled")
    near = [
        one for one in suiting if one.networks and (not caller.addresses or one.networks.may_hold(caller.addresses))
    ]
    return Admitted(_labels(near), opened=any(one.identities is None for one in near))


def _labels(admissions: Iterable[Admission]) -> tuple[str, ...]:
    return tuple(sorted({one.label for one in admissions}))


class Policies:
    """All AuthorizationPolicies, asked by target."""

    def __init__(self, manifests: Sequence[NativeManifest], trust_domain: str) -> None:
        self._domain = trust_domain
        self._identities = {_key(one): self._mesh_tls(one) for one in manifests if one.kind == "MeshTLSAuthentication"}
        self._networks = {_key(one): _networks(one) for one in manifests if one.kind == "NetworkAuthentication"}
        self._found: dict[TargetKey, list[Admission]] = {}
        for manifest in manifests:
            if manifest.kind == "AuthorizationPolicy":
                self._add(manifest)

    def on_server(self, namespace: str, name: str) -> tuple[Admission, ...]:
        """Those that count for a Server, and so for each of its routes."""
        own = self._found.get((namespace, "Server", POLICY, name), ())
        return (*own, *self._found.get((namespace, "Namespace", "", ""), ()))

    def on_route(self, namespace: str, group: str, name: str) -> tuple[Admission, ...]:
        """Those that count for an HTTPRoute alone."""
        return tuple(self._found.get((namespace, "HTTPRoute", group, name), ()))

    # ----------------------------------------------------------------------- compiling

    def _add(self, manifest: NativeManifest) -> None:
        with Fields(manifest.spec, manifest.label) as left:
            target, refs = _target(left.inner("targetRef"), manifest), left.take("requiredAuthenticationRefs")
        if not isinstance(refs, list):
            raise left.unmodelled("a policy without a list of requiredAuthenticationRefs")
        admission = self._admission(refs, manifest)
        if admission is not None:
            self._found.setdefault(target, []).append(admission)

    def _admission(self, refs: Sequence[Any], manifest: NativeManifest) -> Admission | None:
        """What all required authentications together admit; None where the policy is ignored."""
        identities: list[IdentitySet | None] = []
        networks: list[Networks | None] = []
        for ref in refs:
            kind, key = _reference(Fields(ref, manifest.label), manifest)
            if kind == "NetworkAuthentication":
                networks.append(self._networks.get(key))
            elif kind == "ServiceAccount":
                identities.append(IdentitySet(frozenset((account_name(key[1], key[2], self._domain),))))
            else:
                identities.append(self._identities.get(key))
        if None in identities or None in networks or len(identities) > 1 or len(networks) > 1:
            return None
        where = networks[0] if networks else None
        return Admission(manifest.label, identities[0] if identities else None, None if _is_anywhere(where) else where)

    def _mesh_tls(self, manifest: NativeManifest) -> IdentitySet:
        with Fields(manifest.spec, manifest.label) as left:
            texts, refs = left.texts("identities"), left.items("identityRefs")
        if bool(texts) == bool(refs):
            raise left.unmodelled('not exactly one of "identities" and "identityRefs"')
        named = tuple(self._identity(Fields(ref, manifest.label), manifest) for ref in refs)
        return identities_of(texts or named, self._domain, manifest.label)

    def _identity(self, fields: Fields, manifest: NativeManifest) -> str:
        """The identity, or the suffix, that an `identityRef` stands for."""
        with fields as left:
            group, kind, name, namespace = (left.text(part) for part in ("group", "kind", "name", "namespace"))
        if group not in _CORE or not name or kind not in {"ServiceAccount", "Namespace"}:
            raise left.unmodelled(f'an identity of the kind "{kind}"')
        if kind == "Namespace":
            return account_name(name, "*", self._domain)
        return account_name(namespace or manifest.namespace, name, self._domain)


def _target(fields: Fields, manifest: NativeManifest) -> TargetKey:
    with fields as left:
        group, kind, name = left.text("group"), left.text("kind"), left.text("name")
    if kind == "Namespace" and group in _CORE:
        return manifest.namespace, kind, "", ""  # whatever its name: a policy counts in its own namespace alone
    groups: Mapping[str, tuple[str, ...]] = {"Server": (POLICY,), "HTTPRoute": (POLICY, GATEWAY)}
    if group not in groups.get(kind, ()) or not name:
        raise left.unmodelled(f'the target "{kind}" of the group "{group}"')
    return manifest.namespace, kind, group, name


def _reference(fields: Fields, manifest: NativeManifest) -> tuple[str, _Key]:
    """The kind of an authentication, and by which key it is found."""
    with fields as left:
        group, kind, name, namespace = (left.text(part) for part in ("group", "kind", "name", "namespace"))
    known = kind in {"MeshTLSAuthentication", "NetworkAuthentication"} and group == POLICY
    if not name or not (known or (kind == "ServiceAccount" and group in _CORE)):
        raise left.unmodelled(f'a required "{kind}" of the group "{group}"')
    return kind, (kind, namespace or manifest.namespace, name)


def _key(manifest: NativeManifest) -> _Key:
    return manifest.kind, manifest.namespace, manifest.name


def _is_anywhere(networks: Networks | None) -> bool:
    return networks is None or networks.everywhere


def _networks(manifest: NativeManifest) -> Networks:
    """The addresses that are meant."""
    with Fields(manifest.spec, manifest.label) as left:
        entries = left.items("networks")
    found = []
    for entry in entries:
        with Fields(entry, manifest.label) as inner:
            cidr, excepted = inner.text("cidr"), inner.texts("except")
        found.append((_network(cidr, inner), tuple(_network(one, inner) for one in excepted)))
    if not found:
        raise left.unmodelled("a NetworkAuthentication without networks")
    return Networks(tuple(found))


def _network(text: str, left: Fields) -> Network:
    """A network, or a single address (linkerd2, policy-controller/k8s/api/src/policy/network_authentication.rs)."""
    try:
        return ip_network(text)
    except ValueError:
        raise left.unmodelled(f'the network "{text}"') from None

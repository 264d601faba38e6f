"""Who calls, as a Linkerd proxy knows it, and the identities that objects name.

A proxy's certificate has one name, `<account>.<namespace>.serviceaccount.identity.<control plane>.<trust domain>`; workloads
outside of Kubernetes have a SPIFFE id instead, which only an exact identity matches. The namespace of the control plane is taken
to be `linkerd`, where it is installed by default. A caller that has a certificate of another trust domain is refused with it.
Source: https://linkerd.io/2-edge/features/automatic-mtls/, https://linkerd.io/2-edge/reference/authorization-policy/; letters,
suffixes and namespaces were observed on Linkerd edge-26.8.
"""

from __future__ import annotations

import re

from msgspec import Struct

from hub.api import Identity, UnmodelledError, identity_of

CONTROL_PLANE = "linkerd"
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class Caller(Struct, frozen=True):
    """A caller: the DNS name or the URI of its certificate ("": it has none), its namespace, and whether it is foreign.

    `addresses` are those from which it may call (none: not known).
    """

    name: str = ""
    uri: str = ""
    namespace: str = ""
    foreign: bool = False
    addresses: tuple[str, ...] = ()


NOBODY = Caller()


class IdentitySet(Struct, frozen=True):
    """Identities that an object names: exact ones, and suffixes of names ("" is every name)."""

    exact: frozenset[str]
    suffixes: tuple[str, ...] = ()

    def has(self, caller: Caller) -> bool:
        """Whether it is one of them; a SPIFFE id has no suffixes."""
        if caller.uri or not caller.name:
            return bool(caller.uri) and caller.uri in self.exact
        return caller.name in self.exact or caller.name.endswith(self.suffixes)


ANY_MESHED = IdentitySet(frozenset(), ("",))


def account_name(namespace: str, account: str, trust_domain: str) -> str:
    """The name in the certificate of a service account."""
    return f"{account}.{namespace}.serviceaccount.identity.{CONTROL_PLANE}.{trust_domain}"


def caller_of_account(namespace: str, account: str, trust_domain: str) -> Caller:
    """The caller that runs under an account; names that Kubernetes does not take are nobody's."""
    if _NAMESPACE.fullmatch(namespace) is None or _ACCOUNT.fullmatch(account) is None:
        return NOBODY
    return Caller(account_name(namespace, account, trust_domain), namespace=namespace)


def caller_of_spiffe(spiffe: str, trust_domain: str) -> Caller:
    """The caller with a SPIFFE id: `/ns/N/sa/S` in our trust domain is that account."""
    if not spiffe.startswith(f"spiffe://{trust_domain}/"):
        return Caller(uri=spiffe or "?", foreign=True)
    identity: Identity | None = identity_of(spiffe)
    if identity is None:
        return Caller(uri=spiffe)
    return caller_of_account(identity.namespace, identity.service_account, trust_domain)


def identities_of(texts: tuple[str, ...], trust_domain: str, where: str) -> IdentitySet:
    """What `identities` of a MeshTLSAuthentication name: exact texts, `*`, and suffixes behind `*.`."""
    for text in texts:
        _check_control_plane(text, trust_domain, where)
    suffixes = {text[1:] for text in texts if text == "*" or text.startswith("*.")}
    exact = {text for text in texts if text != "*" and not text.startswith("*.")}
    return IdentitySet(frozenset(exact), tuple(sorted(suffixes)))


def _check_control_plane(text: str, trust_domain: str, where: str) -> None:
    """An identity of our trust domain under another control plane may be that of a caller that we know by another name."""
    _, identity, rest = text.partition(".identity.")
    if identity and rest != f"{CONTROL_PLANE}.{trust_domain}" and rest.endswith(f".{trust_domain}"):
        raise UnmodelledError(
            f'{where}: the identity "{text}" of another control plane than "{CONTROL_PLANE}" is not modelled'
        )

"""Which Consul service an account or a Service is: one function for both, since a Consul service is its own identity.

Source: https://developer.hashicorp.com/consul/docs/security/acl/acl-rules (names of service identities: lower-case letters, digits,
`-` and `_`). Observed on Consul 1.22: a dot in a source is any character in the pattern that Envoy compares certificates with.
"""

from __future__ import annotations

import re

from msgspec import Struct

from hub.api import ObjectRef

GROUP = "consul.hashicorp.com"
"""The API group of consul-k8s' custom resources; config entries have no group."""
INSERT = "--smihub-"
"""What the name of a virtual service of ours contains, and the name of no Service or account may: a split is one."""
REST = "rest"
"""The virtual service of the split that has no condition."""
EVERY = "*"
"""Every service, as a source or as a destination."""

EVERY_RESOURCE = f"every{INSERT}service"
"""The custom resource of the intention whose destination is every service."""

_LABEL = re.compile(r"(?=.{1,63}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_ACCOUNT = re.compile(r"(?=.{1,200}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_TEMPLATE = re.compile(r"(?:(?P<head>[a-z0-9_-]*)\{namespace\}(?P<between>[a-z0-9_-]*[-_][a-z0-9_-]*))?\{name\}")
_SERVICE = re.compile(r"(?=.{1,200}\Z)[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?")
KINDS = {
    "service-defaults": "ServiceDefaults",
    "service-intentions": "ServiceIntentions",
    "service-resolver": "ServiceResolver",
    "service-router": "ServiceRouter",
    "service-splitter": "ServiceSplitter",
}
"""The kinds of config entries that smihub writes, and of the custom resources that become such entries."""


class Names(Struct, frozen=True):
    """A template of names, such as `{namespace}_{name}`; without `{namespace}` only the one `namespace` has names.

    Raises ValueError for a template that could give two objects one name.
    """

    template: str
    namespace: str = ""

    def __post_init__(self) -> None:
        found = _TEMPLATE.fullmatch(self.template)
        if found is None:
            raise ValueError(
                f'"names" is "{self.template[:80]}"; expected such as "{{namespace}}_{{name}}" or "{{name}}", with "-" or "_" in between'
            )
        if not _SERVICE.fullmatch(self.template.format(namespace="a", name="a")):
            raise ValueError(
                f'"names" is "{self.template[:80]}", and names of Consul services begin with a letter or a digit'
            )
        if "{namespace}" not in self.template and not _LABEL.fullmatch(self.namespace):
            raise ValueError('"names" has no {namespace}; add "namespace", the one whose services are in Consul')
        if "{namespace}" in self.template and self.namespace:
            raise ValueError('"namespace" is for "names" without {namespace}; remove it')

    def service(self, namespace: str, name: str) -> str | None:
        """The Consul service of an account, or of a Service, of this name; None: there is none that is no other's as well."""
        if not _LABEL.fullmatch(namespace) or not _ACCOUNT.fullmatch(name) or INSERT in f"{namespace}{name}":
            return None
        text = self.template.format(namespace=namespace, name=name)
        return text if _SERVICE.fullmatch(text) and self.owner(text) == (namespace, name) else None

    def owner(self, service: str) -> tuple[str, str] | None:
        """The namespace and name of which this is the Consul service; None: of none."""
        found = _TEMPLATE.fullmatch(self.template)
        assert found is not None  # noqa: S101 - for mypy; __post_init__ has seen to it
        head, between = found["head"] or "", found["between"]
        if not service.startswith(head) or INSERT in service:
            return None
        # The first separator ends the namespace: a name in which it would end too early has no service.
        namespace, _, name = service.removeprefix(head).partition(between) if between else (self.namespace, "", service)
        return (namespace, name) if _LABEL.fullmatch(namespace) and _ACCOUNT.fullmatch(name) else None


def entry(kind: str, name: str) -> ObjectRef:
    """The ref of a config entry."""
    return ObjectRef("", kind, "", name)


def resource(kind: str, namespace: str, name: str) -> ObjectRef:
    """The ref of the custom resource that becomes a config entry of this kind."""
    return ObjectRef(GROUP, KINDS[kind], namespace, name)

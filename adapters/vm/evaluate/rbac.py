"""Envoy's role based access control: policies over principals and permissions.

Source: Envoy `config.rbac.v3` and the filters `http.rbac.v3`, `network.rbac.v3`; that unset rules are open, that a
deny without policies is open and that a principal name falls back to the subject were observed on Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from adapters.vm import wire
from adapters.vm.evaluate.fields import Fields, extension
from adapters.vm.evaluate.match import Call, Predicate, header, string, url_path
from hub.api import UnmodelledError

ALLOW, DENY, LOG = 0, 1, 2
_MTLS = "envoy.extensions.rbac.principals.mtls_authenticated.v3.Config"
_URI = 3
_SAN_TYPES = frozenset((1, 2, _URI, 4))


class Rule(Struct, frozen=True):
    """One policy: its name, whom it means, what they may do."""

    name: str
    principal: Predicate
    permission: Predicate


class Decision(Struct, frozen=True):
    """Whether a filter lets the call pass, and the policy that said so (empty: none did)."""

    passes: bool
    by: str = ""


class Engine(Struct, frozen=True):
    """A compiled RBAC message; `origin` is the resource it stands in."""

    origin: str
    action: int
    rules: tuple[Rule, ...]

    def decide(self, call: Call) -> Decision:
        """The first policy by name whose principal and permission both hold decides."""
        matched = next((rule for rule in self.rules if rule.principal(call) and rule.permission(call)), None)
        by = f"{self.origin}#{matched.name}" if matched else self.origin
        if self.action == LOG:
            return Decision(True, by)
        # ALLOW lets pass what some policy matched, DENY what none
        # did: an ALLOW without policies closes, such a DENY opens.
        return Decision((matched is None) == (self.action == DENY), by)


class Dialect(Struct, frozen=True):
    """Which rules a filter understands: network filters see no request."""

    http: bool


HTTP, NETWORK = Dialect(http=True), Dialect(http=False)


def engine_of(message: wire.Message, origin: str, dialect: Dialect) -> Engine | None:
    """The engine of a filter's configuration (`RBAC` of either filter); None where `rules` is unset: all pass."""
    with Fields(message, origin) as left:
        left.neutral("stat_prefix", "rules_stat_prefix", "track_per_rule_stats", "delay_deny", "enforcement_type")
        left.neutral("shadow_rules", "shadow_rules_stat_prefix")
        rules = left.take("rules")
    return None if rules is None else _engine(rules, origin, dialect)


def _engine(message: wire.Message, origin: str, dialect: Dialect) -> Engine:
    with Fields(message, origin) as left:
        action = left.take("action", ALLOW)
        policies = left.take("policies", {})
    if action not in (ALLOW, DENY, LOG):
        raise left.rejected(f"action {action}")
    compiler = _Compiler(dialect)
    rules = tuple(compiler.rule(name, policies[name], f"{origin}#{name}") for name in sorted(policies))
    return Engine(origin, action, rules)


class _Compiler(Struct, frozen=True):
    dialect: Dialect

    def rule(self, name: str, policy: wire.Message, where: str) -> Rule:
        with Fields(policy, where) as left:
            permissions, principals = left.take("permissions", ()), left.take("principals", ())
        if not permissions or not principals:
            raise left.rejected("a policy without permissions or principals")
        return Rule(
            name, self.principals(principals, where), _any([self.permission(one, where) for one in permissions])
        )

    def permission(self, message: wire.Message, where: str) -> Predicate:
        with Fields(message, where) as left:
            kind, value = left.only()
        if kind in ("and_rules", "or_rules"):
            return self._set(kind, value, "rules", (self.permission, where))
        if kind == "not_rule":
            return self._not_rule(value, where)
        if kind == "destination_port":
            return lambda call: call.connection.port == value
        return self._leaf(kind, value, where)

    def _not_rule(self, message: wire.Message, where: str) -> Predicate:
        inner = self.permission(message, where)
        # A guard is written as a negation ("not this odd path");
        # taking it as fulfilled tells its refusals from policy's.
        kinds = {name for name, _ in wire.fields(message)}
        return lambda call: not inner(call) or kinds <= call.free

    def principals(self, messages: Sequence[wire.Message], where: str) -> Predicate:
        compiled = [self.principal(one, where) for one in messages]
        return _any(compiled)

    def principal(self, message: wire.Message, where: str) -> Predicate:
        with Fields(message, where) as left:
            kind, value = left.only()
        if kind in ("and_ids", "or_ids"):
            return self._set(kind, value, "ids", (self.principal, where))
        if kind == "not_id":
            inner = self.principal(value, where)
            return lambda call: not inner(call)
        if kind == "authenticated":
            return _authenticated(value, where)
        if kind == "custom":
            return _custom(value, where)
        return self._leaf(kind, value, where)

    def _leaf(self, kind: str, value: Any, where: str) -> Predicate:
        if kind == "any" and value:
            return lambda _: True
        if self.dialect.http and kind == "header":
            return header(value, where)
        if self.dialect.http and kind == "url_path":
            return url_path(value, where)
        raise UnmodelledError(f'{where}: the meaning of "{kind}" is not modelled here')

    def _set(
        self, kind: str, message: wire.Message, name: str, inner: tuple[Callable[[wire.Message, str], Predicate], str]
    ) -> Predicate:
        compile_one, where = inner
        with Fields(message, where) as left:
            members = [compile_one(one, where) for one in left.take(name, ())]
        if not members:
            raise left.rejected(f'an empty "{kind}"')
        return _any(members) if kind.startswith("or") else _all(members)


def _any(members: Sequence[Predicate]) -> Predicate:
    if len(members) == 1:
        return members[0]
    return lambda call: any(member(call) for member in members)


def _all(members: Sequence[Predicate]) -> Predicate:
    if len(members) == 1:
        return members[0]
    return lambda call: all(member(call) for member in members)


def _authenticated(message: wire.Message, where: str) -> Predicate:
    """Without a name: any TLS connection, certificate or not. With one: URI SAN, then (DNS SAN, then) the subject."""
    with Fields(message, where) as left:
        name = left.take("principal_name")
    if name is None:
        return lambda call: call.connection.secure
    test = string(name, where)
    # The subject, the last name that Envoy tries, is empty in our certificates: a test that takes "" takes every peer.
    empty_subject = test(b"")
    return lambda call: (
        call.connection.secure and (empty_subject or (call.connection.uri is not None and test(call.connection.uri)))
    )


def _custom(message: wire.Message, where: str) -> Predicate:
    with Fields(message, where) as left:
        left.neutral("name")
        packed = left.take("typed_config")
    if packed is None:
        raise left.rejected("a custom principal without a configuration")
    kind, config = extension(packed, where)
    if kind != _MTLS:
        raise UnmodelledError(f'{where}: the principal "{kind}" is not modelled')
    with Fields(config, where) as inner:
        anyone = inner.flag("any_validated_client_certificate")
        matcher = inner.take("san_matcher")
    if not anyone and matcher is None:
        raise inner.rejected("an empty mtls configuration")
    if matcher is None:
        return lambda call: call.connection.validated
    test = san(matcher, where)
    return lambda call: call.connection.validated and call.connection.uri is not None and test(call.connection.uri)


def san(message: wire.Message, where: str) -> Callable[[bytes], bool]:
    """A SubjectAltNameMatcher, as a test of the one URI SAN that a mesh certificate has (other types match nothing)."""
    with Fields(message, where) as left:
        kind = left.take("san_type", 0)
        matcher = left.take("matcher")
    if kind not in _SAN_TYPES or matcher is None:
        raise left.rejected("a SAN matcher without a type or matcher")
    test = string(matcher, where)
    return test if kind == _URI else lambda _: False

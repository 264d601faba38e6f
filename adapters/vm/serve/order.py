"""What must be accepted before what: one table, as the waves of a plan are one.

| change  | of                      | waits while                                                        |
|---------|-------------------------|--------------------------------------------------------------------|
| update  | LDS, RDS                | a cluster that it needs is new to the client, and not accepted yet |
| update  | LDS                     | it would cut connections before their new policy is accepted       |
| removal | LDS                     | the listener that takes over its socket is not sent yet            |
| removal | EDS                     | the client may be using its cluster                                |
| removal | CDS, RDS, SDS, ECDS     | a client that came back has not told of all that it has            |
| removal | CDS, RDS, SDS, ECDS     | a listener or route that the client may be using refers to it      |

Everything else goes out at once, within one step by `PUSH_ORDER`. So an Envoy that answers slowly, or refuses something,
keeps what it has until what comes after it can work, and no connection meets a policy of before.
Source: Envoy, "xDS REST and gRPC protocol", section "Eventual consistency considerations".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal

from msgspec import Struct

from adapters.vm import names
from adapters.vm.resource import CDS, ECDS, EDS, LDS, RDS, SDS, Resource
from adapters.vm.serve.client import ClientState

_POLICY = (RDS, SDS, ECDS)
_REFERRED_TO = (CDS, RDS, SDS, ECDS)


class Change(Struct, frozen=True):
    """An update to this resource, or (None) the removal of a name.

    `sockets` are those that listeners which are not sent yet will take over.
    """

    type_url: str
    name: str
    resource: Resource | None = None
    sockets: Collection[str] = ()


class OrderRule(Struct, frozen=True):
    """One row of the table."""

    change: Literal["update", "removal"]
    types: tuple[str, ...]
    waits: Callable[[ClientState, Change], bool]


def update_waits(client: ClientState, type_url: str, item: Resource) -> bool:
    """Whether this update must wait for the client's answer to another one."""
    return _waits(client, Change(type_url, item.name, item))


def waiting_removals(client: ClientState, type_url: str, gone: Iterable[str], waiting: Iterable[str]) -> set[str]:
    """Those of the names `gone` that must stay for now.

    `waiting` names the resources of this type that must be sent, and are not in the response being made.
    """
    sent = client.subscriptions[type_url].sent
    sockets: frozenset[str] = frozenset()
    if type_url == LDS:  # once for all of them: there may be as many of these as of those
        sockets = frozenset(names.socket_of(name) for name in waiting if name not in sent) - {""}
    return {name for name in gone if _waits(client, Change(type_url, name, sockets=sockets))}


def _waits(client: ClientState, change: Change) -> bool:
    what = "removal" if change.resource is None else "update"
    return any(rule.waits(client, change) for rule in ORDER if rule.change == what and change.type_url in rule.types)


# -- updates


def _cluster_is_new(client: ClientState, change: Change) -> bool:
    """Routes are not warmed by Envoy: one that names a cluster that is not there yet answers 503."""
    return any(_is_new(client, name) for name in _needed(change, (CDS,)))


def _is_new(client: ClientState, cluster: str) -> bool:
    clusters, endpoints = client.subscriptions.get(CDS), client.subscriptions.get(EDS)
    # It never comes, so waiting for it would hold up the route, and a revocation in it, for good.
    if clusters is None or cluster not in client.current(CDS) or not clusters.wants(cluster):
        return False
    if cluster not in clusters.held:
        return True
    # Accepted, but Envoy warms it, which means it does not use it, until its endpoints have come.
    return endpoints is not None and endpoints.in_flight(cluster) and cluster not in endpoints.held


def _cuts_before_policy(client: ClientState, change: Change) -> bool:
    """A renamed chain cuts open connections; the policy that they would meet again must be accepted first.

    What a client has of an earlier stream is not known. It names everything before it answers anything, so until then its
    policies may still be told.
    """
    item, held = change.resource, client.listener(change.name)
    if item is None or held is None or (held.needs is not None and held.chain == item.chain):
        return False
    if held.needs is None and not client.answered:
        return any(url in _POLICY for url, _ in item.needs or ())
    policies = [(url, name) for url, name in item.needs or () if url in _POLICY and url in client.subscriptions]
    # Where nothing but the chain's name is new, a refused policy is the one of before: a cut would let them in again.
    if held.stem == item.stem and any(name in client.subscriptions[url].nacked for url, name in policies):
        return True
    return any(_is_unanswered(client, url, name) for url, name in policies)


def _is_unanswered(client: ClientState, type_url: str, name: str) -> bool:
    """Whether the client has not answered yet about the current version of something it asked for."""
    subscription, current = client.subscriptions[type_url], client.current(type_url).get(name)
    if current is None or not subscription.wants(name):
        return False
    return subscription.in_flight(name) or subscription.sent.get(name) != current.version


def _needed(change: Change, types: Collection[str]) -> list[str]:
    needs = () if change.resource is None else change.resource.needs or ()
    return [name for url, name in needs if url in types]


# -- removals


def _socket_is_taken_over(client: ClientState, change: Change) -> bool:
    """Both changes belong in one response, where Envoy hands the socket on.

    Otherwise it refuses the new listener, or nobody listens until that comes. Source: Envoy, "Listener discovery service
    (LDS)", on draining and sockets.
    """
    return names.socket_of(change.name) in change.sockets


def _cluster_is_held(client: ClientState, change: Change) -> bool:
    clusters = client.subscriptions.get(CDS)
    return clusters is not None and change.name in clusters.held


def _references_are_unknown(client: ClientState, change: Change) -> bool:
    """After a reconnect, until the client has told of its listeners and of every route that these refer to."""
    listeners, routes = client.subscriptions.get(LDS), client.subscriptions.get(RDS)
    if not client.resumed:
        return False
    if listeners is None:
        return True
    items = [item for held in listeners.held.values() for item in held]
    named = {name for item in items for url, name in item.needs or () if url == RDS and name in client.current(RDS)}
    return bool(named) and (routes is None or not named <= routes.held.keys())


def _is_referred_to(client: ClientState, change: Change) -> bool:
    """What the references of a client's own copy are nobody knows (`needs` None): it may refer to anything."""
    itself = (change.type_url, change.name)
    return any(
        item.needs is None or itself in item.needs for url, item in client.in_use() if (url, item.name) != itself
    )


ORDER = (
    OrderRule("update", (LDS, RDS), _cluster_is_new),
    OrderRule("update", (LDS,), _cuts_before_policy),
    OrderRule("removal", (LDS,), _socket_is_taken_over),
    OrderRule("removal", (EDS,), _cluster_is_held),
    OrderRule("removal", _REFERRED_TO, _references_are_unknown),
    OrderRule("removal", _REFERRED_TO, _is_referred_to),
)

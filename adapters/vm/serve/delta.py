"""Incremental xDS: responses carry what changed and name what is gone.

Source: Envoy, "xDS REST and gRPC protocol", section "Incremental xDS".
"""

from __future__ import annotations

from adapters.vm.resource import ECDS, LDS, RDS, Resource, set_version
from adapters.vm.serve.client import FULL_SET, DiscoveryRequest, Response, Subscription, split_wildcard
from adapters.vm.serve.order import update_waits, waiting_removals
from adapters.vm.serve.stream import Stream

_ALONE = (LDS, RDS, ECDS)
_ALONE_LIMIT = 8


class DeltaStream(Stream):
    """A stream of `DeltaAggregatedResources`."""

    def _subscribe(self, subscription: Subscription, request: DiscoveryRequest) -> None:
        if subscription.fresh:
            self._resume(subscription, request)
        added, starred = split_wildcard(request.subscribe)
        dropped, unstarred = split_wildcard(request.unsubscribe)
        # A first request without names is the older spelling of "*" (section "How the client specifies what resources
        # to return").
        if starred or (subscription.fresh and not added and request.type_url in FULL_SET):
            subscription.wildcard = subscription.due = True
        if unstarred:
            subscription.wildcard = False
            # What was asked for by name stays subscribed when the wildcard ends.
            for name in [name for name in subscription.sent if name not in subscription.names]:
                subscription.forget(name)
        for name in dropped:
            _drop(subscription, name)
        subscription.names |= added
        # Answered although the client seems to have it: it may have dropped it and asked again before its
        # unsubscription left (Envoy API, discovery.proto, `resource_names_subscribe`).
        subscription.force |= added

    def _resume(self, subscription: Subscription, request: DiscoveryRequest) -> None:
        """Take over what the client holds of an earlier stream; of other versions than ours only the name is known."""
        current = self._client.current(request.type_url)
        for name, version in request.initial.items():
            ours = current.get(name)
            same = ours is not None and ours.version == version
            # A client says which version it has, and not what is in it: of an older one nobody knows what it refers to.
            subscription.held[name] = (ours if ours is not None and same else Resource(name, version, needs=None),)
            subscription.sent[name] = version
            self._client.resumed = True

    def _next(self, type_url: str, subscription: Subscription) -> Response | None:
        current = self._client.current(type_url)
        wanted = current.keys() if subscription.wildcard else subscription.names & current.keys()
        stale = [name for name in wanted if _owed(subscription, current[name])]
        ready = sorted(name for name in stale if not update_waits(self._client, type_url, current[name]))
        if subscription.due and len(ready) < len(stale) and not subscription.last_nonce:
            return None  # the first answer ends the client's initialisation: it must be complete
        if _one_by_one(type_url, subscription, ready):
            ready = ready[:1]
        gone = self._gone(type_url, subscription, ready)
        if not ready and not gone and not subscription.due:
            return None
        versions = {name: current[name].version for name in ready}
        resources = tuple(current[name] for name in ready)
        return self._send(subscription, Response(type_url, self._nonce(), set_version(versions), resources, gone))

    def _gone(self, type_url: str, subscription: Subscription, ready: list[str]) -> tuple[str, ...]:
        current = self._client.current(type_url)
        # A name that does not exist is answered as removed, or the client waits for it until its fetch times out.
        asked = {name for name in subscription.force if name not in current}
        known = {name for name in subscription.sent if name not in current}
        known -= waiting_removals(self._client, type_url, known, current.keys() - ready)
        return tuple(sorted(asked | known))


def _owed(subscription: Subscription, item: Resource) -> bool:
    return item.name in subscription.force or subscription.sent.get(item.name) != item.version


def _one_by_one(type_url: str, subscription: Subscription, ready: list[str]) -> bool:
    """A few updates of policy go out each alone, so that a refusal names one resource and spares its neighbours."""
    if subscription.due or subscription.force or type_url not in _ALONE:
        return False
    # Each waits for the answer to the one before: with many, the last revocation would come late.
    return len(ready) <= _ALONE_LIMIT


def _drop(subscription: Subscription, name: str) -> None:
    """Unsubscribe a name; under a wildcard the client must be told what holds now, a name never asked for is ignored."""
    if subscription.wildcard:
        subscription.force.add(name)
    elif name in subscription.names:
        subscription.forget(name)
    subscription.names.discard(name)

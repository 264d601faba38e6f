"""State of the world: each response of listeners and clusters is the whole set, other types come in part.

Source: Envoy, "xDS REST and gRPC protocol", sections "How the client specifies what resources to return" and
"Grouping Resources into Responses".
"""

from __future__ import annotations

from adapters.vm.resource import LDS, Resource, set_version
from adapters.vm.serve.client import FULL_SET, DiscoveryRequest, Response, Subscription, split_wildcard
from adapters.vm.serve.order import update_waits, waiting_removals
from adapters.vm.serve.stream import Stream


class SotwStream(Stream):
    """A stream of `StreamAggregatedResources`."""

    def _subscribe(self, subscription: Subscription, request: DiscoveryRequest) -> None:
        if subscription.fresh and request.version and request.type_url == LDS:
            self._client.unnamed_listeners = True  # it names a version, so it has some
        if request.nonce and request.nonce != subscription.last_nonce and not subscription.fresh:
            return  # an answer to an older response: the client repeats its names with the newer one's answer
        # No names in the first request mean everything; after a name was given once, they mean nothing. Source: Envoy,
        # "xDS REST and gRPC protocol", section "How the client specifies what resources to return".
        names, starred = split_wildcard(request.names)
        subscription.explicit = subscription.explicit or bool(names) or starred
        wildcard = starred or (request.type_url in FULL_SET and not subscription.explicit)
        if subscription.fresh or (wildcard and not subscription.wildcard) or names - subscription.names:
            subscription.due = request.type_url in FULL_SET
        # A name that is asked for anew is answered anew, though its version went out before, under the wildcard say.
        for name in names - subscription.names:
            subscription.sent.pop(name, None)
        subscription.wildcard, subscription.names = wildcard, names
        for name in [name for name in subscription.sent if not subscription.wants(name)]:
            subscription.forget(name)

    def _next(self, type_url: str, subscription: Subscription) -> Response | None:
        if type_url in FULL_SET:
            return self._whole(type_url, subscription)
        # Only what changed, and nothing says that one is gone: for these types absence has no meaning, and a client
        # drops by itself what no listener or route refers to any more.
        changed = [
            item
            for name, item in sorted(self._client.current(type_url).items())
            if subscription.wants(name) and self._stale(type_url, subscription, item)
        ]
        if not changed:
            return None
        return self._answer(type_url, subscription, {item.name: item for item in changed})

    def _stale(self, type_url: str, subscription: Subscription, item: Resource) -> bool:
        if item.name not in subscription.force and subscription.sent.get(item.name) == item.version:
            return False
        return not update_waits(self._client, type_url, item)

    def _whole(self, type_url: str, subscription: Subscription) -> Response | None:
        wanted = {n: item for n, item in self._client.current(type_url).items() if subscription.wants(n)}
        waiting = {n for n, item in wanted.items() if self._waiting(type_url, subscription, item)}
        if waiting and not subscription.last_nonce:
            return None  # the first answer ends the client's initialisation: it must be complete
        carried = {n: item for n, item in wanted.items() if n not in waiting} | self._kept(
            type_url, subscription, waiting
        )
        versions = {name: item.version for name, item in carried.items()}
        if versions == subscription.sent and not subscription.due:
            return None
        if not carried and not subscription.wildcard and not subscription.sent:
            return None  # names that do not exist (yet) get no answer
        # What a whole set leaves out is deleted by that.
        subscription.sent = {name: version for name, version in subscription.sent.items() if name in carried}
        return self._answer(type_url, subscription, carried)

    def _waiting(self, type_url: str, subscription: Subscription, item: Resource) -> bool:
        changed = subscription.sent.get(item.name) != item.version
        return changed and update_waits(self._client, type_url, item)

    def _kept(self, type_url: str, subscription: Subscription, waiting: set[str]) -> dict[str, Resource]:
        """What the client keeps meanwhile: old forms of waiting updates, and removals that something still uses."""
        # Repeated in the form that the client has: left out of a whole set, it would be deleted.
        current = self._client.current(type_url)
        gone = {name for name in subscription.held if name not in current and subscription.wants(name)}
        kept = waiting | waiting_removals(self._client, type_url, gone, waiting)
        return {
            name: held[-1] for name, held in subscription.held.items() if name in kept and name in subscription.sent
        }

    def _answer(self, type_url: str, subscription: Subscription, items: dict[str, Resource]) -> Response:
        version = set_version({name: item.version for name, item in items.items()})
        resources = tuple(items[name] for name in sorted(items))
        return self._send(subscription, Response(type_url, self._nonce(), version, resources))

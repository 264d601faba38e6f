"""EndpointSlices, and Endpoints, as reference-counted profiles: who is behind a Service without a selector, as far as a route can tell.

Keys of the index: ("sliced", namespace, service) has the profiles, ("slices", namespace, service) the slices themselves,
("slicing", namespace, account) the Services of whose slices some name a Pod of the account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator

from hub.intent.view import BackendProfile
from hub.model import ObjectRef
from hub.smi.types import EndpointSlice, SliceEndpoint
from hub.store.index import Index, Key


def pod_ref(namespace: str, name: str) -> ObjectRef:
    """The ref of a Pod."""
    return ObjectRef("", "Pod", namespace, name)


class Slices:
    """Keeps slices and the accounts of the Pods that they name; a Pod that nobody knows has the account ""."""

    def __init__(self, index: Index, moved: set[ObjectRef]) -> None:
        """`moved` collects the slices whose endpoints may differ."""
        self._index = index
        self._moved = moved
        self._known: dict[ObjectRef, EndpointSlice] = {}
        self._mirrors: Counter[ObjectRef] = Counter()  # Endpoints -> slices that mirror them
        self._slices: dict[ObjectRef, EndpointSlice] = {}  # those that count
        self._naming: dict[
            ObjectRef, dict[ObjectRef, list[SliceEndpoint]]
        ] = {}  # Pod -> slices, and where these name it
        self._accounts: dict[ObjectRef, str] = {}

    def put(self, ref: ObjectRef, slice_: EndpointSlice | None) -> None:
        """A slice, or Endpoints, is there, is another, or (None) is gone. Beside a slice that mirrors them, Endpoints do not count."""
        before = self._known.pop(ref, None)
        if slice_ is not None:
            self._known[ref] = slice_
        touched = {ref}
        for each, by in ((before, -1), (slice_, 1)):
            if each is not None and each.mirror:
                touched.add(_mirrored(each))
                self._mirrors[_mirrored(each)] += by
        for one in touched:
            self._set_counted(one, None if self._mirrors[one] else self._known.get(one))

    def _set_counted(self, ref: ObjectRef, slice_: EndpointSlice | None) -> None:
        before = self._slices.pop(ref, None)
        if before is not None:
            self._count(before, -1)
        if slice_ is not None:
            self._slices[ref] = slice_
            self._count(slice_, 1)
        self._moved.add(ref)

    def get(self, ref: ObjectRef) -> EndpointSlice | None:
        """The slice, or Endpoints, of this ref, if it counts."""
        return self._slices.get(ref)

    def account(self, pod: ObjectRef, account: str) -> None:
        """A Pod has this account now ("": it is gone)."""
        before = self._accounts.get(pod, "")
        if account:
            self._accounts[pod] = account
        else:
            self._accounts.pop(pod, None)
        if before == account:
            return
        for ref, named in self._naming.get(pod, {}).items():
            self._moved.add(ref)
            slice_ = self._slices[ref]
            for endpoint in named:
                _change(self._index.add, slice_, endpoint, account)
                _change(self._index.discard, slice_, endpoint, before)

    def _count(self, slice_: EndpointSlice, by: int) -> None:
        change = self._index.add if by > 0 else self._index.discard
        change(("slices", slice_.ref.namespace, slice_.service), slice_.ref)
        for pod, endpoint in _endpoints(slice_):
            _change(change, slice_, endpoint, self._accounts.get(pod, "") if pod else "")
            if pod is not None and by > 0:
                self._naming.setdefault(pod, {}).setdefault(slice_.ref, []).append(endpoint)
            elif pod is not None:
                self._forget(pod, slice_.ref)

    def _forget(self, pod: ObjectRef, ref: ObjectRef) -> None:
        naming = self._naming.get(pod, {})
        naming.pop(ref, None)
        if not naming:
            self._naming.pop(pod, None)


def _mirrored(slice_: EndpointSlice) -> ObjectRef:
    """The Endpoints that a slice would be the mirror of."""
    return ObjectRef("", "Endpoints", slice_.ref.namespace, slice_.service)


def _change(
    change: Callable[[Key, Hashable], bool], slice_: EndpointSlice, endpoint: SliceEndpoint, account: str
) -> None:
    """Add or discard what an endpoint of this account makes of its slice."""
    namespace, service = slice_.ref.namespace, slice_.service
    change(("sliced", namespace, service), slice_profile(slice_, endpoint, account))
    if account:
        change(("slicing", namespace, account), service)


def _endpoints(slice_: EndpointSlice) -> Iterator[tuple[ObjectRef | None, SliceEndpoint]]:
    for endpoint in slice_.endpoints:
        yield (pod_ref(slice_.ref.namespace, endpoint.pod) if endpoint.pod else None), endpoint


def slice_profile(slice_: EndpointSlice, endpoint: SliceEndpoint, account: str) -> BackendProfile:
    """What a Service can tell of this endpoint of a slice."""
    ports = slice_.ports if endpoint.ports is None else endpoint.ports
    return BackendProfile(account, "sliced", tuple((number, transport, name) for name, number, transport in ports))

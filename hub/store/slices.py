"""EndpointSlices as reference-counted profiles: who is behind a Service without a selector, as far as a route can tell.

Keys of the index: ("sliced", namespace, service) has the profiles, ("slices", namespace, service) the slices themselves,
("slicing", namespace, account) the Services of whose slices some name a Pod of the account.
"""

from __future__ import annotations

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
        self._slices: dict[ObjectRef, EndpointSlice] = {}
        self._naming: dict[ObjectRef, dict[ObjectRef, int]] = {}  # Pod -> slices that name it, and how often
        self._accounts: dict[ObjectRef, str] = {}

    def put(self, ref: ObjectRef, slice_: EndpointSlice | None) -> None:
        """A slice is there, is another, or (None) is gone."""
        before = self._slices.pop(ref, None)
        if before is not None:
            self._count(before, -1)
        if slice_ is not None:
            self._slices[ref] = slice_
            self._count(slice_, 1)
        self._moved.add(ref)

    def get(self, ref: ObjectRef) -> EndpointSlice | None:
        """The slice of this ref."""
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
        for ref, times in self._naming.get(pod, {}).items():
            self._moved.add(ref)
            slice_ = self._slices[ref]
            for _ in range(times):
                _change(self._index.add, slice_, account)
                _change(self._index.discard, slice_, before)

    def _count(self, slice_: EndpointSlice, by: int) -> None:
        change = self._index.add if by > 0 else self._index.discard
        change(("slices", slice_.ref.namespace, slice_.service), slice_.ref)
        for pod, _ in _endpoints(slice_):
            _change(change, slice_, self._accounts.get(pod, "") if pod else "")
            if pod is not None:
                naming = self._naming.setdefault(pod, {})
                naming[slice_.ref] = naming.get(slice_.ref, 0) + by
                if not naming[slice_.ref]:
                    del naming[slice_.ref]
                if not naming:
                    del self._naming[pod]


def _change(change: Callable[[Key, Hashable], bool], slice_: EndpointSlice, account: str) -> None:
    """Add or discard what an endpoint of this account makes of its slice."""
    namespace, service = slice_.ref.namespace, slice_.service
    change(("sliced", namespace, service), slice_profile(slice_, account))
    if account:
        change(("slicing", namespace, account), service)


def _endpoints(slice_: EndpointSlice) -> Iterator[tuple[ObjectRef | None, SliceEndpoint]]:
    for endpoint in slice_.endpoints:
        yield (pod_ref(slice_.ref.namespace, endpoint.pod) if endpoint.pod else None), endpoint


def slice_profile(slice_: EndpointSlice, account: str) -> BackendProfile:
    """What a Service can tell of an endpoint of this slice."""
    return BackendProfile(
        account, "sliced", tuple((number, transport, name) for name, number, transport in slice_.ports)
    )

"""The requests of a cell as few lines: those that are answered alike stand together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from hub.matrix.asked import RequestClass
from hub.matrix.grid import AllowedRequest, PortCell, Receiver, Verdicts
from hub.model import Request

_Headers = tuple[tuple[str, str], ...]
_BYTES = RequestClass("GET", "/", ())
"""What stands in a request of raw bytes, and means nothing."""


class AlikeRequests(Verdicts, frozen=True):
    """Requests of one port and protocol that are answered alike; `paths` are one example for each class of paths.

    `methods` and `headers` None: any. `at` names the workload, where those of the receiver differ ("": all of them).
    """

    methods: tuple[str, ...] | None
    paths: tuple[str, ...]
    headers: tuple[_Headers, ...] | None
    example: Request
    at: str = ""


def lines_of(entry: PortCell, receiver: Receiver) -> tuple[AlikeRequests, ...]:
    """The requests that are allowed somewhere, in as few lines as these; none of raw bytes has methods, paths or headers."""
    every = receiver.requests if entry.protocol == "http" else (_BYTES,)
    methods, headers = frozenset(each.method for each in every), frozenset(each.headers for each in every)
    alike: dict[tuple[object, ...], list[AllowedRequest]] = defaultdict(list)
    for each, at in _by_workload(entry.shown, frozenset(receiver.workloads)):
        alike[at, each.smi, tuple(each.meshes.items()), tuple(sorted(each.losses.items()))].append(each)
    return tuple(line for (at, *_), found in alike.items() for line in _lines(f"{at}", found, methods, headers))


def _by_workload(shown: Sequence[AllowedRequest], workloads: frozenset[str]) -> Iterator[tuple[AllowedRequest, str]]:
    """Each request with the workloads that answer it so; where all do, one of them stands for all ("")."""
    found: dict[tuple[object, ...], list[AllowedRequest]] = defaultdict(list)
    for each in shown:
        found[_request(each), each.smi, tuple(each.meshes.items()), tuple(sorted(each.losses.items()))].append(each)
    for alike in found.values():
        at = {each.request.dst.pod or "" for each in alike}
        yield alike[0], "" if at >= workloads else ", ".join(sorted(at))


def _request(shown: AllowedRequest) -> tuple[object, ...]:
    return shown.request.method, shown.request.path, shown.request.headers


def _lines(
    at: str, alike: Sequence[AllowedRequest], methods: frozenset[str], headers: frozenset[_Headers]
) -> Iterator[AlikeRequests]:
    """Requests that are answered alike: those that differ in headers alone are one, then those in methods, then those in paths."""
    by_headers: dict[tuple[str, str], set[_Headers]] = defaultdict(set)
    for each in alike:
        by_headers[each.request.path, each.request.method].add(each.request.headers)
    by_methods: dict[tuple[str, frozenset[_Headers]], set[str]] = defaultdict(set)
    for (path, method), variants in by_headers.items():
        by_methods[path, frozenset(variants)].add(method)
    by_paths: dict[tuple[frozenset[str], frozenset[_Headers]], list[str]] = defaultdict(list)
    for (path, found), words in by_methods.items():
        by_paths[frozenset(words), found].append(path)
    for (named, found), paths in by_paths.items():
        yield AlikeRequests(
            alike[0].smi,
            alike[0].meshes,
            alike[0].losses,
            None if named == methods else tuple(sorted(named)),
            tuple(paths),
            None if found == headers else tuple(sorted(found)),
            next(each.request for each in alike if each.request.path == paths[0] and each.request.method in named),
            at,
        )

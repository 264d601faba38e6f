"""What a route of Consul asks of the query: `QueryParam`.

Envoy takes the names and values as they stand, without decoding them, and looks at the first of several.
Source: https://developer.hashicorp.com/consul/docs/reference/config-entry/service-router (Match.HTTP.QueryParam). What several values
or escapes mean was not observed, so requests with them are not judged.
"""

from __future__ import annotations

from typing import Any

from adapters.consul.evaluate.matching import Question, flag, regex
from adapters.consul.evaluate.request import Http
from hub.api import Fields, UnmodelledError


def queries_of(left: Fields) -> tuple[Question, ...]:
    """One question for each entry of `QueryParam`."""
    return tuple(_query(value, left.where) for value in left.items("QueryParam"))


def _query(value: Any, where: str) -> Question:
    with Fields(value, where) as left:
        name, present = left.text("Name"), flag(left, "Present")
        exact, pattern = left.text("Exact"), left.text("Regex")
    if not name or sum((present, bool(exact), bool(pattern))) != 1:
        raise UnmodelledError(f"{where}: Consul refuses a QueryParam without exactly one of Present, Exact, Regex")
    wanted = exact.encode()
    test = regex(pattern, where) if pattern else (lambda value: present or value == wanted)

    def holds(http: Http) -> bool:
        found = _values(http, name.encode(), where)
        return bool(found) and test(found[0])

    return Question("query", holds)


def _values(http: Http, name: bytes, where: str) -> list[bytes]:
    pairs = [one.partition(b"=") for one in http.path.partition(b"?")[2].split(b"&")]
    found = [value for key, _, value in pairs if key == name]
    if len(found) > 1 or b"%" in http.path.partition(b"?")[2]:
        raise UnmodelledError(f"{where}: a query with escapes, or with several values of one name, is not modelled")
    return found

"""The last look at an object before it leaves the hub: final bytes against a closed list of shapes (shapes.py).

Istio's own validation is a webhook that need not run, and the API server takes nearly everything. Observed on Istio 1.31
with stock Envoys: empty lists open a policy, some path templates end the sidecar's process, and one bad VirtualService
freezes the route table of its port in every caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

from msgspec import UNSET

from adapters.istio import names
from adapters.istio.regex import is_portable, is_small
from adapters.istio.safety import shapes
from adapters.istio.safety.filters import check_filter
from hub.api import NOT_UTF8, SERVICE_ACCOUNT_LABEL, check_shape, demand, is_managed_header

_TEMPLATE = re.compile(r"(?:/(?:[A-Za-z0-9\-._~%!$&'()+,;:@=]+|\{\*\}))*(?:/(?:\{\*\*\})?)?")
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_NO_HEADERS = frozenset({"authority", "method", "scheme", "uri"})
_INT32_MAX = 2**31 - 1


def check(body: bytes, root_namespace: str = "istio-system") -> None:
    """Refuse bytes that are not exactly an object as smihub makes them.

    Raises UnsafeResourceError that names the object and what is wrong with it.
    """
    checks = {kind: partial(each, root=root_namespace) for kind, each in _CHECKS.items()}
    check_shape(body, shapes.Manifest, checks, "an Istio")


def _policy(manifest: shapes.AuthorizationPolicy, root: str) -> None:
    _selector(manifest.spec.selector)
    rules = () if manifest.spec.rules is UNSET else manifest.spec.rules
    # Without rules it can only deny, so the guard of an account there is allowed.
    demand(not rules or manifest.metadata.namespace != root, "a policy in the root namespace reaches into all")
    for rule in rules:
        _rule(rule)


def _peers(manifest: shapes.PeerAuthentication, root: str) -> None:
    _selector(manifest.spec.selector)


def _selector(selector: shapes.Selector) -> None:
    demand(SERVICE_ACCOUNT_LABEL in selector.match_labels, f"its selector does not have {SERVICE_ACCOUNT_LABEL}")


def _rule(rule: shapes.CheckedRule) -> None:
    operations = () if rule.to is UNSET else tuple(entry.operation for entry in rule.to)
    conditions = () if rule.when is UNSET else rule.when
    http = {_is_http(operation) for operation in operations}
    # One HTTP field takes an ALLOW rule off the TCP filter chain as a whole (Istio, "Authorization Policy", TCP).
    demand(len(http) < 2, "a rule with both raw and HTTP operations loses the raw ones")
    demand(not conditions or http == {True}, "conditions on requests are combined with operations that are not HTTP")
    for operation in operations:
        _operation(operation)
    for condition in conditions:
        _condition(condition)


def _is_http(operation: shapes.CheckedOperation) -> bool:
    return operation.methods is not UNSET or operation.paths is not UNSET


def _operation(operation: shapes.CheckedOperation) -> None:
    fields = (operation.ports, operation.not_ports, operation.methods, operation.paths)
    demand(any(field is not UNSET for field in fields), "an operation without fields allows everything")
    demand(operation.ports is UNSET or operation.not_ports is UNSET, "ports and notPorts are combined")
    # By itself an exclusion allows everything else.
    demand(operation.not_paths is UNSET or operation.paths is not UNSET, "notPaths without paths")
    for ports in (operation.ports, operation.not_ports):
        for port in () if ports is UNSET else ports:
            demand(int(port) <= 65535, f"{port} is not a valid port")
    for path in () if operation.paths is UNSET else operation.paths:
        _path(path)
    for path in () if operation.not_paths is UNSET else operation.not_paths:
        demand(path.startswith("/") and not path.endswith("*") and not set(path) & set("{}"), "notPaths must be exact")
    if operation.methods is not UNSET:
        demand("*" not in operation.methods or operation.methods == ("*",), '"*" is combined with other methods')


def _path(path: str) -> None:
    """A text, a beginning, an end, or a template whose shape no Envoy was seen to misread."""
    demand(path != "*", "a pattern for every path must be written as /*")
    if set(path) & set("{}"):
        demand("{" in path and path.startswith("/") and _TEMPLATE.fullmatch(path), f'template "{path}" is not safe')


def _condition(condition: shapes.When) -> None:
    if names.RESULT_KEY.fullmatch(condition.key):
        # A star, or another word, would hold for what the filter does not allow.
        demand(condition.values == ("allowed",), "a condition on a filter's result must be that it is allowed")
        return
    # Envoy sets or rewrites some headers itself; a condition on
    # one of these would be about Envoy, not about the caller.
    name = condition.key.removeprefix("request.headers[").removesuffix("]")
    if name != ":path":
        demand(not is_managed_header(name), f'the header "{name}" is not set by the caller')
        return
    for value in condition.values:
        begins = value.startswith("/") and value.endswith("*") and not set(value) & set("{}?#")
        demand(begins, ":path includes the query, so only a prefix of it can be matched")


def _routes(manifest: shapes.VirtualService, root: str) -> None:
    spec, (host,) = manifest.spec, manifest.spec.hosts
    namespace = manifest.metadata.namespace
    demand(host.split(".")[1:3] == [namespace, "svc"], "its host is not the full name of a Service in its namespace")
    http = () if spec.http is UNSET else spec.http
    tcp = () if spec.tcp is UNSET else spec.tcp
    demand(http or tcp, "it has no routes")
    family = host.partition(".")[2]
    # One bad route freezes the whole route table of a port in every caller, so each is looked at, whatever made it.
    for route in http:
        _http_route(route, family)
    _fallbacks(http)
    ports = [one.match[0].port for one in tcp]
    demand(len(set(ports)) == len(ports), "a port has two TCP routes")
    for one in tcp:
        _shares(one.route, one.match[0].port, family, nobody=True)


def _http_route(route: shapes.HttpRoute, family: str) -> None:
    port = route.match[0].port
    demand(all(entry.port == port for entry in route.match), "one route applies to several ports")
    demand(
        (route.route is UNSET) != (route.direct_response is UNSET), "it must have either a route or a directResponse"
    )
    if route.route is not UNSET:
        _shares(route.route, port, family, nobody=False)
    for entry in route.match:
        _http_condition(entry)


def _fallbacks(routes: Iterable[shapes.HttpRoute]) -> None:
    """For each port, the last route is for everything, or the rest of the calls would get 404."""
    ended: dict[int, bool] = {}
    for route in routes:
        port = route.match[0].port
        demand(not ended.get(port), "a route comes after the one that matches everything")
        ended[port] = any(_is_everything(entry) for entry in route.match) and len(route.match) == 1
    demand(all(ended.values()), "requests that no route matches would get 404")


def _is_everything(entry: shapes.HttpCondition) -> bool:
    return entry.uri is UNSET and entry.method is UNSET and entry.headers is UNSET


def _http_condition(entry: shapes.HttpCondition) -> None:
    if entry.uri is not UNSET:
        _text(entry.uri)
    for name, match in ({} if entry.headers is UNSET else entry.headers).items():
        # Istio reads four names of this field as parts of the
        # request line; a header of that name could not be asked for.
        proper = _HEADER.fullmatch(name) and name not in _NO_HEADERS and not is_managed_header(name)
        demand(proper, f'"{name}" is not a header that Istio can match')
        _text(match)
    without = {} if entry.without_headers is UNSET else entry.without_headers
    demand(not without or entry.headers is not UNSET, "a route uses a negative match")
    for name, match in without.items():
        guards = match == shapes.StringMatch(regex=NOT_UTF8) and name in (entry.headers or {})
        demand(guards, "a negative match on a header could exclude valid text")


def _text(match: shapes.StringMatch) -> None:
    found = [text for text in (match.exact, match.prefix, match.regex) if text is not UNSET]
    demand(len(found) == 1, "a string match must have exactly one of exact, prefix and regex")
    if match.regex is not UNSET:
        demand(
            is_portable(match.regex) and is_small(match.regex),
            "Envoy may reject a pattern, which would freeze the route table",
        )


def _shares(shares: tuple[shapes.WeightedDestination, ...], port: int, family: str, *, nobody: bool) -> None:
    weights = [0 if share.weight is UNSET else share.weight for share in shares]
    # Of several destinations Istio sends nothing to one without a weight (observed on Istio 1.31).
    demand(len(shares) == 1 or all(weights), "a weight is missing although others are set")
    demand(sum(weights) <= _INT32_MAX, "the sum of the weights is too large")
    hosts = [share.destination.host for share in shares]
    demand(len(set(hosts)) == len(hosts), "a destination is listed twice")
    for share in shares:
        host = share.destination.host
        known = host.partition(".")[2] == family or (nobody and hosts == [names.NOBODY])
        demand(known, f'the destination "{host}" is not a Service in the namespace')
        demand(share.destination.port.number == port, "a request would change its port")


_CHECKS: dict[type, Callable[..., None]] = {
    shapes.AuthorizationPolicy: _policy,
    shapes.PeerAuthentication: _peers,
    shapes.VirtualService: _routes,
    shapes.EnvoyFilter: check_filter,
}

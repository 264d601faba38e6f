"""What a config entry in HCL is in the spelling of the API: the fields of its kind and their types. Pure.

Source: https://github.com/hashicorp/consul/tree/v1.22.5 (the structs of api/config_entry*.go with their `alias` tags, command/helpers, lib/decode):
names are compared without case, an alias in snake_case is the same field, one block is an object or a list of one. Types are not converted
here, as Consul does (a number for a text, a text for a list of one): that is refused. So are fields whose content is free (`EnvoyExtensions`), and those of Consul Enterprise (`RateLimits`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from adapters.consul.hcl import Blocks, Fields, HclError, Value
from adapters.consul.names import KINDS

Reading = Callable[[Value], Any]
Shape = Mapping[str, Reading]
_SPAN = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,7})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?")


class _Struct(Struct, frozen=True):
    """An object with these fields; a field is in CamelCase, and found by it and by the same in snake_case."""

    shape: Shape

    def __call__(self, value: Value) -> dict[str, Any]:
        found = value.data
        if not isinstance(found, Blocks) or len(found.objects) != 1:
            raise HclError(value.at, "expected one object in braces")
        return self.fields(found.objects[0])

    def fields(self, found: Fields) -> dict[str, Any]:
        """The fields of one object. Raises HclError for one that is not known, and for two spellings of one."""
        made: dict[str, Any] = {}
        for name, value in found.items():
            field = _field(self.shape, name)
            if field is None:
                raise HclError(value.at, f'"{name[:60]}" is not a field that smihub reads here')
            if field in made:
                raise HclError(value.at, f'"{name[:60]}" is another spelling of a field that is there')
            made[field] = self.shape[field](value)
        return made


def _field(shape: Shape, name: str) -> str | None:
    # An alias has `_` between the words of the field: without it, both are the same in lower case.
    return next((field for field in shape if name.lower() in {field.lower(), _alias(field)}), None)


def _alias(field: str) -> str:
    """`path_exact` of `PathExact`, `mutual_tls_mode` of `MutualTLSMode`, `enforcing_consecutive_5xx`, `source_ip`."""
    if field in _WITHOUT_ALIAS:
        return field.lower()
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])", "_", field).lower()


_WITHOUT_ALIAS = frozenset(("MaxRequestHeadersKB", "CreateIndex", "ModifyIndex"))


def _text(value: Value) -> str:
    if not isinstance(value.data, str):
        raise HclError(value.at, "expected a text in quotes")
    return value.data


def _flag(value: Value) -> bool:
    if not isinstance(value.data, bool):
        raise HclError(value.at, "expected true or false")
    return value.data


def _integer(value: Value) -> int:
    if isinstance(value.data, bool) or not isinstance(value.data, int):
        raise HclError(value.at, "expected a whole number")
    return value.data


def _count(value: Value) -> int:
    if not 0 <= _integer(value) < 2**32:
        raise HclError(value.at, "expected a whole number from 0 to 4294967295")
    return _integer(value)


def _weight(value: Value) -> float:
    if isinstance(value.data, bool) or not isinstance(value.data, int | float):
        raise HclError(value.at, "expected a number")
    return int(value.data) if value.data == int(value.data) else value.data


def _thousandths(value: Value) -> int:
    parts = _SPAN.fullmatch(_text(value))
    if parts is None or not any(parts.groups()):
        raise HclError(value.at, 'expected a duration of hours, minutes, seconds and milliseconds, such as "1m30s"')
    hours, minutes, seconds, thousandths = (int(part or 0) for part in parts.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


def _span(value: Value) -> str:
    """As Go writes a duration: `1m30s`, `1h0m0s`, `250ms`."""
    whole, thousandths = divmod(_thousandths(value), 1000)
    if not whole:
        return f"{thousandths}ms" if thousandths else "0s"
    rest = f"{whole % 60}" + f".{thousandths:03}".rstrip("0").rstrip(".") + "s"
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}h{minutes}m{rest}" if hours else f"{minutes}m{rest}" if minutes else rest


def _nanoseconds(value: Value) -> int:
    """A duration of which the API shows the number (api.CookieConfig, api.PassiveHealthCheck)."""
    return _thousandths(value) * 1_000_000


def _list(element: Reading) -> Reading:
    """A list in brackets, or the blocks of one name."""

    def read(value: Value) -> list[Any]:
        if isinstance(value.data, Blocks):
            return [element(Value(value.at, Blocks((one,)))) for one in value.data.objects]
        if not isinstance(value.data, tuple):
            raise HclError(value.at, "expected a list in brackets")
        return [element(one) for one in value.data]

    return read


def _map(element: Reading) -> Reading:
    """An object whose names are anybody's; blocks with labels are one, too."""

    def read(value: Value) -> dict[str, Any]:
        found = value.data
        if not isinstance(found, Blocks) or (len(found.objects) != 1 and not found.labelled):
            raise HclError(value.at, "expected one object in braces")
        pairs = list(_pairs(found))
        if len(dict(pairs)) < len(pairs):
            raise HclError(value.at, "two blocks have the same label")
        return {name: element(one) for name, one in pairs}

    return read


def _pairs(found: Blocks) -> Iterator[tuple[str, Value]]:
    for one in found.objects:
        yield from one.items()


_TEXTS, _PAIRS = _list(_text), _map(_text)
_ENTRY: Shape = {
    **dict.fromkeys(("Kind", "Name", "Partition", "Namespace"), _text),
    "Meta": _PAIRS,
    "CreateIndex": _integer,
    "ModifyIndex": _integer,
}
_PATH: Shape = dict.fromkeys(("PathExact", "PathPrefix", "PathRegex"), _text)
_NAMED: Shape = {**dict.fromkeys(("Name", "Exact", "Regex"), _text), "Present": _flag}
_HEADER: Shape = {**_NAMED, "Prefix": _text, "Suffix": _text, "Invert": _flag}
_MODIFIERS = _Struct({"Add": _PAIRS, "Set": _PAIRS, "Remove": _TEXTS})
_MODIFIED: Shape = {"RequestHeaders": _MODIFIERS, "ResponseHeaders": _MODIFIERS}
_SERVICE: Shape = dict.fromkeys(("Service", "ServiceSubset", "Namespace", "Partition"), _text)
_MODE = _Struct({"Mode": _text})

_CLAIM = _Struct({"Path": _TEXTS, "Value": _text})
_PROVIDER = _Struct({"Name": _text, "VerifyClaims": _list(_CLAIM)})
_JWT = _Struct({"Providers": _list(_PROVIDER)})
_HTTP = _Struct(
    {**_PATH, "Methods": _TEXTS, "Header": _list(_Struct({**_HEADER, "Contains": _text, "IgnoreCase": _flag}))}
)
_SOURCE: Shape = {
    **dict.fromkeys(
        ("Name", "Peer", "Partition", "Namespace", "SamenessGroup", "Action", "Type", "Description", "LegacyID"), _text
    ),
    "Permissions": _list(_Struct({"Action": _text, "HTTP": _HTTP, "JWT": _JWT})),
    "Precedence": _integer,
    "LegacyMeta": _PAIRS,
}
_INTENTIONS: Shape = {"Sources": _list(_Struct(_SOURCE)), "JWT": _JWT}

_MATCH: Shape = {
    **_PATH,
    "CaseInsensitive": _flag,
    "Header": _list(_Struct(_HEADER)),
    "QueryParam": _list(_Struct(_NAMED)),
    "Methods": _TEXTS,
}
_DESTINATION: Shape = {
    **_SERVICE,
    **_MODIFIED,
    "PrefixRewrite": _text,
    "RequestTimeout": _span,
    "IdleTimeout": _span,
    "NumRetries": _count,
    "RetryOnConnectFailure": _flag,
    "RetryOnStatusCodes": _list(_count),
    "RetryOn": _TEXTS,
}
_ROUTE = _Struct({"Match": _Struct({"HTTP": _Struct(_MATCH)}), "Destination": _Struct(_DESTINATION)})

_TARGET: Shape = {**_SERVICE, "Datacenter": _text, "Peer": _text}
_FAILOVER: Shape = {
    **dict.fromkeys(("Service", "ServiceSubset", "Namespace", "SamenessGroup"), _text),
    "Datacenters": _TEXTS,
    "Targets": _list(_Struct(_TARGET)),
    "Policy": _Struct({"Mode": _text, "Regions": _TEXTS}),
}
_BALANCER: Shape = {
    "Policy": _text,
    "RingHashConfig": _Struct({"MinimumRingSize": _count, "MaximumRingSize": _count}),
    "LeastRequestConfig": _Struct({"ChoiceCount": _count}),
    "HashPolicies": _list(
        _Struct(
            {
                "Field": _text,
                "FieldValue": _text,
                "CookieConfig": _Struct({"Session": _flag, "TTL": _nanoseconds, "Path": _text}),
                "SourceIP": _flag,
                "Terminal": _flag,
            }
        )
    ),
}
_RESOLVER: Shape = {
    "DefaultSubset": _text,
    "Subsets": _map(_Struct({"Filter": _text, "OnlyPassing": _flag})),
    "Redirect": _Struct({**_TARGET, "SamenessGroup": _text}),
    "Failover": _map(_Struct(_FAILOVER)),
    "ConnectTimeout": _span,
    "RequestTimeout": _span,
    "PrioritizeByLocality": _MODE,
    "LoadBalancer": _Struct(_BALANCER),
}

_EXPOSED: Shape = {
    **dict.fromkeys(("ListenerPort", "LocalPathPort"), _integer),
    **dict.fromkeys(("Path", "Protocol"), _text),
}
_LIMITS = _Struct(dict.fromkeys(("MaxConnections", "MaxPendingRequests", "MaxConcurrentRequests"), _integer))
_CHECK: Shape = {
    "Interval": _nanoseconds,
    "BaseEjectionTime": _nanoseconds,
    **dict.fromkeys(("MaxFailures", "EnforcingConsecutive5xx", "MaxEjectionPercent"), _count),
}
_UPSTREAM = _Struct(
    {
        **dict.fromkeys(("Name", "Partition", "Namespace", "Peer", "EnvoyListenerJSON", "EnvoyClusterJSON"), _text),
        **dict.fromkeys(("Protocol", "BalanceOutboundConnections"), _text),
        "ConnectTimeoutMs": _integer,
        "Limits": _LIMITS,
        "PassiveHealthCheck": _Struct(_CHECK),
        "MeshGateway": _MODE,
    }
)
_DEFAULTS: Shape = {
    **dict.fromkeys(
        ("Protocol", "Mode", "MutualTLSMode", "ExternalSNI", "BalanceInboundConnections"),
        _text,
    ),
    **dict.fromkeys(("MaxInboundConnections", "LocalConnectTimeoutMs", "LocalRequestTimeoutMs"), _integer),
    "TransparentProxy": _Struct({"OutboundListenerPort": _integer, "DialedDirectly": _flag}),
    "MeshGateway": _MODE,
    "Expose": _Struct({"Checks": _flag, "Paths": _list(_Struct(_EXPOSED))}),
    "UpstreamConfig": _Struct({"Overrides": _list(_UPSTREAM), "Defaults": _UPSTREAM}),
    "Destination": _Struct({"Addresses": _TEXTS, "Port": _integer}),
    "MaxRequestHeadersKB": _count,
}
_SPLIT = _Struct({**_SERVICE, **_MODIFIED, "Weight": _weight})
_SHAPES: Mapping[str, Shape] = {
    "service-defaults": _DEFAULTS,
    "service-intentions": _INTENTIONS,
    "service-resolver": _RESOLVER,
    "service-router": {"Routes": _list(_ROUTE)},
    "service-splitter": {"Splits": _list(_SPLIT)},
}
assert _SHAPES.keys() == KINDS.keys()  # noqa: S101 - both are written by hand


def entry_of(found: Fields) -> dict[str, Any]:
    """An entry as the API takes it; of a kind that smihub never writes, `Kind` and `Name` alone. Raises HclError."""
    kind = found.get("Kind") or found.get("kind")
    if kind is None:
        raise HclError(0, 'there is no "Kind"')
    shape = _SHAPES.get(_text(kind))
    if shape is not None:
        return _Struct({**_ENTRY, **shape}).fields(found)
    return _Struct(_ENTRY).fields({name: value for name, value in found.items() if name.lower() in {"kind", "name"}})

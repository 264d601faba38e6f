r"""Fixed words of Consul: methods, headers, and the paths that applications may read differently.

Two forms of one object. The adapter `consul` writes config entries: a body is what `PUT /v1/config` takes of one entry, in
canonical JSON (`Kind`, `Name`, and the fields of the kind, in the API's spelling), without `Meta`, in which a sink puts the mark, and
without what the server fills in (`CreateIndex`, `ModifyIndex`, `Hash`, `Precedence`, `Type`); its ref is
`ObjectRef("", "service-intentions", "", NAME)`. The adapter `consul-k8s` writes custom resources: a body is a manifest
of `consul.hashicorp.com/v1alpha1`, of the family `kubernetes`; its ref is `ObjectRef("consul.hashicorp.com", "ServiceIntentions",
NAMESPACE, NAME)`, and the entry that consul-k8s makes of it is called like it (an intention like `spec.destination.name`). No
mesh has both, so no entry is ever written in both forms.

A Consul service is its own identity: `names.Names` says which account (and which Service of that name) it is. A service
whose name has `names.INSERT` is a virtual one of a TrafficSplit: a router of the root leads to it, its splitter shares out, and
nobody runs as it. So nothing that a splitter names has a splitter itself, which Consul would follow.

Source: https://developer.hashicorp.com/consul/docs/connect/config-entries/service-intentions; agent/xds/rbac.go of Consul 1.22
(conditions on one path and on headers become Envoy's RBAC rules). Observed on Consul 1.22 with Envoy 1.40: the sidecar of a
service normalises paths (dot segments, needless escapes), and keeps `//`, `;` and escaped slashes.
"""

from __future__ import annotations

import re

ENTRIES, RESOURCES = "consul", "consul-k8s"
"""The two adapters, by name; the first is also the family of config entries."""

METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
"""The methods that an intention and a router can name; Consul writes them in upper case."""

HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,256}")
"""Lower-case names (RFC 9110, token)."""

MAX_PROGRAM_SIZE = 32768
"""RE2 instructions of a pattern. Consul's bootstrap lets Envoy take more (`re2.max_program_size.error_level`); what Envoy does
not take freezes the listener as it was, which Consul does not report."""

WEIGHT_UNITS = 10_000
"""A splitter shares out 100.00 in steps of 0.01."""

_ESCAPES = (
    "[01][0-9A-Fa-f]|7[fF]"  # controls
    "|2[35fF]|3[bBfF]|5[cC]"  # # % / ; ? \\, which mean something else when they are decoded
    "|2[dDeE]|3[0-9]|4[1-9A-Fa-f]|5[0-9aAfF]|6[1-9A-Fa-f]|7[0-9aAeE]"  # characters that need no escape (RFC 3986, 2.3)
    "|[cC][01]|[eE]0%[89]|[fF]0%8|[fF]8%8[0-7]|[fF][cC]%8[0-3]"  # UTF-8 longer than it need be
    "|[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|[0-9A-Fa-f]?$"  # not two hexadecimal digits
)
PATH_GUARD = rf".*(?:[;\\]|//|[^\x00-\x7f]|%(?:{_ESCAPES})).*|.*/\.{{1,2}}(?:/.*)?"
"""Paths that an application may read differently, after a sidecar has normalised them: empty segments, parameters, backslashes,
second, overlong or broken escapes; and those that it would have normalised, should it be told not to."""
BEYOND_ASCII = r"(?s:.*)[^\x00-\x7f](?s:.*)"
"""Header values with a byte above 0x7f: Envoy's RE2 may count bytes there, SMI's patterns count characters."""
NOT_ONE_VALUE = rf"{BEYOND_ASCII}|(?s:.*),(?s:.*)|[ \t](?s:.*)|(?s:.*)[ \t]"
"""Those, values that may be several joined lines (some Envoys join them with a comma before they match), and values with a blank
outside: no part of the value (RFC 9110, 5.5), but over HTTP/2 Envoy keeps it."""
EVERY_PATH = "/"
"""The prefix of every path: what the last permission of a source denies, since Consul would allow everything else where it allows
by default. A prefix and not a pattern: no byte is outside of it."""
UNTIL_KNOWN = "smihub denies this source until it can tell what was allowed"
"""The `Description` of a source that is denied by name for a while: not one that others allow to every destination."""

"""The words that all rooms share: identities, intent, native objects, problems, requests and answers.

Everything is a frozen value; sequences are tuples, sorted where order has no meaning, so that equal things
are equal bytes. No room's private types live here.

`gc=False`: such a value is made of values that were there before it, so it is in no cycle and Python's garbage collector
need not know it; that saves it 16 bytes, and the collector most of its work. Documents cannot hold cycles either, their
reader refuses recursive aliases.
"""

from hub.model.asking import (
    Answer,
    BackendWord,
    Destination,
    Request,
    RouteWord,
    Source,
    VerdictWord,
    raw_bytes,
    raw_text,
)
from hub.model.intent import (
    Access,
    Backend,
    Client,
    Declared,
    Grant,
    HttpMatch,
    InboundPort,
    Placement,
    Route,
    RoutePort,
    Split,
    Transport,
    Unit,
    UnitKey,
)
from hub.model.names import (
    SERVICE_ACCOUNT_LABEL,
    Document,
    Identity,
    ObjectRef,
    Origin,
    Problem,
    Reading,
    Severity,
    identity_of,
    service_account_label,
)
from hub.model.native import (
    Change,
    Endpoint,
    Exposed,
    Facts,
    Loss,
    NativeObject,
    Observation,
    Observed,
    Op,
    Role,
    Translation,
)

__all__ = [
    "SERVICE_ACCOUNT_LABEL",
    "Access",
    "Answer",
    "Backend",
    "BackendWord",
    "Change",
    "Client",
    "Declared",
    "Destination",
    "Document",
    "Endpoint",
    "Exposed",
    "Facts",
    "Grant",
    "HttpMatch",
    "Identity",
    "InboundPort",
    "Loss",
    "NativeObject",
    "ObjectRef",
    "Observation",
    "Observed",
    "Op",
    "Origin",
    "Placement",
    "Problem",
    "Reading",
    "Request",
    "Role",
    "Route",
    "RoutePort",
    "RouteWord",
    "Severity",
    "Source",
    "Split",
    "Translation",
    "Transport",
    "Unit",
    "UnitKey",
    "VerdictWord",
    "identity_of",
    "raw_bytes",
    "raw_text",
    "service_account_label",
]

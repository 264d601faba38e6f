"""The words that all rooms share: identities, intent, native objects, problems, requests and answers.

Everything is a frozen value; sequences are tuples, sorted where order has no meaning, so that equal things
are equal bytes. No room's private types live here.

`gc=False`: such a value is made of values that were there before it, so it is in no cycle and Python's garbage collector
need not know it; that saves it 16 bytes, and the collector most of its work. Documents cannot hold cycles either, their
reader refuses recursive aliases.
"""

from hub.model.asking import (
    Answer as Answer,
    BackendWord as BackendWord,
    Destination as Destination,
    Hurdle as Hurdle,
    HurdleWord as HurdleWord,
    NearMiss as NearMiss,
    Request as Request,
    RouteWord as RouteWord,
    Source as Source,
    VerdictWord as VerdictWord,
    raw_bytes as raw_bytes,
    raw_text as raw_text,
)
from hub.model.intent import (
    Access as Access,
    Backend as Backend,
    Baseline as Baseline,
    Client as Client,
    Declared as Declared,
    Grant as Grant,
    HttpMatch as HttpMatch,
    InboundPort as InboundPort,
    Placement as Placement,
    Route as Route,
    RoutePort as RoutePort,
    Split as Split,
    Transport as Transport,
    Unit as Unit,
    UnitKey as UnitKey,
)
from hub.model.names import (
    MANAGED_BY as MANAGED_BY,
    SERVICE_ACCOUNT_LABEL as SERVICE_ACCOUNT_LABEL,
    Document as Document,
    Identity as Identity,
    ObjectRef as ObjectRef,
    Origin as Origin,
    Problem as Problem,
    Reading as Reading,
    Severity as Severity,
    identity_of as identity_of,
    is_label_value as is_label_value,
    printable as printable,
    service_account_label as service_account_label,
)
from hub.model.native import (
    Change as Change,
    Endpoint as Endpoint,
    Exposed as Exposed,
    Facts as Facts,
    Loss as Loss,
    NativeObject as NativeObject,
    Objection as Objection,
    Observation as Observation,
    Observed as Observed,
    Op as Op,
    Role as Role,
    Translation as Translation,
)

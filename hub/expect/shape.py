"""The shape of a file of expectations, as it is written; `smihub schema test` prints it as JSON Schema."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from hub.config.settings import ConfigSection

API_VERSION = "smihub.io/v1alpha1"
Verdict = Literal["allow", "deny", "mixed", "ungoverned"]
Share = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Several = Annotated[list[str], Meta(min_length=1)]
Shares = Annotated[dict[str, Share], Meta(min_length=1)]


class WrittenExpectation(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A request, and what is expected of it: a verdict, or the backends among which calls are shared out."""

    name: Annotated[str, Meta(description="A description; shown if the test fails.")] = ""
    from_: Annotated[
        str | Several,
        Meta(
            description="Who calls: NS/SERVICEACCOUNT, a SPIFFE ID, or outside (a caller without an identity). A list means each of them."
        ),
    ] = field(name="from")
    to: Annotated[
        str | Several,
        Meta(description="The Service port that is called: NS/SERVICE:PORT. A list means each of them."),
    ]
    protocol: Annotated[Literal["http", "tcp", "udp"], Meta(description="The protocol of the request.")] = "http"
    method: Annotated[str | UnsetType, Meta(description="HTTP method; GET by default.")] = UNSET
    path: Annotated[str | UnsetType, Meta(description="HTTP path, including the query; / by default.")] = UNSET
    headers: Annotated[
        dict[str, str | list[str]] | UnsetType, Meta(description="HTTP headers: a value, or a list of them.")
    ] = UNSET
    expect: Annotated[
        Verdict | Shares,
        Meta(
            description="The expected verdict of SMI and of every mesh; or BACKEND: SHARE, for a call that is allowed and split like this."
        ),
    ]
    meshes: Annotated[
        dict[str, Verdict | Shares], Meta(description="The expected verdict of single meshes, by name, if it differs.")
    ] = field(default_factory=dict)
    cluster: Annotated[str, Meta(description="The cluster to ask, if there are several.")] = ""


class Named(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The `metadata` of a file of expectations; for people."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class WrittenTest(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """One document of expectations."""

    api_version: Literal["smihub.io/v1alpha1"]
    kind: Literal["Test"]
    metadata: Named = Named()
    tests: Annotated[tuple[WrittenExpectation, ...], Meta(min_length=1)]

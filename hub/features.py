"""What SMI can ask of a mesh, and how well a mesh can say it: the support table that every adapter declares."""

from __future__ import annotations

from enum import StrEnum


class Feature(StrEnum):
    """One thing that SMI documents can ask for."""

    ACCESS_HTTP_PATH = "access.http.path"
    ACCESS_HTTP_METHOD = "access.http.method"
    ACCESS_HTTP_HEADER = "access.http.header"
    ACCESS_HTTP_PORT = "access.http.port"
    ACCESS_TCP = "access.tcp"
    ACCESS_UDP = "access.udp"
    ACCESS_SPIFFE_SOURCE = "access.source.spiffe"
    ACCESS_LABEL_SOURCE = "access.source.labels"
    ACCESS_LABEL_DESTINATION = "access.destination.labels"
    SPLIT_HTTP = "split.http"
    SPLIT_TCP = "split.tcp"
    SPLIT_UDP = "split.udp"
    SPLIT_MATCHES = "split.matches"


class Support(StrEnum):
    """How a mesh carries a feature out.

    PARTIAL: exactly, or refused with a Loss where the mesh has no words for it. APPROXIMATE exists for splits only, never
    for access.
    """

    FULL = "full"
    PARTIAL = "partial"
    APPROXIMATE = "approximate"
    NOT_YET = "not-yet"
    NEVER = "never"

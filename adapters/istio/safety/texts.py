"""What stands in the fields of Istio objects of smihub: names, labels, ports, and lists that are never empty."""

from __future__ import annotations

from typing import Annotated, TypeVar

from msgspec import Meta

_T = TypeVar("_T")
_DNS = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
_VALUE = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

Name = Annotated[str, Meta(pattern=rf"\A{_DNS}\Z", max_length=253)]
Namespace = Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z", max_length=63)]
LabelKey = Annotated[str, Meta(pattern=rf"\A(?:{_DNS}/)?{_VALUE}\Z", max_length=317)]
LabelValue = Annotated[str, Meta(pattern=rf"\A{_VALUE}\Z")]
Principal = Annotated[str, Meta(pattern=r"\A[a-z0-9._-]+(?:/[A-Za-z0-9._-]+)*\Z", max_length=2048)]
PortText = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,4}\Z")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Method = Annotated[str, Meta(pattern=r"\A(?:[A-Za-z0-9!#$%&'+.^_`|~-]+|\*)\Z")]
Path = Annotated[str, Meta(pattern=r"\A[/*][^?#\x00-\x20\x7f]*\Z", min_length=1)]
Text = Annotated[str, Meta(pattern=r"\A[^\x00-\x08\x0a-\x1f\x7f]+\Z")]
Some = Annotated[tuple[_T, ...], Meta(min_length=1)]

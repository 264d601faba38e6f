"""Fixtures that read one YAML text, as every test of decoding does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from hub.model import Document
from hub.smi import Decoded, decode

Read = Callable[[str], Decoded]


def _read(text: str) -> Decoded:
    return decode(Document(yaml.load(text, yaml.CSafeLoader)))


def _found(decoded: Decoded) -> list[tuple[str, str]]:
    return [(problem.code, problem.field) for problem in decoded.problems]


@pytest.fixture
def read() -> Read:
    """Decodes a YAML text that holds one document."""
    return _read


@pytest.fixture
def valid() -> Callable[[str], Any]:
    """Decodes a YAML text that must give an object and no Problem; gives the object."""

    def read_valid(text: str) -> Any:
        decoded = _read(text)
        assert _found(decoded) == []
        assert decoded.object is not None
        assert decoded.ref == decoded.object.ref
        return decoded.object

    return read_valid


@pytest.fixture
def invalid() -> Callable[[str], list[tuple[str, str]]]:
    """Decodes a YAML text that must give no object; gives (code, field) of its Problems."""

    def read_invalid(text: str) -> list[tuple[str, str]]:
        decoded = _read(text)
        assert decoded.object is None
        assert decoded.problems
        assert all(problem.message and problem.remedy for problem in decoded.problems)
        return _found(decoded)

    return read_invalid

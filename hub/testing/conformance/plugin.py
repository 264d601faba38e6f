"""The pytest plugin: a test file that defines the fixture `smihub_adapter` gets the whole conformance suite.

    import pytest
    from my_mesh.adapter import SPEC

    @pytest.fixture
    def smihub_adapter():
        return SPEC

It is found through pytest's entry points wherever smihub is installed; the suite is imported only for such a file. Further fixtures are
optional: `smihub_config`, `smihub_version`, `smihub_requests` (JudgedRequests), `smihub_family` (a FamilySpec, where none of its name is
installed and bodies are no JSON), `smihub_meaningless` (patterns of fields without effect), `smihub_data_plane` (a DataPlane), `smihub_schema` (a SchemaCheck); see
hub.testing.conformance.subject. `judged_file.read_judged` reads requests from YAML, `crds.crd_schema` makes a schema of CRDs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hub.testing.conformance.certificate import Certificate, CheckRow, Header
    from hub.testing.conformance.subject import PropertyCheck

FIXTURE = "smihub_adapter"
_RECORD = "smihub-conformance"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is searched, and where certificates go."""
    group = parser.getgroup("smihub", "conformance of smihub's adapters")
    group.addoption(
        "--smihub-worlds", type=int, default=2000, help="random worlds of the agreement search (default: 2000)"
    )
    group.addoption("--smihub-seed", default="smihub", help="which random worlds; any text")
    group.addoption(
        "--smihub-certificates",
        default="build/conformance",
        metavar="FOLDER",
        help="where certificates are written, as NAME.json and NAME.txt (default: build/conformance)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect results, also those of the processes of pytest-xdist."""
    config.pluginmanager.register(_Recorder(config), "smihub-conformance-recorder")


# ----------------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture
def smihub_config() -> Any:
    """The settings with which the adapter is judged; None: the defaults."""
    return None


@pytest.fixture
def smihub_version() -> str:
    """The version of the adapter, for the certificate."""
    return ""


@pytest.fixture
def smihub_requests() -> Iterable[Any]:
    """Requests judged by hand from the vendor's documents: JudgedRequests."""
    return ()


@pytest.fixture
def smihub_family(smihub_adapter: Any) -> Any:
    """The FamilySpec of the adapter's objects: the one that is installed; where none is, bodies are JSON."""
    from hub.plugins import installed_plugins  # noqa: PLC0415 - only where the suite runs
    from hub.testing.conformance.subject import JSON  # noqa: PLC0415 - the same

    return installed_plugins().families.get(smihub_adapter.family, JSON)


@pytest.fixture
def smihub_meaningless() -> Iterable[str]:
    """Patterns of fields that may repeat a value without any effect, besides those of the family."""
    return ()


@pytest.fixture
def smihub_data_plane() -> Any:
    """What runs a real data plane; None: the certificate says `model only`."""
    return None


@pytest.fixture
def smihub_schema() -> Any:
    """What is wrong with an object by the vendor's schema: a SchemaCheck; None: no schema is named."""
    return None


@pytest.fixture
def smihub_subject(
    request: pytest.FixtureRequest,
    smihub_adapter: Any,
    smihub_config: Any,
    smihub_requests: Iterable[Any],
    smihub_family: Any,
) -> Any:
    """All of it together: a AdapterUnderTest."""
    from hub.testing.conformance.subject import AdapterUnderTest, Sizes  # noqa: PLC0415 - only where the suite runs

    option = request.config.getoption
    worlds = option("--smihub-worlds")
    return AdapterUnderTest(
        spec=smihub_adapter if smihub_config is None else smihub_adapter.under(smihub_config),
        config=smihub_config,
        version=request.getfixturevalue("smihub_version"),
        judged=tuple(smihub_requests),
        data_plane=request.getfixturevalue("smihub_data_plane"),
        schema=request.getfixturevalue("smihub_schema"),
        family=smihub_family,
        unread=tuple(request.getfixturevalue("smihub_meaningless")),
        sizes=Sizes(worlds, few=max(worlds // 20, 10), seed=option("--smihub-seed")),
    )


# ---------------------------------------------------------------------------------------------------------- the suite


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:
    """The tests of the suite, in the place of the fixture by which an author asks for them."""
    if name != FIXTURE or not isinstance(collector, pytest.Module):
        return None
    from hub.testing.conformance.suite import CHECKS  # noqa: PLC0415 - only where the suite runs

    return [
        pytest.Function.from_parent(collector, name=f"test_conformance[{check.name}]", callobj=_test_of(check))
        for check in CHECKS
    ]


def _test_of(check: PropertyCheck) -> Callable[..., None]:
    def test_conformance(smihub_subject: Any, request: pytest.FixtureRequest) -> None:
        from msgspec import json  # noqa: PLC0415 - only where the suite runs

        from hub.testing.conformance.certificate import failures_lines, header_of, row_of  # noqa: PLC0415 - the same
        from hub.testing.conformance.suite import run_one  # noqa: PLC0415 - the same

        row = row_of(run_one(smihub_subject, check))
        record = json.encode((header_of(smihub_subject), row)).decode()
        request.node.user_properties.append((_RECORD, record))
        if row.failures:
            pytest.fail("\n".join(failures_lines(row.failures)), pytrace=False)

    test_conformance.__doc__ = "; ".join(check.properties.values())
    return test_conformance


class _Recorder:
    """Keeps what was found, and writes certificates when the session ends."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found: dict[str, list[str]] = {}
        self._written: list[tuple[Certificate, Path]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the record out of a report: it is not for JUnit files."""
        if report.when != "call":
            return
        for name, value in report.user_properties:
            if name == _RECORD:
                self._found.setdefault(report.nodeid.partition("::")[0], []).append(str(value))
        if not hasattr(self._config, "workerinput"):
            report.user_properties = [one for one in report.user_properties if one[0] != _RECORD]

    def pytest_sessionfinish(self) -> None:
        """Write a certificate for every file that asked for one."""
        if self._found and not hasattr(self._config, "workerinput"):
            folder = self._config.rootpath / str(self._config.getoption("--smihub-certificates"))
            self._written = _written(folder, [_certified(records) for records in self._found.values()])

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Processor seconds of each property, and where the certificate is."""
        for made, path in self._written:
            from hub.testing.conformance.certificate import cpu_words  # noqa: PLC0415 - only where the suite ran

            word = "passes" if made.passed else "does not pass"
            terminalreporter.section(f"{made.adapter} {word} the conformance kit ({made.proof})")
            for name, took in cpu_words(made):
                terminalreporter.write_line(f"{name}: {took}")
            terminalreporter.write_line(f"certificate: {path} and {path.with_suffix('.txt').name}")


def _certified(records: Iterable[str]) -> Certificate:
    from msgspec import json  # noqa: PLC0415 - only where the suite ran

    from hub.testing.conformance import certificate  # noqa: PLC0415 - the same

    read = json.Decoder(tuple[certificate.Header, certificate.CheckRow])
    pairs: list[tuple[Header, CheckRow]] = [read.decode(record) for record in records]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    header = certificate.one_header([one for one, _ in pairs])
    return certificate.certify(header, [row for _, row in pairs], date)


def _written(folder: Path, made: Iterable[Certificate]) -> list[tuple[Certificate, Path]]:
    """Write them. Of several of one adapter, that under its name is one that does not pass, if there is any."""
    from hub.testing.conformance import certificate  # noqa: PLC0415 - only where the suite ran

    folder.mkdir(parents=True, exist_ok=True)
    found: list[tuple[Certificate, Path]] = []
    for one in sorted(made, key=lambda each: (each.adapter, each.passed)):
        before = sum(other.adapter == one.adapter for other, _ in found)
        path = folder / (f"{one.adapter}-{before + 1}.json" if before else f"{one.adapter}.json")
        path.write_bytes(certificate.to_json_bytes(one))
        path.with_suffix(".txt").write_text(certificate.to_text(one), encoding="utf-8")
        found.append((one, path))
    return found

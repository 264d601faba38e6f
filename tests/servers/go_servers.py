"""Builds real servers for tests from Go modules, once per version.

Each folder of `tests/servers/go` pins one server by go.mod and go.sum. The result is a folder
`~/.cache/smihub/<server>-<version>` with one static binary (and, where its recipe names them, the CRDs of its module),
made again when its recipe changes.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

MODULES = Path(__file__).parent / "go"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smihub"
CRDS = "crds.yaml"


class MissingToolError(RuntimeError):
    """A program that these tests need is not installed; the message says how to get it."""


class Server(Struct, frozen=True):
    """One server: its module (whose version names the result), its main package, and more linker flags.

    `{version}` in the flags is the version; `crds` is a file of the module that is kept beside the binary.
    """

    name: str
    module: str
    package: str
    flags: str = ""
    crds: str = ""

    @property
    def source(self) -> Path:
        """The folder of its go.mod."""
        return MODULES / self.name

    @property
    def version(self) -> str:
        """The version that go.mod pins."""
        text = (self.source / "go.mod").read_text(encoding="utf-8")
        found = re.search(rf"^(?:require\s+|\t){re.escape(self.module)} (v\S+)", text, re.MULTILINE)
        assert found is not None, f"go.mod of {self.name} does not require {self.module}"
        return found.group(1)

    @property
    def recipe(self) -> str:
        """A digest of everything that decides the binary."""
        parts = [(self.source / name).read_bytes() for name in ("go.mod", "go.sum")]
        return sha256(b"\0".join([*parts, self.package.encode(), self.flags.encode()])).hexdigest()

    @property
    def folder(self) -> Path:
        """Where the result is kept."""
        return CACHE / f"{self.name}-{self.version}"

    @property
    def binary(self) -> Path:
        """The built program."""
        return self.folder / self.name

    def is_built(self) -> bool:
        """Whether the result of this very recipe is there."""
        said = self.folder / "recipe"
        return self.binary.is_file() and said.is_file() and said.read_text(encoding="utf-8") == self.recipe


def built(server: Server) -> Server:
    """The same server, built if it was not. Raises MissingToolError, or RuntimeError with Go's own words."""
    if server.is_built():
        return server
    with alone(server):
        if not server.is_built():
            _build(server)
    return server


@contextmanager
def alone(server: Server) -> Iterator[None]:
    """Let no other process make the same result meanwhile."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{server.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(server: Server) -> None:
    started = time.monotonic()
    print(f"building {server.name} {server.version}, for some minutes when it is the first time", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix=".building-", dir=CACHE) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        flags = f"-s -w {server.flags.format(version=server.version)}".strip()
        run_go(server, "build", "-trimpath", "-ldflags", flags, "-o", str(made / server.name), server.package)
        if server.crds:
            shutil.copyfile(_module_folder(server) / server.crds, made / CRDS)
        (made / "recipe").write_text(server.recipe, encoding="utf-8")
        if server.folder.exists():
            server.folder.rename(Path(scratch, "old"))
        made.rename(server.folder)
    print(f"built {server.name} in {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201


def _module_folder(server: Server) -> Path:
    """Where the module cache keeps the source of the server's module."""
    return Path(json.loads(run_go(server, "list", "-m", "-json", server.module))["Dir"])


def run_go(server: Server, *arguments: str) -> str:
    """Run Go in the server's folder; gives what it printed."""
    go = shutil.which("go")
    if go is None:
        raise MissingToolError("go is missing (1.26 or newer): sudo apt install golang-go, or from https://go.dev/dl")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    done = subprocess.run(
        [go, *arguments], cwd=server.source, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"go {arguments[0]} of {server.name} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def build(servers: Sequence[Server]) -> int:
    """Build what is not there; exit code 1 with one line if a tool is missing."""
    try:
        for server in servers:
            print(built(server).binary, flush=True)  # noqa: T201
    except (MissingToolError, RuntimeError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0

"""Pin what make setup and make docs install: `python .ci/pins.py < versions > constraints.txt` (see make constraints).

Standard input names a version per line (`name==1.2`). For every Python and platform that we install on, pip says which file it
would take and what its SHA-256 is, by the index that it is configured for; nothing is installed. An install from the result
takes these files or none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
GLIBCS = (31, 41)
"""Linux from glibc 2.31 on, which the Envoy wheel asks for, and a newer one, for which there may be other files."""
HEAD = "# Every version and file that is installed from this list; written by make constraints."


def main() -> int:
    """Exit code: 1 if a version has no file for one of the platforms."""
    pins = [line for line in sys.stdin.read().split() if "==" in line]
    found: dict[str, set[str]] = {pin: set() for pin in pins}
    for target in product(PYTHONS, MACHINES, GLIBCS):
        for name, digest in files_of(pins, *target):
            found[name].add(digest)
    print(HEAD)
    for pin in sorted(pins, key=str.lower):
        print(" \\\n    ".join([pin, *(f"--hash=sha256:{digest}" for digest in sorted(found[pin]))]))
    return 0


def files_of(pins: Sequence[str], python: str, machine: str, glibc: int) -> Iterator[tuple[str, str]]:
    """The pin and the digest of each file that pip takes for this platform. Raises CalledProcessError if one is missing."""
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(glibc, 4, -1)]
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder) / "wanted.txt", Path(folder) / "report.json"
        wanted.write_text("\n".join(pins), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
        command += [
            "--only-binary=:all:",
            f"--python-version={python}",
            *platforms,
            f"--platform=manylinux2014_{machine}",
        ]
        command += [f"--target={folder}/target", f"--report={report}", f"--requirement={wanted}"]
        subprocess.run(command, check=True)  # noqa: S603 - our own arguments
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    by_name = {normal(pin.partition("==")[0]): pin for pin in pins}
    for each in installed:
        yield by_name[normal(each["metadata"]["name"])], each["download_info"]["archive_info"]["hashes"]["sha256"]


def normal(name: str) -> str:
    """A project's name as indexes compare it."""
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    sys.exit(main())

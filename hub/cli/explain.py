"""`smihub explain`: who may call what, by SMI and by each mesh, and what decides it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer
from rich.markup import escape

from hub.cli.context import ERR, Exit, Output, clean_errors, emit, print_lines, progress
from hub.cli.show import problem_line
from hub.errors import ConfigError
from hub.explain import Explainer
from hub.model import Answer
from hub.reconcile import explainer_for
from hub.requests import RequestError, decode, decode_line, explained_to_json

_EPILOG = (
    "Examples: [bold]smihub explain --from shop/web --to shop/api:80 --path /v1/books[/bold], "
    "[bold]smihub explain --batch requests.jsonl --source manifests/[/bold]"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=_EPILOG)(explain)


def explain(
    caller: Annotated[str | None, typer.Option("--from", help="Who calls: NS/SERVICEACCOUNT or a SPIFFE id.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="The Service port called: NS/SERVICE:PORT.")] = None,
    method: Annotated[str, typer.Option(help="HTTP method.")] = "GET",
    path: Annotated[str, typer.Option(help="HTTP path, with its query if any.")] = "/",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="k=v, may be given again.")] = None,
    protocol: Annotated[str, typer.Option(help="http, tcp or udp.")] = "http",
    batch: Annotated[str | None, typer.Option(help="JSON lines in a file, or - for standard input.")] = None,
    source: Annotated[Path | None, typer.Option(help="Read this folder, without any configuration.")] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("smihub.yaml"),
    output: Annotated[Output, typer.Option("-o", help="How to print one answer.")] = Output.TEXT,
) -> None:
    """Say whether a request is allowed by SMI and by each mesh, which object decides, and where calls are routed."""
    with clean_errors():
        if (batch is None) == (to is None):
            raise ConfigError("give either --from and --to, or --batch")
        explainer = _explainer(source, config)
        if batch is not None:
            raise typer.Exit(_batch(explainer, batch))
        asked = decode(_request(caller, to or "", method, path, protocol, header or []))
        smi, meshes = explainer.explain(asked.request)
        if output is not Output.TEXT:
            emit(explained_to_json(smi, meshes), output)
            return
        print_lines(_text(smi, meshes, explainer.explain_limits()))


def _explainer(source: Path | None, config: Path) -> Explainer:
    """Both readings; files that cannot be read are told on stderr, and grant nothing."""
    with progress("reading the sources"):
        explainer, unread = explainer_for(source, config)
    for problem in unread:
        ERR.print(problem_line(problem))
    return explainer


def _text(smi: Answer, meshes: Mapping[str, Answer], limits: Sequence[str]) -> Iterator[str]:
    yield from _answer_lines("SMI", smi)
    for name, answer in meshes.items():
        yield from _answer_lines(f"mesh {name}", answer)
        if answer.verdict != smi.verdict:
            why = ", ".join(answer.losses) or "no loss explains it: please report this"
            yield f"  [yellow]differs from SMI[/yellow]: {escape(why)}"
    yield from (f"[dim]note: {escape(limit)}[/dim]" for limit in limits)


def _answer_lines(who: str, answer: Answer) -> Iterator[str]:
    colour = {"allow": "green", "deny": "red"}.get(answer.verdict, "yellow")
    because = ", ".join(answer.by) or "nothing grants it"
    yield f"[bold]{escape(who)}[/bold]: [{colour}]{answer.verdict}[/{colour}]  {escape(because)}"
    if answer.route is None:
        return
    yield f"  route: {answer.route}"
    for service, share in sorted((answer.weights or {}).items()):
        yield f"    {escape(service)}  {share}  {(answer.backends or {}).get(service, '')}"


def _request(
    caller: str | None, to: str, method: str, path: str, protocol: str, header: list[str]
) -> dict[str, object]:
    service, colon, port = to.rpartition(":")
    if not colon or not port.isdigit():
        raise ConfigError(f'--to "{to}": write NS/SERVICE:PORT')
    headers: dict[str, list[str]] = {}
    for line in header:
        name, equals, value = line.partition("=")
        if not equals:
            raise ConfigError(f'-H "{line}": write NAME=VALUE')
        headers.setdefault(name, []).append(value)
    request: dict[str, object] = {
        "src": _source(caller),
        "dst": {"service": service},
        "port": int(port),
        "protocol": protocol,
    }
    return request | ({"method": method, "path": path, "headers": headers} if protocol == "http" else {})


def _source(caller: str | None) -> dict[str, object]:
    if caller is None:
        return {"outside": True}
    return {"spiffe": caller} if caller.startswith("spiffe://") else {"identity": caller}


def _batch(explainer: Explainer, where: str) -> int:
    """Answer every line, in order; exit code 1 if a line could not be read."""
    code = int(Exit.SAME)
    write = sys.stdout.buffer.write
    for line in _lines(where):
        try:
            asked = decode_line(line)
        except RequestError as error:
            code = int(Exit.ERROR)
            write(msgspec.json.encode(error.to_json()) + b"\n")
            continue
        smi, meshes = explainer.explain(asked.request)
        write(msgspec.json.encode(explained_to_json(smi, meshes, asked.id)) + b"\n")
    sys.stdout.buffer.flush()
    return code


def _lines(where: str) -> Iterator[bytes]:
    if where == "-":
        yield from _stripped(sys.stdin.buffer)
        return
    try:
        with Path(where).open("rb") as file:
            yield from _stripped(file)
    except OSError as error:
        raise ConfigError(f'cannot read "{where}": {error.strerror}') from None


def _stripped(file: BinaryIO) -> Iterator[bytes]:
    for line in file:
        if line.strip():
            yield line
        else:
            ERR.print("[yellow]note[/yellow]: an empty line was skipped")

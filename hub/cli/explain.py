"""`smihub explain`: who may call what, by SMI and by each mesh, and what decides it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from hub.api import Evaluator
from hub.cli import completion
from hub.cli.batch import Answering, answer_lines
from hub.cli.context import (
    ERR,
    OUT,
    ConfigOption,
    Exit,
    Output,
    OutputOption,
    clean_errors,
    emit,
    line,
    print_lines,
    progress,
    run_now,
)
from hub.cli.denied import log_in, tell
from hub.cli.show import problem_line
from hub.cli.verdict import compared, near_lines, verdict_lines
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.explain import Explainer
from hub.explaining import Explained, explain_folder, explain_hub
from hub.model import Answer, Request
from hub.plugins import load_plugins
from hub.reconcile.domains import Domains
from hub.requests import decode

_PORT = re.compile("[0-9]{1,5}")
_EPILOG = (
    "Examples: [bold]smihub explain --from shop/web --to shop/api:80 --path /v1/books[/bold], "
    "[bold]smihub explain --batch requests.jsonl --source manifests/[/bold]"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=_EPILOG)(explain)


def explain(
    caller: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NS/SERVICEACCOUNT",
            autocompletion=completion.identities,
            help="Who calls: NS/SERVICEACCOUNT or a SPIFFE id; nobody known if left out.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="NS/SERVICE:PORT", autocompletion=completion.ports, help="The Service port called."
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="HTTP method.")] = "GET",
    path: Annotated[str, typer.Option(help="HTTP path, with its query if any.")] = "/",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="NAME=VALUE, may be given again.")] = None,
    protocol: Annotated[str, typer.Option(metavar="http|tcp|udp", help="What the caller speaks.")] = "http",
    batch: Annotated[
        str | None, typer.Option(metavar="FILE", help="JSON lines in a file, or - for standard input.")
    ] = None,
    access_log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A sidecar's log of denials: explain each distinct one.")
    ] = None,
    near: Annotated[
        bool, typer.Option("--near", help="With --batch: also what nearly grants each denied request.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Read this folder (- for standard input), without any configuration."),
    ] = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    domain: Annotated[
        str, typer.Option(metavar="NAME", help="The domain in which to look, where smihub.yaml has several.")
    ] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say whether a request is allowed by SMI and by each mesh, which object decides, and where calls are routed."""
    with clean_errors():
        if sum(one is not None for one in (batch, to, access_log)) != 1:
            raise ConfigError("give either --from and --to, or --batch, or --access-log")
        if batch == "-" and str(source) == "-":
            raise ConfigError("--batch and --source cannot both read standard input; name a file for one of them")
        denied = None if access_log is None else log_in(access_log)
        asked = None if to is None else decode(_request(caller, to, method, path, protocol, header or [])).request
        explained, standing = run_now(_explained(source, config, domain, asked))
        code = Exit.SAME
        if asked is not None:
            _answer(explained.explainers, asked, output, standing)
        elif denied is not None:
            answering = Answering(explained.explainers, near=True)
            tell(denied, answering, output, partial(_show_all, explained.explainers, standing=standing))
        else:
            code = answer_lines(Answering(explained.explainers, near), batch or "-")
    raise typer.Exit(code if explained.whole else Exit.ERROR)


Standing = Mapping[str, Evaluator]


async def _explained(
    source: Path | None, config: Path, domain: str, asked: Request | None
) -> tuple[Explained, Standing]:
    """Both readings; what grants nothing is told on stderr. Beside what cannot be read, also what stands in each mesh."""
    if source is not None:
        with progress("reading the sources"):
            explained = explain_folder(source, load_plugins())
        _tell(explained)
        return explained, {}
    domains = Domains.open(config)
    try:
        hub = domains.hub(domain)
        with progress("reading the sources"):
            explained = await explain_hub(hub)
        _tell(explained)
        await hub.recall()
        return explained, await hub.in_force() if asked is not None and hub.intake.incomplete else {}
    finally:
        await domains.close()


def _tell(explained: Explained) -> None:
    for problem in explained.problems:
        ERR.print(problem_line(problem))
    if (more := explained.all_problems - len(explained.problems)) > 0:
        ERR.print(f"... and {more} more; smihub check tells all")


def _answer(explainers: Mapping[str, Explainer], request: Request, output: Output, standing: Standing) -> None:
    if output is not Output.TEXT:
        emit(Answering(explainers, near=True).reply(request), output)
        return
    _show_all(explainers, request, standing)
    limits = {mesh: limit for each in explainers.values() for mesh, limit in each.limits().items()}
    for mesh, limit in limits.items():
        OUT.print(line((f"note: mesh {mesh}: {limit} (capture.bypass; smihub check names such ports)", "dim")))


def _show_all(explainers: Mapping[str, Explainer], request: Request, standing: Standing) -> None:
    for name, explainer in explainers.items():
        if len(explainers) > 1:
            OUT.print(line((f'cluster "{name}"', "bold")))
        _show(explainer, request, standing)


def _show(explainer: Explainer, request: Request, standing: Standing) -> None:
    smi, meshes = explainer.explain(request)
    print_lines(verdict_lines("SMI", request, smi))
    print_lines(near_lines(explainer.near(request)))
    for mesh, answer in meshes.items():
        print_lines(verdict_lines(f"mesh {mesh}", request, answer))
        reasons = explainer.reasons(mesh, request, answer) if answer.losses else []
        OUT.print(compared(_asked_of(explainer, request, smi, answer), answer, reasons))
        if mesh in standing and (now := standing[mesh].judge(request).verdict) != answer.verdict:
            OUT.print(line(("  in force: ", "bold"), f"{now}, kept from the last apply; see smihub plan"))


def _asked_of(explainer: Explainer, request: Request, smi: Answer, mesh: Answer) -> Answer:
    """SMI's answer to what a mesh's application receives, which is another path where the mesh normalises."""
    if mesh.received is None:
        return smi
    said = explainer.explain(replace(request, path=mesh.received))[0]
    OUT.print(line(f'  the application receives "{mesh.received}", of which SMI says: {said.verdict}'))
    return said


def _request(
    caller: str | None, to: str, method: str, path: str, protocol: str, header: list[str]
) -> dict[str, object]:
    service, colon, port = to.rpartition(":")
    if not colon or not _PORT.fullmatch(port):
        raise ConfigError(f'--to "{to}": write NS/SERVICE:PORT')
    headers: dict[str, list[str]] = {}
    for written in header:
        name, equals, value = written.partition("=")
        if not equals:
            raise ConfigError(f'-H "{written}": write NAME=VALUE')
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

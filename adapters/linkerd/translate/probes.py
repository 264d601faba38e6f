"""Probes of kubelets that smihub.yaml opens: each path as a claim of whoever calls from the networks of nodes.

A route on a Server ends the route that Linkerd makes for probes by itself, and a kubelet proves no identity, so such requests
need a route of their own with a NetworkAuthentication (https://linkerd.io/2-edge/reference/authorization-policy/#probe-authorization;
observed on Linkerd edge-26.8). This is wider than SMI, so it is for the exact path, GET and port alone, and told as a Loss.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from adapters.linkerd.config import LinkerdConfig, Probe
from adapters.linkerd.translate.grants import NODES, Claim
from adapters.linkerd.translate.losses import OPENED
from adapters.linkerd.translate.patterns import MAX_STEPS, Pattern, granted_path
from adapters.linkerd.translate.ports import ServedPort, counts
from hub.api import Grant, HttpMatch, Identity, Objection, ObjectRef

_SPECIAL = re.compile(r"[.+*?()|\[\]{}^$\\]")


def probes_of(account: Identity, config: LinkerdConfig) -> tuple[Probe, ...]:
    """The probes that are opened for the Pods of an account."""
    name = f"{account.namespace}/{account.service_account}"
    every = () if config.probes is None else config.probes.allow
    return tuple(sorted({one for one in every if one.account == name}, key=lambda one: (one.port, one.path)))


def probe_claims(account: Identity, probes: Iterable[Probe], port: ServedPort) -> dict[Claim, Probe]:
    """What is to be opened on one port; nothing where requests cannot be told from bytes."""
    return {_claim(account, probe): probe for probe in probes if is_possible(account, probe, port)}


def is_possible(account: Identity, probe: Probe, port: ServedPort) -> bool:
    """Whether a port is one on which a probe can be opened."""
    return probe.port == port.number and counts(_claim(account, probe).grant, port)


def opened(probes: Sequence[Probe], networks: Iterable[str]) -> Objection:
    """What is told of the probes that are opened on one port."""
    paths = " and ".join(f"GET {probe.path}" for probe in probes)
    what, where = f"{paths} on port {probes[0].port}", ", ".join(networks)
    message = f'"probes" in smihub.yaml opens {what} to callers in {where}, who need no identity'
    return Objection(OPENED, message, f"{what} from {where}", 'remove it from "probes" in smihub.yaml')


def refused(probe: Probe) -> Objection:
    """Why a probe is not opened."""
    message = f'"probes" in smihub.yaml names port {probe.port}, which is not HTTP to Linkerd, or may not be, so no path can be opened there'
    remedy = "probe another port, or use an exec probe"
    return Objection("linkerd.probe-not-http", message, f"GET {probe.path} on port {probe.port}", remedy)


def origin_of(account: Identity) -> ObjectRef:
    """The object of which probes are told."""
    return ObjectRef("", "ServiceAccount", account.namespace, account.service_account)


def _claim(account: Identity, probe: Probe) -> Claim:
    """A probe as a claim, of a grant that nobody wrote, so that what is lost of it can be told as of one."""
    match = HttpMatch(_SPECIAL.sub(r"\\\g<0>", probe.path), ("GET",))
    grant = Grant(origin_of(account), (), "TCP", (probe.port,), (match,))
    path, _ = granted_path(match.path or "", MAX_STEPS)
    assert isinstance(path, Pattern)  # noqa: S101 - a short text in normal form, as the settings demand
    return Claim(grant, match, frozenset({NODES}), path, frozenset({"GET"}))

"""What an object that cannot be read may be: how much of it is read all the same, so that doubt reaches no further."""

from __future__ import annotations

from hub.model import ObjectRef
from hub.smi.fields import Labels
from hub.smi.kinds import inner
from hub.smi.names import is_label, is_subdomain
from hub.smi.types import Doubt, Service, SmiObject, Workload

_TEMPLATE = ("spec", "template", "spec")
_SPECS = {
    ("smihub.io", "Workload"): ("spec",),
    ("", "Pod"): ("spec",),
    **{("apps", kind): _TEMPLATE for kind in ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")},
    ("argoproj.io", "Rollout"): _TEMPLATE,
    ("apps.openshift.io", "DeploymentConfig"): _TEMPLATE,
    ("serving.knative.dev", "Service"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
}
"""Where each kind of workload keeps the spec of what runs."""
_SERVICE = ("", "Service")
DOUBTED = frozenset({_SERVICE, *_SPECS})
"""The kinds that say what ports speak: an object of them that cannot be read leaves that open."""


def doubt_in(ref: ObjectRef, value: object, *, legible: bool = True) -> Doubt | None:
    """What a document of this kind may be, if it cannot be read whole; None for kinds that declare nothing.

    `legible` is False where not even its version is known. A namespace that is none may be any.
    """
    if (ref.group, ref.kind) not in DOUBTED:
        return None
    certain = legible and is_label(ref.namespace)
    namespace = ref.namespace if is_label(ref.namespace) else ""
    if (ref.group, ref.kind) == _SERVICE:
        return Doubt(ref, namespace, "service", selector=_selector(value) if certain else None)
    return Doubt(ref, namespace, "workload", account=_account(ref, value) if certain else None)


def doubt_of(found: SmiObject) -> Doubt | None:
    """The same of a copy that can be read, where others contradict it."""
    ref = found.ref
    if isinstance(found, Service):
        return Doubt(ref, ref.namespace, "service", selector=found.selector or ())
    if isinstance(found, Workload):
        return Doubt(ref, ref.namespace, "workload", account=found.service_account)
    return None


def _selector(value: object) -> Labels | None:
    """The labels that a Service selects by, () if it selects nothing; None if that cannot be read."""
    spec = inner(value, "spec")
    written = spec.get("selector") if isinstance(spec, dict) else spec
    # Without a selector a Service selects nothing, as in Kubernetes; None would mean that it may select anybody.
    if written is None:
        return ()
    if not isinstance(written, dict) or not all(map(_is_text, (*written, *written.values()))):
        return None
    return tuple(sorted(written.items()))


def _account(ref: ObjectRef, value: object) -> str | None:
    """The account that a workload runs under, None if that cannot be read."""
    *above, last = _SPECS[ref.group, ref.kind]
    holder = inner(value, *above)
    if not isinstance(holder, dict):
        return None
    spec = holder.get(last)
    if ref.kind == "Workload":
        account = inner(spec, "serviceAccount")
    elif isinstance(spec, dict | None):
        account = _pod_account(spec or {})
    else:
        return None
    return account if isinstance(account, str) and is_subdomain(account) else None


def _pod_account(spec: dict[str, object]) -> object:
    named, alias = (spec.get(key) for key in ("serviceAccountName", "serviceAccount"))
    if not all(text is None or isinstance(text, str) for text in (named, alias)):
        return None
    return named or alias or "default"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)

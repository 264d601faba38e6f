"""Whether a mesh that selects Pods by label finds all those of an identity, and no others.

Pure. A Pod without the label is open, since no policy selects it; a foreign Pod that carries it gets somebody else's
policy. In a cluster an admission policy sets the label; documents show whether it was written (docs/istio.md).
"""

from __future__ import annotations

from collections.abc import Iterator

from hub.intent.names import is_workload
from hub.model import SERVICE_ACCOUNT_LABEL, ObjectRef, Problem, UnitKey, service_account_label
from hub.plan.guards import Refusal
from hub.store import Store

CODE = "selector.unlabelled-pods"
_LABELS_AT = {"Pod": "metadata.labels", "CronJob": "spec.jobTemplate.spec.template.metadata.labels"}


def unbound(store: Store, key: UnitKey) -> Iterator[Refusal]:
    """A refusal for each workload of an identity that lacks the label, and each foreign one that carries it."""
    value = service_account_label(key.name)
    own = frozenset(store.workloads_of(key.namespace, key.name))
    carriers = store.carriers(key.namespace, SERVICE_ACCOUNT_LABEL, value)
    for ref in sorted(ref for ref in own - carriers if not is_workload(ref)):
        message = f'{ref} runs as service account "{key.name}" without the label that policies select it by, so it is open to every caller'
        yield Refusal(CODE, message, f'add "{SERVICE_ACCOUNT_LABEL}: {value}" to {_place(ref)}', key, str(ref))
    for ref in sorted(carriers - own):
        message = (
            f'{ref} has the label "{SERVICE_ACCOUNT_LABEL}: {value}" but does not run as service account "{key.name}"'
        )
        yield Refusal(CODE, message, f"remove the label from {_place(ref)}", key, str(ref))


def rebuilt(file: str, problem: Problem, key: UnitKey) -> Refusal:
    """What is refused because objects of this unit are read from `file` as they are there, and deployed otherwise (`problem`)."""
    message = f"{problem.message} ({file}), so the running Pods may differ from these; no policy selects them, and they are open to every caller"
    return Refusal(problem.code, message, problem.remedy, key)


def _place(ref: ObjectRef) -> str:
    return _LABELS_AT.get(ref.kind, "spec.template.metadata.labels")

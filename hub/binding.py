"""Whether a mesh that selects Pods by label finds all those of an identity, and no others, and whether they refuse the rest.

Pure. A Pod without the label is open, since no policy selects it; a foreign Pod that carries it gets somebody else's
policy. In a cluster an admission policy sets the label; documents show whether it was written (docs/istio.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hub.intent.names import is_workload
from hub.model import SERVICE_ACCOUNT_LABEL, ObjectRef, Problem, UnitKey, service_account_label
from hub.plan.guards import Refusal
from hub.store import Store
from hub.unseen import Excluded

CODE, UNANNOTATED = "selector.unlabelled-pods", "capture.unannotated-pods"
_METADATA_AT = {"Pod": "metadata", "CronJob": "spec.jobTemplate.spec.template.metadata"}


def unprotected(
    store: Store, key: UnitKey, label: str, annotations: Mapping[str, str], without: Sequence[Excluded]
) -> Iterator[Refusal]:
    """What keeps a mesh that selects Pods by a label ("": by none), asks for annotations, and is `without` some Pods, from protecting them."""
    if label:
        yield from unbound(store, key)
    yield from unannotated(store, key, annotations)
    for one in without:
        yield from excluded(store, key, one)


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


def unannotated(store: Store, key: UnitKey, annotations: Mapping[str, str]) -> Iterator[Refusal]:
    """A refusal for each workload of an identity, and each of these annotations that it lacks, or has with another value."""
    for ref in sorted(store.workloads_of(key.namespace, key.name)):
        found = store.workload(ref)
        carried = {} if found is None else dict(found.annotations)
        for name, value in annotations.items() if found is not None and not is_workload(ref) else ():
            if carried.get(name) == value:
                continue
            message = f'{ref} does not have the annotation "{name}: {value}", so its proxy lets other callers in while it starts, and on ports that nothing names'
            remedy = f'add "{name}: {value}" to {_place(ref, "annotations")}'
            yield Refusal(UNANNOTATED, message, remedy, key, str(ref))


def excluded(store: Store, key: UnitKey, by: Excluded) -> Iterator[Refusal]:
    """A refusal for each workload of an identity that has a label by which a mesh can enforce nothing, or not all, for it."""
    carriers = store.carriers(key.namespace, by.label, by.value)
    for ref in sorted(carriers.intersection(store.workloads_of(key.namespace, key.name))):
        pair = f'"{by.label}: {by.value}"'
        yield Refusal(
            by.code, f"{ref} has the label {pair}, so {by.message}", f"remove it from {_place(ref)}", key, str(ref)
        )


def rebuilt(file: str, problem: Problem, key: UnitKey) -> Refusal:
    """What is refused because objects of this unit are read from `file` as they are there, and deployed otherwise (`problem`)."""
    message = f"{problem.message} ({file}), so the running Pods may differ from these; no policy selects them, and they are open to every caller"
    return Refusal(problem.code, message, problem.remedy, key)


def _place(ref: ObjectRef, part: str = "labels") -> str:
    return f"{_METADATA_AT.get(ref.kind, 'spec.template.metadata')}.{part}"

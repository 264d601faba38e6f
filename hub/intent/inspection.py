"""Problems of objects that no unit reports: those that reach no destination, and those of a single object."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hub.intent.accesses import upstream_fault
from hub.intent.names import bound_accounts, destination, is_workload, own_identity
from hub.intent.ports import is_contended
from hub.intent.splits import read_split, root_of
from hub.intent.targets import identity_binding, resolve
from hub.intent.view import ACCESS, ProblemCollector, View, remedy_if_absent, why_absent
from hub.model import ObjectRef, Problem
from hub.smi.names import is_subdomain
from hub.smi.types import IdentityBinding, SmiObject, TrafficSplit, TrafficTarget, Workload


def inspect(view: View, ref: ObjectRef) -> tuple[Problem, ...]:
    """What is wrong with one object, as far as no unit says so; nothing if it does not exist."""
    found = view.get(ref)
    check = _CHECKS.get(type(found))
    return check(view, found) if check is not None and found is not None else ()


def inspectable(found: SmiObject | None) -> bool:
    """Whether `inspect` may have anything to say about the object; Pods come by the thousand and have nothing."""
    return type(found) in _CHECKS and not (isinstance(found, Workload) and not is_workload(found.ref))


def _target(view: View, target: SmiObject) -> tuple[Problem, ...]:
    """A TrafficTarget that no Access unit reads; every Access reads those that name its ServiceAccount."""
    if not isinstance(target, TrafficTarget):
        return ()
    notes = ProblemCollector(target.ref)
    subject = destination(target)
    if subject is None:
        _bad_destination(target, notes)
        return notes.problems
    if subject.kind == "ServiceAccount":
        return ()
    binding = identity_binding(view, subject.namespace, subject.name)
    if binding is None:
        ref = ObjectRef(ACCESS, "IdentityBinding", subject.namespace, subject.name)
        message = f"{why_absent(view, ref)}, so nothing is granted"
        remedy = remedy_if_absent(view, ref, "create it, or use a ServiceAccount")
        notes.error("target.destination-missing", "spec.destination.name", message, remedy)
    elif not binding.labels and not any(True for _ in bound_accounts(binding, view.trust_domain)):
        message = f'IdentityBinding "{subject.name}" matches no workload in this namespace, so nothing is granted'
        notes.error(
            "target.destination-nobody", "spec.destination.name", message, "bind a service account or pod labels"
        )
    return (*notes.problems, *resolve(view, target).problems)


def _bad_destination(target: TrafficTarget, notes: ProblemCollector) -> None:
    subject, own = target.destination, target.ref.namespace
    if subject.kind not in {"ServiceAccount", "IdentityBinding"}:
        if subject.kind:  # without a kind: the decoder has said why
            message = f'a destination of kind "{subject.kind}" matches no workload, so nothing is granted'
            notes.error("target.destination-kind", "spec.destination.kind", message, 'use "ServiceAccount"')
        return
    if subject.namespace not in {"", own}:
        message = f'the destination is in namespace "{subject.namespace}" but this TrafficTarget is in "{own}", so it is ignored'
        remedy = "move the TrafficTarget to the namespace of its destination"
        notes.error("target.destination-namespace", "spec.destination.namespace", message, remedy)
        return
    message = f'"{subject.name}" is not a valid Kubernetes name, so nothing is granted'
    notes.error("target.destination-name", "spec.destination.name", message, "use a name; SMI has no wildcards")


def _split(view: View, split: SmiObject) -> tuple[Problem, ...]:
    """A TrafficSplit that no Route unit reads."""
    if not isinstance(split, TrafficSplit):
        return ()
    notes = ProblemCollector(split.ref)
    namespace = split.ref.namespace
    root = root_of(split, view.trust_domain)
    if root is not None and view.exposes(namespace, root) is not None:
        return ()
    if root is None:
        message = f'root "{split.service}" is not a Service name in namespace "{namespace}", so this split does nothing'
        notes.error(
            "split.root-namespace", "spec.service", message, "use the plain name of a Service in this namespace"
        )
    else:
        ref = ObjectRef("", "Service", namespace, root)
        message = f"{why_absent(view, ref)}, so this split does nothing"
        remedy = remedy_if_absent(view, ref, "create the Service, or delete the split")
        notes.error("split.root-missing", "spec.service", message, remedy)
    return (*notes.problems, *read_split(view, split)[1])


def _binding(view: View, binding: SmiObject) -> tuple[Problem, ...]:
    if not isinstance(binding, IdentityBinding):
        return ()
    notes = ProblemCollector(binding.ref)
    for index, text in enumerate(binding.spiffe):
        known = own_identity(text, view.trust_domain)
        if known is not None and known.namespace != binding.ref.namespace:
            message = f'"{text}" is a workload in another namespace, so it matches no caller'
            remedy = f'bind it in namespace "{known.namespace}" and use that IdentityBinding'
            notes.error("binding.foreign-namespace", f"spec.schemes.spiffeIdentities[{index}]", message, remedy)
        elif known is not None and not is_subdomain(known.service_account):
            message = f'"{known.service_account}" is not a valid service account name, so it matches no caller'
            field = f"spec.schemes.spiffeIdentities[{index}]"
            notes.error("binding.account-name", field, message, "use the name of a ServiceAccount")
    return notes.problems


def _workload(view: View, workload: SmiObject) -> tuple[Problem, ...]:
    if not isinstance(workload, Workload) or not is_workload(workload.ref):
        return ()
    notes = ProblemCollector(workload.ref)
    for index, port in enumerate(workload.ports):
        field = f"spec.ports[{index}]"
        if is_contended(view, workload, port.port, port.transport):
            message = f"another Workload binds the same address and port {port.port}, so neither of them gets it"
            notes.error("workload.bind-taken", field, message, 'change "bind" or the port of one of them')
    for upstream in workload.upstreams:
        fault = upstream_fault(view, workload, upstream)
        if fault is not None:
            code, message, remedy = fault
            notes.error(code, f"spec.upstreams[{upstream.index}]", message, remedy)
    return notes.problems


_CHECKS: Mapping[type, Callable[[View, SmiObject], tuple[Problem, ...]]] = {
    TrafficTarget: _target,
    TrafficSplit: _split,
    IdentityBinding: _binding,
    Workload: _workload,
}

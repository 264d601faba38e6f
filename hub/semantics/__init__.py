"""The independent reference reading of SMI: raw documents and a request in, SMI's own verdict out.

It shares no code with the path that it judges; `docs/smi.md` states the rules in words.
"""

from hub.semantics.judge import EVERYTHING, GovernedNamespaces, Semantics, semantics

__all__ = ["EVERYTHING", "GovernedNamespaces", "Semantics", "semantics"]

"""What stands between a denied request and a grant: TrafficTargets that nearly grant it, and why each does not.

Built on the decoded objects and the predicates with which `hub.semantics` judges; it decides nothing by itself.
"""

from hub.semantics.near.places import Denied
from hub.semantics.near.search import NearMisses

__all__ = ["Denied", "NearMisses"]

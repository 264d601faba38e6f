"""The normal form: from typed SMI objects to units, per destination identity and per Service.

Pure functions of a `View`: versions, references, defaults and invalid input end here, as values or as Problems.
"""

from hub.intent.accesses import CompiledAccess, access, compile_access
from hub.intent.inspection import inspect
from hub.intent.routes import route
from hub.intent.view import BackendProfile, View, WorkloadProfile

__all__ = [
    "BackendProfile",
    "CompiledAccess",
    "View",
    "WorkloadProfile",
    "access",
    "compile_access",
    "inspect",
    "route",
]

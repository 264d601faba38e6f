"""The normal form: from typed SMI objects to units, per destination identity and per Service.

Pure functions of a `View`: versions, references, defaults and invalid input end here, as values or as Problems.
"""

from hub.intent.accesses import CompiledAccess as CompiledAccess, access as access, compile_access as compile_access
from hub.intent.inspection import inspect as inspect
from hub.intent.routes import route as route
from hub.intent.view import BackendProfile as BackendProfile, View as View, WorkloadProfile as WorkloadProfile

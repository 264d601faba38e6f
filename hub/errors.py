"""The outcomes that are errors, one type each.

A bad input object is *not* an error here: it is a `hub.model.Problem` on that object, and the others go on.
"""


class SmihubError(Exception):
    """Base of everything smihub raises on purpose; its text is one line for the operator."""


class ConfigError(SmihubError):
    """The configuration file or a command-line argument is wrong; nothing was started."""


class SourceError(SmihubError):
    """A source as a whole cannot be used (absent, unreadable, empty); it is never taken as empty."""


class EmptySourceError(SourceError):
    """A source is there and holds no file that is read."""


class UnmodelledError(SmihubError):
    """`evaluate` met a native kind or field whose meaning it does not model; it never guesses."""


class UnsafeResourceError(SmihubError):
    """A native resource has a shape that must never leave the hub; nothing of the change was written."""


class AdapterError(SmihubError):
    """An adapter failed on a unit, and what was asked for needs that unit; its cause is what the adapter raised."""


class RefusedError(SmihubError):
    """What was asked for must not be done (a saved plan that is not as it was, a mesh of another owner); nothing was written."""


class StaleError(SmihubError):
    """Another writer changed what this plan was made against; plan again."""


class TransientError(SmihubError):
    """The other side is busy or away; the hub retries, adapters never sleep."""

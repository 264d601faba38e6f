"""Who may call whom: identities beside identities, by SMI and by every mesh, decided over all requests."""

from hub.matrix.grid import (
    AllowedRequest,
    Cell,
    Matrix,
    PortCell,
    Progress,
    Receiver,
    UnknownPartyError,
    Word,
    matrix_of,
)
from hub.matrix.parties import Party

__all__ = [
    "AllowedRequest",
    "Cell",
    "Matrix",
    "Party",
    "PortCell",
    "Progress",
    "Receiver",
    "UnknownPartyError",
    "Word",
    "matrix_of",
]

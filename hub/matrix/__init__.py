"""Who may call whom: identities beside identities, by SMI and by every mesh, decided over all requests."""

from hub.matrix.grid import (
    AllowedRequest as AllowedRequest,
    Cell as Cell,
    Matrix as Matrix,
    PortCell as PortCell,
    Progress as Progress,
    Receiver as Receiver,
    UnknownPartyError as UnknownPartyError,
    Word as Word,
    matrix_of as matrix_of,
)
from hub.matrix.parties import Party as Party

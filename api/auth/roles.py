"""What a caller may do."""

from api.auth.callers import Caller
from api.errors import NotAllowed
from api.states import ROLE_ORDER, Role


def require(caller: Caller, role: Role) -> None:
    """Raise NotAllowed unless the caller's role is `role` or more."""
    if ROLE_ORDER[caller.role] < ROLE_ORDER[role]:
        raise NotAllowed(
            f"This needs the role {role}; user {caller.user_id} has the role {caller.role}."
        )

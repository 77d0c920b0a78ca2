"""Who is calling."""

from dataclasses import dataclass

from api.states import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """A proven identity."""

    user_id: str
    role: Role

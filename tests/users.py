"""Users for tests, without the 50 ms that every new hash costs."""

from functools import cache

from sqlalchemy import Engine

from api.auth.passwords import hash_password
from api.domain import users
from api.states import Role
from api.store.session import writing

ADMIN_PASSWORD = "correct horse battery"


@cache
def hash_of(password: str) -> str:
    """A hash of this password; the same one every time."""
    return hash_password(password)


def plant_user(engine: Engine, user_id: str, role: Role, password: str = ADMIN_PASSWORD) -> None:
    """A user with this role."""
    with writing(engine) as connection:
        users.create(connection, user_id=user_id, password_hash=hash_of(password), role=role)

"""Users and their tokens: who may exist, and what may be done to them."""

import re
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from api.errors import Conflict, Malformed, NotFound
from api.states import Role
from api.store import users
from api.times import wire_time

SHORTEST, LONGEST = 10, 256
MOST_DAYS = 3650


def is_user_id(text: str) -> bool:
    """Whether a user may have this id."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", text) is not None


def check_password(password: str) -> None:
    """Raise Malformed unless this may be a password; the message does not repeat it."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Malformed.field(
            "password",
            f"has {len(password)} characters; {SHORTEST} to {LONGEST} are required",
        )


def create(
    connection: Connection, *, user_id: str, password_hash: str, role: Role, description: str = ""
) -> None:
    """A new user. Raises Conflict if the id is taken."""
    if not is_user_id(user_id):
        raise Malformed.field(
            "user_id",
            f"{user_id[:64]!r} is not a user id: 1 to 64 of A-Z a-z 0-9 . _ @ -, "
            "beginning with a letter or digit",
        )
    is_new = users.add_user(
        connection,
        user_id=user_id,
        password_hash=password_hash,
        role=role,
        description=description,
    )
    if not is_new:
        raise Conflict(f"There is a user {user_id} already.")


def change(
    connection: Connection,
    user_id: str,
    *,
    role: Role | None = None,
    password_hash: str | None = None,
    description: str | None = None,
) -> None:
    """Set attributes of a user. The last admin stays admin."""
    known(connection, [user_id])
    if role is not None and role != Role.ADMIN and users.lock_admins(connection) == {user_id}:
        raise Conflict(f"User {user_id} is the last admin: make another user admin first.")
    given = {"role": role, "password_hash": password_hash, "description": description}
    values = {name: value for name, value in given.items() if value is not None}
    users.update_user(connection, user_id, values)


def delete(connection: Connection, user_ids: Sequence[str], *, caller_id: str | None) -> None:
    """Remove users with their tokens, all or nothing; not oneself, and not the last admin."""
    known(connection, user_ids)
    if caller_id in user_ids:
        raise Conflict(f"User {caller_id} cannot delete their own account.")
    admins = users.lock_admins(connection)
    if admins and admins <= set(user_ids):
        raise Conflict(
            f"No admin would be left without {', '.join(sorted(admins))}: "
            "make another user admin first."
        )
    users.delete_users(connection, user_ids)


def known(connection: Connection, user_ids: Sequence[str]) -> None:
    """NotFound lists the ids that no user has."""
    asked = [user_id for user_id in user_ids if is_user_id(user_id)]
    found = users.known_users(connection, asked)
    missing = [user_id for user_id in user_ids if user_id not in found]
    if missing:
        raise NotFound(f"There is no user {', '.join(missing)}.")


def view(row: Row[Any]) -> dict[str, Any]:
    """A user as DescribeUsers shows it."""
    return {
        "user_id": row.user_id,
        "role": row.role,
        "description": row.description,
        "create_time": wire_time(row.create_time),
        "update_time": wire_time(row.update_time),
    }


def create_token(connection: Connection, user_id: str, *, name: str, days: int) -> tuple[str, str]:
    """A token's id, and the token itself, which is shown this once."""
    if not 1 <= days <= MOST_DAYS:
        raise Malformed.field("days", f"{days} is not between 1 and {MOST_DAYS}")
    known(connection, [user_id])
    expire_time = time.time() + days * 86_400
    return users.add_token(connection, user_id=user_id, name=name, expire_time=expire_time)


def revoke_token(connection: Connection, token_id: str) -> str:
    """Make a token worthless; its user's id."""
    user_id = users.revoke_token(connection, token_id)
    if user_id is None:
        raise NotFound(f"There is no token {token_id}.")
    return user_id


def token_is_good(row: Row[Any], now: float) -> bool:
    """Whether the token still opens the door."""
    return row.revoke_time is None and now < row.expire_time


def token_view(row: Row[Any], now: float) -> dict[str, Any]:
    """A token as it is listed."""
    status = "good" if token_is_good(row, now) else "revoked" if row.revoke_time else "expired"
    return {
        "token_id": row.token_id,
        "user_id": row.user_id,
        "name": row.name,
        "status": status,
        "create_time": wire_time(row.create_time),
        "expire_time": wire_time(row.expire_time),
    }

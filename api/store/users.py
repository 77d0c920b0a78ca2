"""Queries about users and their tokens."""

import hashlib
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    delete,
    func,
    insert,
    inspect,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from api.states import Role
from api.store.ids import new_id
from api.store.tables import Token, User, columns

USER = columns(User)
TOKEN = columns(Token)


def find_users(
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]],
    *,
    sort_key: str = "user_id",
    reverse: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> tuple[int, Sequence[Row[Any]]]:
    """How many users match, and one page of them."""
    order = USER.c[sort_key].desc() if reverse else USER.c[sort_key].asc()
    page = select(USER).where(*conditions).order_by(order, USER.c.user_id).offset(offset)
    rows = connection.execute(page if limit is None else page.limit(limit)).all()
    count = select(func.count()).select_from(USER).where(*conditions)
    return connection.execute(count).scalar_one(), rows


def matches(
    *, user_ids: Sequence[str] | None, role: str | None, search_word: str | None
) -> list[ColumnElement[bool]]:
    """The conditions of DescribeUsers; all must hold."""
    conditions: list[ColumnElement[bool]] = []
    if user_ids is not None:
        conditions.append(USER.c.user_id.in_(user_ids))
    if role is not None:
        conditions.append(USER.c.role == role)
    if search_word:
        names = ("user_id", "description")
        conditions.append(
            or_(*(USER.c[name].icontains(search_word, autoescape=True) for name in names))
        )
    return conditions


def get_user(connection: Connection, user_id: str) -> Row[Any] | None:
    """One user's row."""
    return connection.execute(select(USER).where(USER.c.user_id == user_id)).one_or_none()


def known_users(connection: Connection, user_ids: Sequence[str]) -> set[str]:
    """Which of these ids belong to a user."""
    query = select(USER.c.user_id).where(USER.c.user_id.in_(user_ids))
    return set(connection.execute(query).scalars())


def is_anybody_known(connection: Connection) -> bool:
    """Whether there are users: then the database is in use. False before there are tables, too."""
    if not inspect(connection).has_table(USER.name):
        return False
    return connection.execute(select(USER.c.user_id).limit(1)).first() is not None


def lock_admins(connection: Connection) -> set[str]:
    """The ids of all admins, who stay as they are until the transaction ends."""
    query = select(USER.c.user_id).where(USER.c.role == Role.ADMIN).order_by(USER.c.user_id)
    return set(connection.execute(query.with_for_update()).scalars())


def add_user(
    connection: Connection, *, user_id: str, password_hash: str, role: str, description: str
) -> bool:
    """A new user; False if the id is taken."""
    now = time.time()
    values = {
        "user_id": user_id,
        "password_hash": password_hash,
        "role": role,
        "description": description,
        "create_time": now,
        "update_time": now,
    }
    try:
        connection.execute(insert(USER).values(values))
    except IntegrityError:
        return False
    return True


def update_user(connection: Connection, user_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of one user."""
    connection.execute(
        update(USER).where(USER.c.user_id == user_id).values(**values, update_time=time.time())
    )


def delete_users(connection: Connection, user_ids: Sequence[str]) -> None:
    """Remove users with their tokens."""
    connection.execute(delete(USER).where(USER.c.user_id.in_(user_ids)))


def add_token(
    connection: Connection, *, user_id: str, name: str, expire_time: float
) -> tuple[str, str]:
    """A new token of a user: its id, and the token itself, which is not kept."""
    token_id, token = new_id("t"), f"fb_{secrets.token_urlsafe(32)}"
    values = {
        "token_id": token_id,
        "user_id": user_id,
        "name": name,
        "sha256": _sha256(token),
        "create_time": time.time(),
        "expire_time": expire_time,
    }
    connection.execute(insert(TOKEN).values(values))
    return token_id, token


def is_token(text: str) -> bool:
    """Whether this could be a token at all."""
    return re.fullmatch(r"fb_[A-Za-z0-9_-]{43}", text) is not None


def find_token(connection: Connection, token: str) -> Row[Any] | None:
    """The token's row, good or not, with its user's role."""
    query = (
        select(TOKEN, USER.c.role).join_from(TOKEN, USER).where(TOKEN.c.sha256 == _sha256(token))
    )
    return connection.execute(query).one_or_none()


def get_tokens(connection: Connection, user_id: str | None) -> Sequence[Row[Any]]:
    """All tokens there are, or one user's, the newest first."""
    query = select(TOKEN).order_by(TOKEN.c.create_time.desc(), TOKEN.c.token_id)
    return connection.execute(
        query if user_id is None else query.where(TOKEN.c.user_id == user_id)
    ).all()


def revoke_token(connection: Connection, token_id: str) -> str | None:
    """Make a token worthless from now on; its user, or None if there is no such token."""
    revoked = func.coalesce(TOKEN.c.revoke_time, time.time())  # the first time stays
    query = update(TOKEN).where(TOKEN.c.token_id == token_id).values(revoke_time=revoked)
    return connection.execute(query.returning(TOKEN.c.user_id)).scalar_one_or_none()


def _sha256(token: str) -> str:
    # A token has 256 bits of its own: it needs no salt, and no slow hash.
    return hashlib.sha256(token.encode()).hexdigest()

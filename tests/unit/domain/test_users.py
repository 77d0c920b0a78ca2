import re
import threading
import time

import pytest
from sqlalchemy import Engine, func, select

from api.domain import users
from api.errors import Conflict, FirstboxError, Malformed, NotFound
from api.states import Role
from api.store.session import migrate, open_database, reading, writing
from api.store.tables import Token, columns
from api.store.users import find_token, find_users, get_tokens, get_user
from tests.users import plant_user


@pytest.mark.parametrize("user_id", ["a", "0", "Bob.B-1_x@example.org", "x" * 64])
def test_a_user_may_have_this_id(user_id: str) -> None:
    assert users.is_user_id(user_id)


@pytest.mark.parametrize(
    "user_id", ["", ".a", "-a", "@a", "x" * 65, "a b", "a\n", "\n", "ä", "{{ 1 }}", "a/b", "a\0"]
)
def test_a_user_may_not_have_this_id(engine: Engine, user_id: str) -> None:
    with pytest.raises(Malformed, match="user_id"):
        plant_user(engine, user_id, Role.VIEWER)


@pytest.mark.parametrize("length", [10, 256])
def test_passwords_of_this_length_are_good(length: int) -> None:
    users.check_password("x" * length)


@pytest.mark.parametrize("length", [0, 9, 257])
def test_passwords_of_this_length_are_refused(length: int) -> None:
    with pytest.raises(Malformed, match=f"has {length} characters"):
        users.check_password("x" * length)


def test_a_taken_id_is_a_conflict_that_names_it(engine: Engine) -> None:
    plant_user(engine, "bob", Role.VIEWER)

    with pytest.raises(Conflict, match="bob"):
        plant_user(engine, "bob", Role.ADMIN)


def test_unknown_users_are_listed(engine: Engine) -> None:
    plant_user(engine, "bob", Role.VIEWER)

    with pytest.raises(NotFound, match="eve, mallory"), writing(engine) as connection:
        users.delete(connection, ["eve", "bob", "mallory"], caller_id=None)
    assert ids(engine) == ["bob"]


def test_the_last_admin_is_not_deleted(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    plant_user(engine, "bob", Role.VIEWER)

    with pytest.raises(Conflict, match="ann"), writing(engine) as connection:
        users.delete(connection, ["bob", "ann"], caller_id=None)
    assert ids(engine) == ["ann", "bob"]


def test_the_last_admins_are_not_deleted_together(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    plant_user(engine, "bob", Role.ADMIN)

    with pytest.raises(Conflict, match="ann, bob"), writing(engine) as connection:
        users.delete(connection, ["ann", "bob"], caller_id=None)


def test_an_admin_who_is_not_the_last_is_deleted(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    plant_user(engine, "bob", Role.ADMIN)

    with writing(engine) as connection:
        users.delete(connection, ["ann"], caller_id="bob")
    assert ids(engine) == ["bob"]


def test_nobody_deletes_themselves(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    plant_user(engine, "bob", Role.ADMIN)

    with pytest.raises(Conflict, match="bob"), writing(engine) as connection:
        users.delete(connection, ["bob"], caller_id="bob")


def test_the_last_admin_is_not_demoted(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)

    with pytest.raises(Conflict, match="ann"), writing(engine) as connection:
        users.change(connection, "ann", role=Role.OPERATOR, description="was admin")
    assert role_of(engine, "ann") == Role.ADMIN


def test_one_of_two_admins_is_demoted(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    plant_user(engine, "bob", Role.ADMIN)

    with writing(engine) as connection:
        users.change(connection, "ann", role=Role.VIEWER)
    assert role_of(engine, "ann") == Role.VIEWER


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_admins_who_demote_each_other_leave_one(
    kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        engine = request.getfixturevalue("engine")
    else:
        url = request.getfixturevalue("postgres_url")
        migrate(url)
        engine = open_database(url)
    plant_user(engine, "ann", Role.ADMIN)
    plant_user(engine, "bob", Role.ADMIN)
    together, ends = threading.Barrier(2), []

    def demote(user_id: str) -> None:
        together.wait()
        try:
            with writing(engine) as connection:
                users.change(connection, user_id, role=Role.VIEWER)
                time.sleep(0.2)  # the other one looks while this is not committed
            ends.append("done")
        except FirstboxError as error:
            ends.append(type(error).__name__)

    threads = [threading.Thread(target=demote, args=(user_id,)) for user_id in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ends) == ["Conflict", "done"]
    engine.dispose()


def test_the_view_has_no_password_hash(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    with reading(engine) as connection:
        view = users.view(get_user(connection, "ann"))  # type: ignore[arg-type]

    assert set(view) == {"user_id", "role", "description", "create_time", "update_time"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", view["create_time"])


def test_a_token_is_shown_once_and_kept_as_its_hash(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    with writing(engine) as connection:
        token_id, token = users.create_token(connection, "ann", name="backup", days=7)

    assert re.fullmatch(r"fb_[A-Za-z0-9_-]{43}", token)
    with reading(engine) as connection:
        row = find_token(connection, token)
        stored = connection.execute(select(columns(Token))).one()
    assert row is not None
    assert row.token_id == token_id
    assert row.role == Role.ADMIN
    assert token not in str(stored)


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_token_lives_a_bounded_time(engine: Engine, days: int) -> None:
    plant_user(engine, "ann", Role.ADMIN)

    with pytest.raises(Malformed, match=f"{days} is not between"), writing(engine) as connection:
        users.create_token(connection, "ann", name="", days=days)


def test_a_token_needs_a_user(engine: Engine) -> None:
    with pytest.raises(NotFound, match="nobody"), writing(engine) as connection:
        users.create_token(connection, "nobody", name="", days=1)


def test_a_token_is_good_then_expired_or_revoked(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    with writing(engine) as connection:
        token_id, token = users.create_token(connection, "ann", name="", days=1)
        fresh = get_tokens(connection, "ann")[0]
        users.revoke_token(connection, token_id)
        revoked = find_token(connection, token)

    now = time.time()
    assert users.token_view(fresh, now)["status"] == "good"
    assert users.token_view(fresh, now + 86_400)["status"] == "expired"
    assert revoked is not None
    assert not users.token_is_good(revoked, now)


def test_revoking_twice_keeps_the_first_time(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    with writing(engine) as connection:
        token_id, token = users.create_token(connection, "ann", name="", days=1)
        users.revoke_token(connection, token_id)
        first = find_token(connection, token)
        users.revoke_token(connection, token_id)
        second = find_token(connection, token)

    assert first == second


def test_an_unknown_token_is_not_revoked(engine: Engine) -> None:
    with pytest.raises(NotFound, match="t-nothing"), writing(engine) as connection:
        users.revoke_token(connection, "t-nothing")


def test_tokens_go_with_their_user(engine: Engine) -> None:
    plant_user(engine, "ann", Role.ADMIN)
    plant_user(engine, "bob", Role.VIEWER)
    with writing(engine) as connection:
        users.create_token(connection, "bob", name="", days=1)
        users.delete(connection, ["bob"], caller_id="ann")
        left = connection.execute(select(func.count()).select_from(columns(Token))).scalar_one()

    assert left == 0


def ids(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return [row.user_id for row in find_users(connection, [])[1]]


def role_of(engine: Engine, user_id: str) -> str | None:
    with reading(engine) as connection:
        row = get_user(connection, user_id)
    return None if row is None else str(row.role)

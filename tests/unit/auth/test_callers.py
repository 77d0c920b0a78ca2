import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from api.auth import callers as callers_module
from api.auth.callers import Caller, Callers
from api.auth.credentials import seal
from api.auth.roles import require
from api.domain import users
from api.errors import Busy, NotAllowed, NotProven, TooOld
from api.settings import Settings
from api.states import Role
from api.store.audit import find_audit
from api.store.session import reading, writing
from tests.fakes import Clock
from tests.users import ADMIN_PASSWORD, hash_of, plant_user

HERE = "192.0.2.1"
OTHER_PASSWORD = "another long password"


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def callers(settings: Settings, engine: Engine, admin: Caller, clock: Clock) -> Callers:
    return Callers(settings, engine, clock)


def sealed(callers: Callers, clock: Clock, password: str = ADMIN_PASSWORD) -> str:
    return seal(callers.public_jwks, password, clock.now)


def test_the_right_password_proves_the_user(callers: Callers, clock: Clock) -> None:
    caller = callers.identify("admin", sealed(callers, clock), None, HERE)

    assert caller == Caller("admin", Role.ADMIN)


def test_unknown_user_wrong_password_and_garbage_get_one_and_the_same_answer(
    callers: Callers, clock: Clock
) -> None:
    messages = {
        refusal(callers, "nobody", sealed(callers, clock)),
        refusal(callers, "admin", sealed(callers, clock, OTHER_PASSWORD)),
        refusal(callers, "admin", "garbage"),
        refusal(callers, "\0'; --", sealed(callers, clock)),
        refusal(callers, "x" * 5000, sealed(callers, clock)),
    }

    assert len(messages) == 1


def test_an_unknown_user_costs_an_argon2_run_too(
    callers: Callers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = count_checks(monkeypatch)

    refusal(callers, "nobody", sealed(callers, clock))
    refusal(callers, "admin", sealed(callers, clock, OTHER_PASSWORD))

    assert len(checked) == 2


@pytest.mark.parametrize(
    ("user_id", "password"), [(None, None), ("admin", None), (None, "x"), ("", "")]
)
def test_who_says_nothing_is_told_what_to_say(
    callers: Callers, user_id: str | None, password: str | None
) -> None:
    with pytest.raises(NotProven, match="USER_ID and PASSWORD"):
        callers.identify(user_id, password, None, HERE)


def test_a_repeated_call_costs_neither_argon2_nor_rsa_nor_a_query(
    callers: Callers, engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)
    checked = count_checks(monkeypatch)
    monkeypatch.setattr(callers._credentials, "_open", None)

    with counted_queries(engine) as queries:
        caller = callers.identify("admin", credential, None, HERE)

    assert caller == Caller("admin", Role.ADMIN)
    assert (checked, queries) == ([], [])


def test_a_fresh_credential_with_the_same_password_costs_no_argon2(
    callers: Callers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers.identify("admin", sealed(callers, clock), None, HERE)
    checked = count_checks(monkeypatch)

    callers.identify("admin", sealed(callers, clock), None, HERE)

    assert checked == []


def test_after_a_minute_the_password_is_checked_again(
    callers: Callers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)
    checked = count_checks(monkeypatch)
    for _ in range(12):
        clock.now += 5.1
        callers.identify("admin", credential, None, HERE)

    assert len(checked) == 1


def test_a_remembered_credential_still_grows_too_old(callers: Callers, clock: Clock) -> None:
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)
    clock.now += 301

    with pytest.raises(TooOld):
        callers.identify("admin", credential, None, HERE)


def test_a_remembered_credential_is_of_no_use_to_another_user(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    plant_user(engine, "bob", Role.VIEWER, OTHER_PASSWORD)
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)

    assert refusal(callers, "bob", credential)
    callers.identify("bob", sealed(callers, clock, OTHER_PASSWORD), None, HERE)
    assert refusal(callers, "bob", credential)


def test_a_password_changed_elsewhere_counts_within_two_seconds(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)
    change(engine, password_hash=hash_of(OTHER_PASSWORD))
    clock.now += 2

    assert refusal(callers, "admin", credential)
    callers.identify("admin", sealed(callers, clock, OTHER_PASSWORD), None, HERE)


def test_a_password_changed_here_counts_at_once(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)
    change(engine, password_hash=hash_of(OTHER_PASSWORD))
    callers.forget("admin")

    assert refusal(callers, "admin", credential)


def test_a_role_changed_elsewhere_counts_within_two_seconds(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    plant_user(engine, "bob", Role.ADMIN)
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)
    change(engine, role=Role.VIEWER)
    clock.now += 2

    assert callers.identify("admin", credential, None, HERE).role == Role.VIEWER


def test_a_user_deleted_elsewhere_is_unknown_within_two_seconds(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    plant_user(engine, "bob", Role.VIEWER)
    credential = sealed(callers, clock)
    callers.identify("bob", credential, None, HERE)
    with writing(engine) as connection:
        users.delete(connection, ["bob"], caller_id=None)
    clock.now += 2

    assert refusal(callers, "bob", credential)


def test_what_was_read_before_a_change_is_not_kept_after_it(
    callers: Callers, engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = sealed(callers, clock)

    def check_while_somebody_changes(password_hash: str | None, password: str) -> bool:
        change(engine, password_hash=hash_of(OTHER_PASSWORD))
        callers.forget("admin")
        return True

    monkeypatch.setattr(callers_module, "is_right", check_while_somebody_changes)
    callers.identify("admin", credential, None, HERE)
    monkeypatch.undo()

    assert refusal(callers, "admin", credential)


def test_a_clock_set_back_makes_nothing_last(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)
    change(engine, password_hash=hash_of(OTHER_PASSWORD))
    clock.now -= 30

    assert refusal(callers, "admin", credential)


def test_a_token_proves_its_user_and_wins_over_a_password(callers: Callers, engine: Engine) -> None:
    _token_id, token = make_token(engine)

    assert callers.identify("eve", "garbage", f"Bearer {token}", HERE).user_id == "admin"
    assert callers.identify(None, None, f"bearer {token}", HERE).user_id == "admin"


def test_a_repeated_token_costs_no_query(callers: Callers, engine: Engine) -> None:
    _token_id, token = make_token(engine)
    callers.identify(None, None, f"Bearer {token}", HERE)

    with counted_queries(engine) as queries:
        callers.identify(None, None, f"Bearer {token}", HERE)

    assert queries == []


def test_an_expired_token_is_refused_even_when_remembered(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    _token_id, token = make_token(engine, days=1)
    clock.now = time.time() + 86_399  # the token's day began just now
    callers.identify(None, None, f"Bearer {token}", HERE)
    clock.now += 1.4

    assert refusal(callers, None, None, f"Bearer {token}")


def test_a_token_revoked_here_is_refused_at_once(callers: Callers, engine: Engine) -> None:
    token_id, token = make_token(engine)
    callers.identify(None, None, f"Bearer {token}", HERE)
    with writing(engine) as connection:
        user_id = users.revoke_token(connection, token_id)
    callers.forget(user_id)

    assert refusal(callers, None, None, f"Bearer {token}")


def test_a_token_revoked_elsewhere_is_refused_within_two_seconds(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    token_id, token = make_token(engine)
    callers.identify(None, None, f"Bearer {token}", HERE)
    with writing(engine) as connection:
        users.revoke_token(connection, token_id)
    clock.now += 2

    assert refusal(callers, None, None, f"Bearer {token}")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWRtaW46eA==",
        "Bearer fb_x",
        "Bearer fb_" + "A" * 43,
        "\ud800",
    ],
)
def test_another_authorization_is_refused_though_a_password_is_there(
    callers: Callers, clock: Clock, authorization: str
) -> None:
    assert refusal(callers, "admin", sealed(callers, clock), authorization)


def test_memory_is_bounded(
    callers: Callers, engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_module, "_MOST", 3)
    for _ in range(5):
        callers.identify("admin", sealed(callers, clock), None, HERE)

    assert len(callers._sealed) == 3


def test_failures_make_the_next_try_wait_and_a_success_ends_it(
    callers: Callers, clock: Clock
) -> None:
    for _ in range(6):
        refusal(callers, "admin", "garbage")

    assert callers.delay_for("admin", HERE) == 2
    callers.identify("admin", sealed(callers, clock), None, HERE)
    assert callers.delay_for("admin", HERE) == 0


def test_ids_that_cannot_be_are_not_kept(callers: Callers) -> None:
    for number in range(6):
        refusal(callers, "x" * 100_000 + str(number), "garbage")

    assert list(callers._failures._streaks) == [("", HERE)]
    assert callers.delay_for("y" * 100_000, HERE) == 2


def test_a_credential_too_old_is_no_failure(callers: Callers, clock: Clock) -> None:
    credential = sealed(callers, clock)
    clock.now += 1000
    for _ in range(6):
        with pytest.raises(TooOld):
            callers.identify("admin", credential, None, HERE)

    assert callers.delay_for("admin", HERE) == 0


def test_failed_logins_are_audited_without_what_was_tried(
    callers: Callers, engine: Engine, clock: Clock
) -> None:
    refusal(callers, "admin", sealed(callers, clock, OTHER_PASSWORD))
    clock.now += 1
    refusal(callers, "no\nbody", "garbage")
    clock.now += 1
    refusal(callers, None, None, "Bearer fb_" + "A" * 43)

    with reading(engine) as connection:
        _total, rows = find_audit(connection, limit=10)
    assert [(row.user_id, row.address, row.ret_code) for row in rows] == [
        ("", HERE, 1200),
        ("", HERE, 1200),
        ("admin", HERE, 1200),
    ]
    assert not any(OTHER_PASSWORD in row.text or "AAAA" in row.text for row in rows)


def test_brute_force_writes_one_audit_row_a_second(callers: Callers, engine: Engine) -> None:
    for _ in range(50):
        refusal(callers, "admin", "garbage")

    with reading(engine) as connection:
        assert find_audit(connection, limit=100)[0] == 1


def test_a_herd_of_first_calls_costs_one_argon2_run(
    callers: Callers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = count_checks(monkeypatch)
    credential = sealed(callers, clock)

    async def herd() -> list[Caller]:
        return await asyncio.gather(
            *(callers.admit("admin", credential, None, HERE) for _ in range(40))
        )

    assert set(asyncio.run(herd())) == {Caller("admin", Role.ADMIN)}
    assert len(checked) == 1


def test_many_wrong_tries_at_once_do_not_outrun_the_delays(
    callers: Callers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(callers_module.asyncio, "sleep", sleep)

    async def burst() -> list[Any]:
        tries = (callers.admit("admin", "garbage", None, HERE) for _ in range(10))
        return await asyncio.gather(*tries, return_exceptions=True)

    assert {type(end) for end in asyncio.run(burst())} == {NotProven}
    assert slept == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16]


def test_the_line_of_tries_is_bounded(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers_module, "_MOST_WAITING", 2)

    async def burst() -> list[Any]:
        tries = (callers.admit("admin", "garbage", None, HERE) for _ in range(5))
        return await asyncio.gather(*tries, return_exceptions=True)

    ends = [type(end) for end in asyncio.run(burst())]
    assert (ends.count(NotProven), ends.count(Busy)) == (2, 3)
    assert not callers._turns


def test_a_user_already_proven_does_not_wait_behind_failures(
    callers: Callers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = sealed(callers, clock)
    callers.identify("admin", credential, None, HERE)
    for _ in range(9):
        refusal(callers, "admin", "garbage")
    clock.now += 2
    monkeypatch.setattr(callers_module.asyncio, "sleep", None)

    assert asyncio.run(callers.admit("admin", credential, None, HERE)).user_id == "admin"


@pytest.mark.parametrize("kind", ["password", "token"])
def test_a_remembered_caller_is_known_in_microseconds(
    callers: Callers, engine: Engine, clock: Clock, kind: str
) -> None:
    asked: tuple[str | None, str | None, str | None]
    if kind == "password":
        asked = ("admin", sealed(callers, clock), None)
    else:
        asked = (None, None, f"Bearer {make_token(engine)[1]}")
    callers.identify(*asked, HERE)

    best = min(timed(callers, asked) for _ in range(20))

    assert best < 50e-6  # 15 on an idle machine; tests run on busy ones


def test_a_role_that_is_too_low_is_named() -> None:
    with pytest.raises(NotAllowed, match=r"role operator; user eve has the role viewer"):
        require(Caller("eve", Role.VIEWER), Role.OPERATOR)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_a_role_may_do_what_lesser_roles_may(role: Role) -> None:
    require(Caller("eve", role), Role.OPERATOR)


def refusal(
    callers: Callers, user_id: str | None, password: str | None, authorization: str | None = None
) -> str:
    with pytest.raises(NotProven) as caught:
        callers.identify(user_id, password, authorization, HERE)
    return caught.value.message


def change(engine: Engine, **values: Any) -> None:
    with writing(engine) as connection:
        users.change(connection, "admin", **values)


def make_token(engine: Engine, days: int = 1) -> tuple[str, str]:
    with writing(engine) as connection:
        return users.create_token(connection, "admin", name="test", days=days)


def count_checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passwords that go through argon2 from now on."""
    checked: list[str] = []
    real = callers_module.is_right

    def is_right(password_hash: str | None, password: str) -> bool:
        checked.append(password)
        return real(password_hash, password)

    monkeypatch.setattr(callers_module, "is_right", is_right)
    return checked


@contextmanager
def counted_queries(engine: Engine) -> Iterator[list[str]]:
    queries: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        queries.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield queries
    event.remove(engine, "before_cursor_execute", note)


def timed(callers: Callers, asked: tuple[str | None, str | None, str | None]) -> float:
    start = time.perf_counter()
    for _ in range(1000):
        callers.identify(*asked, HERE)
    return (time.perf_counter() - start) / 1000

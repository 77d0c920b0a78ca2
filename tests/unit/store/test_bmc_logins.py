"""Refused logins, counted across scans: what may still be tried, and what the database tells of it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from api.bmc.target import BmcTarget
from api.registration.logging_in import Verdict
from api.settings import Settings
from api.store.bmc_logins import BMC_LOGIN, BmcLogins
from api.store.sealing import KEY_FILE, new_key
from api.store.session import migrate, open_database, reading, writing

ONE = BmcTarget("n", "10.0.0.1", 623, "ipmi", "ADMIN", "s3cret-1")
SECOND, THIRD, FOURTH = (replace(ONE, password=f"s3cret-{number}") for number in (2, 3, 4))


@pytest.fixture
def logins(settings: Settings) -> BmcLogins:
    return BmcLogins(settings)


def claim(engine: Engine, logins: BmcLogins, *attempts: BmcTarget) -> Sequence[Verdict]:
    with writing(engine) as connection:
        return logins.claim(connection, attempts)


def release(engine: Engine, logins: BmcLogins, attempt: BmcTarget, *, is_in: bool) -> None:
    with writing(engine) as connection:
        logins.release(connection, {attempt: is_in})


def rows(engine: Engine) -> list[tuple[str, int, int]]:
    with reading(engine) as connection:
        found = connection.execute(select(BMC_LOGIN)).all()
    return [(row.address, row.failures, len(row.refused)) for row in found]


def test_three_may_be_refused_and_none_twice(engine: Engine, logins: BmcLogins) -> None:
    verdicts = [claim(engine, logins, one)[0] for one in (ONE, ONE, SECOND, THIRD, FOURTH, ONE)]

    assert verdicts == ["may", "refused", "may", "may", "spent", "refused"]
    assert rows(engine) == [("10.0.0.1", 3, 3)]


def test_same_login_may_be_tried_elsewhere_and_over_the_other_protocol_may_not(
    engine: Engine, logins: BmcLogins
) -> None:
    claim(engine, logins, ONE)

    assert claim(engine, logins, replace(ONE, address="10.0.0.2")) == ["may"]
    assert claim(engine, logins, replace(ONE, kind="redfish", port=443)) == ["refused"]


def test_other_user_with_the_same_letters_is_another(engine: Engine, logins: BmcLogins) -> None:
    claim(engine, logins, replace(ONE, username="ab", password="c"))

    assert claim(engine, logins, replace(ONE, username="a", password="bc")) == ["may"]


def test_attempt_that_failed_otherwise_leaves_no_trace(engine: Engine, logins: BmcLogins) -> None:
    claim(engine, logins, ONE)
    release(engine, logins, ONE, is_in=False)

    assert rows(engine) == []
    assert claim(engine, logins, ONE) == ["may"]


def test_login_ends_the_count_and_what_was_refused_stays_known(
    engine: Engine, logins: BmcLogins
) -> None:
    for one in (ONE, SECOND, THIRD):
        claim(engine, logins, one)
    release(engine, logins, THIRD, is_in=True)

    assert rows(engine) == [("10.0.0.1", 0, 2)]
    assert [claim(engine, logins, one)[0] for one in (ONE, SECOND, THIRD)] == [
        "refused",
        "refused",
        "may",
    ]


def test_after_a_while_everything_may_be_tried_again(engine: Engine, settings: Settings) -> None:
    logins = BmcLogins(settings)
    for one in (ONE, SECOND, THIRD):
        claim(engine, logins, one)
    with writing(engine) as connection:
        long_ago = time.time() - settings.bmc_login_window - 1
        connection.execute(update(BMC_LOGIN).values(time=long_ago))

    assert claim(engine, logins, ONE) == ["may"]
    assert rows(engine) == [("10.0.0.1", 1, 1)]


def test_limit_is_a_setting(engine: Engine, settings: Settings) -> None:
    logins = BmcLogins(settings.model_copy(update={"bmc_login_attempts": 1}))

    assert [claim(engine, logins, one)[0] for one in (ONE, SECOND)] == ["may", "spent"]


def test_refusals_stay_known_when_a_new_key_seals(engine: Engine, settings: Settings) -> None:
    claim(engine, BmcLogins(settings), ONE)
    file = settings.keys / KEY_FILE
    file.write_bytes(new_key() + file.read_bytes())
    again = settings.model_copy(update={"home": _moved(settings.home)})

    assert claim(engine, BmcLogins(again), ONE) == ["refused"]


def _moved(home: Path) -> Path:
    """The same home by another name: keys are read once."""
    other = home.with_name("moved")
    other.symlink_to(home)
    return other


def test_database_tells_no_login(engine: Engine, logins: BmcLogins) -> None:
    claim(engine, logins, ONE)

    with reading(engine) as connection:
        (row,) = connection.execute(select(BMC_LOGIN)).all()
    assert "s3cret" not in str(row)
    assert "ADMIN" not in str(row)


def test_many_are_claimed_at_once(engine: Engine, logins: BmcLogins) -> None:
    many = [replace(ONE, address=f"10.1.{n // 250}.{n % 250 + 1}") for n in range(2500)]

    assert set(claim(engine, logins, *many)) == {"may"}
    with writing(engine) as connection:
        logins.release(connection, dict.fromkeys(many, False))
    assert rows(engine) == []


def test_nothing_to_claim_is_no_trouble(engine: Engine, logins: BmcLogins) -> None:
    assert claim(engine, logins) == []


def test_postgresql_counts_the_same(settings: Settings, postgres_url: str) -> None:
    migrate(postgres_url)
    engine = open_database(postgres_url)
    try:
        logins = BmcLogins(settings)
        assert [claim(engine, logins, one)[0] for one in (ONE, ONE, SECOND)] == [
            "may",
            "refused",
            "may",
        ]
        release(engine, logins, SECOND, is_in=True)
        assert rows(engine) == [("10.0.0.1", 0, 1)]
    finally:
        engine.dispose()

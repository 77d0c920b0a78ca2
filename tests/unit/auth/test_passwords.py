import time

import pytest
from argon2 import extract_parameters

from api.auth import passwords
from api.auth.passwords import hash_password, is_right, new_password
from api.errors import Malformed
from tests.users import hash_of

WORD = "correct horse battery"


def test_the_right_password_is_right() -> None:
    assert is_right(hash_of(WORD), WORD)


def test_a_wrong_password_is_wrong() -> None:
    assert not is_right(hash_of(WORD), WORD + "!")


def test_no_password_is_right_for_a_user_that_does_not_exist() -> None:
    assert not is_right(None, WORD)


def test_a_user_that_does_not_exist_costs_what_a_wrong_password_costs() -> None:
    assert extract_parameters(passwords._NOBODY) == extract_parameters(hash_of(WORD))


def test_a_damaged_hash_proves_nobody() -> None:
    assert not is_right("$argon2id$broken", WORD)


def test_hashes_are_argon2id_and_salted() -> None:
    first, second = hash_password(WORD), hash_password(WORD)

    assert first.startswith("$argon2id$")
    assert first != second


@pytest.mark.parametrize("password", ["", "nine char", "x" * 257])
def test_short_and_long_passwords_are_refused_without_being_repeated(password: str) -> None:
    with pytest.raises(Malformed) as caught:
        hash_password(password)

    assert str(len(password)) in caught.value.message
    assert not password or password not in caught.value.message


def test_a_check_takes_time_but_not_long() -> None:
    password_hash = hash_of(WORD)
    start = time.process_time()
    is_right(password_hash, WORD)

    assert 0.005 < time.process_time() - start < 0.5


def test_made_passwords_are_long_and_differ() -> None:
    made = {new_password() for _ in range(100)}

    assert len(made) == 100
    assert all(len(password) == 20 for password in made)

"""Programs of the system, and what becomes of them."""

import time

import pytest

from api.errors import FirstboxError
from api.images.programs import run


def test_what_a_program_says_is_passed_on_line_by_line() -> None:
    heard: list[str] = []

    run("sh", "-c", "echo one >&2; echo unheard; echo two >&2", patience=10, each_line=heard.append)

    assert heard == ["one", "two"]


def test_a_failed_program_s_last_words_are_the_error() -> None:
    with pytest.raises(FirstboxError, match=r"^sh ended with 3: no space left$"):
        run("sh", "-c", "echo no space left >&2; exit 3", patience=10)


def test_a_program_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(FirstboxError, match="no-such-program is not installed"):
        run("no-such-program", patience=10)


def test_a_slow_program_is_ended_with_all_it_started() -> None:
    began = time.monotonic()

    with pytest.raises(FirstboxError, match=r"^sh took more than 0\.5 s"):
        run("sh", "-c", "sleep 30 & sleep 30", patience=0.5)

    assert time.monotonic() - began < 10


def test_a_program_ends_when_its_listener_fails() -> None:
    def refuse(_line: str) -> None:
        raise RuntimeError

    began = time.monotonic()

    with pytest.raises(RuntimeError):
        run("sh", "-c", "echo x >&2; sleep 30", patience=60, each_line=refuse)

    assert time.monotonic() - began < 10

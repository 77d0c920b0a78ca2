"""How much of an answer over HTTP is taken in."""

import gzip
import io
import tracemalloc
from collections.abc import Iterator
from typing import Any, cast

import pytest

from api.bmc.redfish import _Answer, _TooMuch

MEGABYTE = 10**6


class Socket:
    """A connection on which an answer has arrived."""

    def __init__(self, head: str, body: bytes) -> None:
        self.stream = io.BytesIO(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self.stream


def answer(head: str, body: bytes) -> _Answer:
    response = _Answer(cast(Any, Socket(head, body)))
    response.begin()
    return response


@pytest.fixture
def memory() -> Iterator[None]:
    """Nothing in the test takes more than a few megabytes."""
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 15 * MEGABYTE


def test_packed_answer_is_unpacked_once() -> None:
    response = answer("Content-Encoding: gzip", gzip.compress(b'{"a": 1}'))

    assert response.read() == b'{"a": 1}'
    assert response.getheader("Content-Encoding") is None


def test_answer_that_is_not_packed_as_it_says_is_taken_as_it_is() -> None:
    assert answer("Content-Encoding: gzip", b'{"a": 1}').read() == b'{"a": 1}'


BOMB = gzip.compress(b"[" * 200 * MEGABYTE, 1)


@pytest.mark.usefixtures("memory")
def test_answer_that_unpacks_to_hundreds_of_megabytes_is_left() -> None:
    with pytest.raises(_TooMuch):
        answer("Content-Encoding: gzip", BOMB).read()


@pytest.mark.parametrize("head", ["Content-Length: 50000000", "Connection: close"])
def test_long_answer_is_left_after_its_beginning(head: str) -> None:
    response = answer(head, b"A" * 50 * MEGABYTE)

    with pytest.raises(_TooMuch):
        response.read()
    assert cast(io.BytesIO, response.fp).tell() < 3 * MEGABYTE

"""Who looks for a router, and what it is told."""

import pytest

from api.boot.no_router import ADVERTISEMENT, soliciting_mac

MAC = bytes.fromhex("525400000001")
SOLICITATION = bytes([133, 0, 0, 0, 0, 0, 0, 0])


def test_a_solicitation_names_its_card() -> None:
    assert soliciting_mac(SOLICITATION + b"\x01\x01" + MAC) == "52:54:00:00:00:01"
    other_first = b"\x0e\x01" + bytes(6)
    assert soliciting_mac(SOLICITATION + other_first + b"\x01\x01" + MAC) == "52:54:00:00:00:01"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        SOLICITATION,
        ADVERTISEMENT,
        SOLICITATION + b"\x01\x00" + MAC,
        SOLICITATION + b"\x01\x01",
    ],
)
def test_anything_else_names_none(message: bytes) -> None:
    assert soliciting_mac(message) == ""


def test_the_answer_says_that_there_is_no_router() -> None:
    assert ADVERTISEMENT[0] == 134
    assert ADVERTISEMENT[1:] == bytes(15)

"""What counts as a BMC's answer, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bmc.rmcp import CAPABILITIES, PING, capabilities_in, is_pong

# As ipmi_sim and the simulator answer.
ANSWER = bytes.fromhex("0600ff07 00 00000000 00000000 10 811c63 2000380001840402 00000000 1d")
PONG = bytes.fromhex("0600ff06 000011be 40 00 00 10 000011be 00000000 81 00 000000000000")


def changed(packet: bytes, place: int, value: int) -> bytes:
    return packet[:place] + bytes([value]) + packet[place + 1 :]


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (ANSWER, "IPMI 2.0"),
        (changed(ANSWER, 22, 0x04), "IPMI 1.5"),  # no extended capabilities
        (changed(ANSWER, 24, 0x01), "IPMI 1.5"),  # IPMI 1.5 connections only
        (changed(ANSWER, 23, 0x05), "IPMI 2.0, lets anonymous users in"),
        (changed(ANSWER, 20, 0xCC), "IPMI"),  # the question is refused
        (changed(ANSWER, 29, 0x00), "IPMI 2.0"),  # a wrong checksum
        (ANSWER + b"\0", "IPMI 2.0"),  # a legacy pad byte
    ],
)
def test_a_bmc_says_which_ipmi_it_speaks(packet: bytes, said: str) -> None:
    assert capabilities_in(packet) == said


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x06",
        CAPABILITIES,  # an echo
        PING,
        PONG,
        ANSWER[:14],
        ANSWER[:-1],
        ANSWER + bytes(2),
        ANSWER + bytes(1000),
        changed(ANSWER, 0, 5),  # no RMCP
        changed(ANSWER, 3, 6),  # another class
        changed(ANSWER, 4, 2),  # in a session
        changed(ANSWER, 13, 3)[:17],  # a message without room for a command
        changed(ANSWER, 13, 9)[:23],  # and one without capabilities
        changed(ANSWER, 15, 0x18),  # a question
        changed(ANSWER, 19, 0x37),  # the answer to another question
    ],
)
def test_everything_else_is_no_answer(packet: bytes) -> None:
    assert capabilities_in(packet) is None


def test_a_pong_of_something_with_ipmi_counts() -> None:
    assert is_pong(PONG)
    assert not is_pong(changed(PONG, 20, 0x01))  # ASF alone
    assert not is_pong(PING)
    assert not is_pong(PONG[:-1])
    assert not is_pong(PONG + bytes(100))


@given(st.binary(max_size=64), st.integers(0, 30))
def test_no_bytes_whatever_are_too_much(tail: bytes, kept: int) -> None:
    for packet in (tail, ANSWER[:kept] + tail, PONG[:kept] + tail):
        assert capabilities_in(packet) in (
            None, "IPMI", "IPMI 1.5", "IPMI 2.0",
            "IPMI 1.5, lets anonymous users in", "IPMI 2.0, lets anonymous users in",
        )  # fmt: skip
        assert is_pong(packet) in (True, False)

"""Frames of DHCP, made and read."""

import struct

import pytest

from api.boot.probe import Server, discover, read_offer

MAC = bytes.fromhex("525400000001")
TRANSACTION = b"\x01\x02\x03\x04"


def offer(**changes: bytes) -> bytes:
    """An offer as a server with the address 10.77.0.9 sends it."""
    parts = {
        "transaction": TRANSACTION,
        "offered": bytes([10, 77, 0, 100]),
        "options": b"\x35\x01\x02\x36\x04\x0a\x4d\x00\x09\xff",
        **changes,
    }
    message = b"\x02\x01\x06\x00" + parts["transaction"] + bytes(8) + parts["offered"]
    message = message.ljust(236, b"\0") + bytes([99, 130, 83, 99]) + parts["options"]
    message = message.ljust(300, b"\0")
    udp = struct.pack("!HHHH", 67, 68, 8 + len(message), 0) + message
    source = bytes([10, 77, 0, 9])
    ip = b"\x45\x00" + struct.pack("!H", 20 + len(udp)) + bytes(4) + b"\x40\x11\0\0" + source
    return b"\xff" * 6 + bytes.fromhex("525400000009") + b"\x08\x00" + ip + b"\xff" * 4 + udp


def test_an_offer_names_its_server() -> None:
    known = Server("10.77.0.9", "52:54:00:00:00:09", "10.77.0.100")
    assert read_offer(offer(), TRANSACTION) == known
    assert str(known) == "10.77.0.9 (52:54:00:00:00:09) offers 10.77.0.100"


def test_a_server_that_gives_no_address_is_one_too() -> None:
    found = read_offer(offer(offered=bytes(4)), TRANSACTION)
    assert found is not None
    assert str(found).endswith("says what to boot")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        offer()[:200],
        offer(transaction=b"abcd"),
        offer(options=b"\x35\x01\x05\xff"),  # an acknowledgement
        offer(options=b"\x35"),
        discover(MAC, TRANSACTION, as_firmware=True),
    ],
)
def test_anything_else_is_no_server(frame: bytes) -> None:
    assert read_offer(frame, TRANSACTION) is None


def test_a_question_is_a_frame_for_all_with_a_right_checksum() -> None:
    frame = discover(MAC, TRANSACTION, as_firmware=True)
    assert frame[:12] == b"\xff" * 6 + MAC
    words = struct.unpack("!10H", frame[14:34])
    assert sum(words) % 0xFFFF == 0
    assert b"PXEClient" in frame
    assert b"PXEClient" not in discover(MAC, TRANSACTION, as_firmware=False)

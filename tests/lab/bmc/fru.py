"""A FRU image: who made the machine, and its serial number; true to its kind, or with a fault.

The faults, as a simulated BMC has them (profile.py):

- `refused`: there are no FRU data (CBh)
- `checksums`: those of all areas are wrong
- `header`: that of the header is wrong
- `huge`: 64 KiB, the product area at the far end of what a header can point to
- `cut`: nothing comes after the first 24 bytes, whatever was promised
- `endless`: a byte in each answer, and an area that takes 2040 of them
- `short`: each answer holds less than it says
"""

from functools import lru_cache

from tests.lab.bmc.profile import FruFault

_LONGEST = 63  # characters of a field


@lru_cache(maxsize=4096)
def fru(
    *,
    vendor: str,
    product: str,
    serial: str,
    board_extras: tuple[bytes, ...] = (),
    fault: FruFault = "",
) -> bytes:
    """256 bytes or more with chassis, board and product area."""
    chassis = _area(b"\x17" + _text("CH") + _text("C" + serial) + b"\xc1", fault)
    board = _area(
        bytes(4)
        + _text(vendor)
        + _text("board")
        + _text("B" + serial if serial.strip() else "")
        + _text("PN")
        + _text("")
        + b"".join(bytes([len(extra)]) + extra for extra in board_extras)
        + b"\xc1",
        fault,
    )
    machine = _area(
        b"\0"
        + _text(vendor)
        + _text(product)
        + _text("PN")
        + _text("1.0")
        + _text(serial)
        + _text("")
        + _text("")
        + b"\xc1",
        fault,
    )
    places = [1, 0, 1, 1 + len(chassis) // 8, 1 + (len(chassis) + len(board)) // 8, 0, 0]
    if fault in ("huge", "endless"):
        places[4] = 255
    head = bytes([*places, (-sum(places) + (fault == "header")) & 0xFF])
    image = (head + chassis + board + machine).ljust(256, b"\0")
    return image.ljust(65_535, b"\xff") if fault in ("huge", "endless") else image


def _text(text: str) -> bytes:
    data = text.encode("latin-1")[:_LONGEST]
    return bytes([0xC0 | len(data)]) + data


def _area(fields: bytes, fault: FruFault) -> bytes:
    eights = (len(fields) + 3 + 7) // 8
    area = (bytes([1, eights]) + fields).ljust(eights * 8 - 1, b"\0")
    return area + bytes([(-sum(area) + (fault == "checksums")) & 0xFF])

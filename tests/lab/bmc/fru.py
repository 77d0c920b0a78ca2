"""A FRU image: who made the machine, and its serial number."""


def fru(*, vendor: str, product: str, serial: str) -> bytes:
    """256 bytes with chassis, board and product area."""
    chassis = _area(b"\x17" + _text("CH") + _text("C" + serial) + b"\xc1")
    board = _area(
        bytes(4)
        + _text(vendor)
        + _text("board")
        + _text("B" + serial)
        + _text("PN")
        + _text("")
        + b"\xc1"
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
        + b"\xc1"
    )
    places = [1, 0, 1, 1 + len(chassis) // 8, 1 + (len(chassis) + len(board)) // 8, 0, 0]
    head = bytes([*places, -sum(places) & 0xFF])
    return (head + chassis + board + machine).ljust(256, b"\0")


def _text(text: str) -> bytes:
    return bytes([0xC0 | len(text)]) + text.encode()


def _area(fields: bytes) -> bytes:
    eights = (len(fields) + 3 + 7) // 8
    area = (bytes([1, eights]) + fields).ljust(eights * 8 - 1, b"\0")
    return area + bytes([-sum(area) & 0xFF])

"""Who made a machine, from the FRU data of its BMC (IPMI FRU Information Storage Definition 1.2).

Nothing in the data is trusted: lengths may point anywhere, checksums may be wrong, and a BMC may
claim to have more than fits its address space, or never come to an end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from api.bmc.identify import mac_of, several_macs, text_of

MOST_BYTES = 4096
# Bytes asked for at once. Most BMCs give a lot; the others give 32 or 16, and refuse more.
_PIECES = (224, 32, 16)
_SPARE_READS = 8  # answers that may be refused, or shorter than asked for
_HEADER = 8
_NO_MORE_FIELDS = 0xC1
_BCD_PLUS = "0123456789 -.???"
_ENGLISH = (0, 25)

Read = Callable[[int, int], bytes | None]
"""So many bytes from there on; None when the BMC cannot give so many at once."""


class FruFault(Exception):
    """Half a sentence about FRU data that cannot be read."""


@dataclass(frozen=True, slots=True)
class Fru:
    """What the product area says, or else the board area."""

    maker: str = ""
    product: str = ""
    serial_number: str = ""
    board_extras: tuple[bytes, ...] = ()  # the maker's own fields, as they are
    notes: tuple[str, ...] = ()


def fetch_fru(read: Read, size: int) -> bytes:
    """The data, as far as its header and areas say that there is any. Raises FruFault."""
    pieces = list(_PIECES)
    most = min(size, MOST_BYTES)
    data, wanted = b"", min(_HEADER, most)
    reads = 0
    while len(data) < wanted:
        reads += 1
        if reads > _SPARE_READS + wanted // _PIECES[-1]:
            raise FruFault("its FRU data come without end")
        piece = read(len(data), min(pieces[0], most - len(data)))
        if piece is None:
            pieces.pop(0)
            if not pieces:
                raise FruFault("its FRU data cannot be read, not even 16 bytes at a time")
        elif not piece:
            break  # less than it said; what there is may do
        else:
            data = (data + piece)[:most]
            wanted = min(_end_of_areas(data), most)
    return data


def parse_fru(data: bytes) -> Fru:
    """What the data say; areas that are broken are left out, with a note. Raises FruFault."""
    if len(data) < _HEADER or not any(data[:_HEADER]):
        raise FruFault("has no FRU data")
    if data[0] & 0x0F != 1 or sum(data[:_HEADER]) & 0xFF:
        raise FruFault("its FRU data have a broken header")
    notes: list[str] = []
    board = _fields(data, 3, 6, notes, "board")
    product = _fields(data, 4, 3, notes, "product")
    texts = [*(_text(field) for field in product[:5]), *[""] * 5]
    fallback = [*(_text(field) for field in board[:3]), *[""] * 3]
    return Fru(
        maker=texts[0] or fallback[0],
        product=texts[1] or fallback[1],
        serial_number=texts[4] or fallback[2],
        board_extras=tuple(field[2] for field in board[5:]),
        notes=tuple(notes),
    )


def lenovo_macs(fru: Fru) -> tuple[str, ...]:
    """The MACs of network cards that IBM's and Lenovo's BMCs keep in the board's own fields.

    ThinkServers have them as text. Others have a field of six bytes each, of one maker, that ends
    with zeros or begins to be something else (as pyghmi.ipmi.oem.lenovo.handler reads it).
    """
    texts = several_macs(_decoded(extra) for extra in fru.board_extras)
    if texts:
        return texts
    packed = fru.board_extras[6] if len(fru.board_extras) > 6 else b""
    found: list[bytes] = []
    for place in range(0, len(packed) - 5, 6):
        mac = packed[place : place + 6]
        if not mac_of(mac) or mac[:3] != packed[:3]:
            break
        found.append(mac)
    return several_macs(found)


def _end_of_areas(data: bytes) -> int:
    """How many bytes are needed, as far as can be told from those that are there."""
    if len(data) < _HEADER:
        return _HEADER
    end = _HEADER
    for start in (8 * data[3], 8 * data[4]):  # board and product
        if start:
            length = 8 * data[start + 1] if start + 1 < len(data) else 2
            end = max(end, start + length)
    return end


_Field = tuple[int, int, bytes]  # its kind, the language of the area, and the bytes


def _fields(data: bytes, place: int, head: int, notes: list[str], name: str) -> list[_Field]:
    """The fields of one area, which begin after `head` bytes of it."""
    start = 8 * data[place]
    if not start:
        return []
    length = 8 * data[start + 1] if start + 1 < len(data) else 0
    area = data[start : start + length]
    if not length or len(area) < length:
        notes.append(f"the {name} area of its FRU data is cut short")
        return []
    if sum(area) & 0xFF:
        notes.append(f"the {name} area of its FRU data has a wrong checksum")
        return []
    return list(_split(area[head:-1], area[2]))


def _split(fields: bytes, language: int) -> Iterator[_Field]:
    place = 0
    while place < len(fields) and fields[place] != _NO_MORE_FIELDS:
        kind, length = fields[place] >> 6, fields[place] & 0x3F
        yield kind, language, fields[place + 1 : place + 1 + length]
        place += 1 + length


def _text(field: _Field) -> str:
    kind, language, data = field
    if kind == 1:
        return text_of("".join(_BCD_PLUS[byte >> 4] + _BCD_PLUS[byte & 15] for byte in data))
    if kind == 2:
        bits = int.from_bytes(data, "little")
        size = len(data) * 8 // 6
        return text_of("".join(chr(0x20 + (bits >> 6 * i & 0x3F)) for i in range(size)))
    if kind == 3 and language not in _ENGLISH and b"\0" in data.rstrip(b"\0"):
        return text_of(data.decode("utf-16le", "replace"))
    return text_of(_decoded(data))


def _decoded(data: bytes) -> str:
    # Some pad with FFh or FEh, which would be letters.
    return data.rstrip(b"\xff\xfe\0").decode("latin-1")

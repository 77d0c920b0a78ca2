"""FRU data of all shapes: what is read of them, in how many answers, and what is said of broken ones."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bmc.fru import MOST_BYTES, FruFault, fetch_fru, lenovo_macs, parse_fru
from tests.lab.bmc.fru import fru

IMAGE = fru(vendor="Dell Inc.", product="PowerEdge R630", serial="ABC1234")


class Store:
    """FRU data behind a BMC that gives so much at a time."""

    def __init__(self, data: bytes, most: int = 255) -> None:
        self.data, self.most = data, most
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, count: int) -> bytes | None:
        self.asked.append((start, count))
        return None if count > self.most else self.data[start : start + count]


def area(*fields: bytes, language: int = 0, head: bytes = b"") -> bytes:
    body = bytes([language]) + head + b"".join(fields) + b"\xc1"
    size = (len(body) + 3 + 7) // 8
    whole = (bytes([1, size]) + body).ljust(size * 8 - 1, b"\0")
    return whole + bytes([-sum(whole) & 0xFF])


def image(product: bytes) -> bytes:
    head = [1, 0, 0, 0, 1, 0, 0]
    return bytes([*head, -sum(head) & 0xFF]) + product


def field(kind: int, data: bytes) -> bytes:
    return bytes([kind << 6 | len(data)]) + data


def test_product_area_says_what_machine_it_is() -> None:
    told = parse_fru(IMAGE)

    assert (told.maker, told.product, told.serial_number) == (
        "Dell Inc.",
        "PowerEdge R630",
        "ABC1234",
    )
    assert told.notes == ()


@pytest.mark.parametrize(
    "filler", ["To be filled by O.E.M.", "0123456789", "Default string", "   "]
)
def test_board_stands_in_for_placeholders(filler: str) -> None:
    told = parse_fru(fru(vendor="Supermicro", product=filler, serial="X1"))

    assert (told.product, told.serial_number) == ("board", "X1")
    assert parse_fru(fru(vendor=filler, product="A", serial=filler)).maker == ""


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (field(3, b"Plain\xff\xff"), "Plain"),
        (field(1, bytes.fromhex("12 34 5a")), "12345"),
        (field(2, (0x29 | 0x30 << 6 | 0x2D << 12 | 0x29 << 18).to_bytes(3, "little")), "IPMI"),
        (field(0, b"Said to be binary"), "Said to be binary"),
        (field(3, b"\x1b[31mRed\x1b[0m\x00\x07"), "Red"),
    ],
)
def test_texts_are_read_in_all_encodings(encoded: bytes, text: str) -> None:
    assert parse_fru(image(area(encoded))).maker == text


def test_texts_of_other_languages_have_two_bytes_a_letter() -> None:
    wide = area(field(3, "Größe".encode("utf-16le")), language=5)
    narrow = area(field(3, b"Ascii all the same"), language=5)

    assert parse_fru(image(wide)).maker == "Größe"
    assert parse_fru(image(narrow)).maker == "Ascii all the same"


def test_one_answer_is_enough_where_the_bmc_gives_much() -> None:
    store = Store(IMAGE)

    assert parse_fru(fetch_fru(store.read, len(IMAGE))).serial_number == "ABC1234"
    assert store.asked == [(0, 224)]


@pytest.mark.parametrize(("most", "piece"), [(100, 32), (32, 32), (31, 16), (16, 16)])
def test_pieces_get_smaller_until_the_bmc_gives_them(most: int, piece: int) -> None:
    store = Store(IMAGE, most)

    told = parse_fru(fetch_fru(store.read, len(IMAGE)))

    assert told.serial_number == "ABC1234"
    assert {count for _, count in store.asked if count <= most} == {piece}


def test_nothing_is_read_beyond_the_last_area() -> None:
    store = Store(IMAGE.ljust(60_000, b"A"), 16)

    fetch_fru(store.read, 60_000)

    assert max(start for start, _ in store.asked) < len(IMAGE.rstrip(b"\0")) + 16


@pytest.mark.parametrize("fault", ["huge", "endless"])
def test_claims_of_much_are_believed_to_4_kib(fault: str) -> None:
    store = Store(fru(vendor="a", product="b", serial="c", fault=fault))  # type: ignore[arg-type]

    assert len(fetch_fru(store.read, 65_535)) <= MOST_BYTES
    assert len(store.asked) < 30


def _byte_by_byte(start: int, _count: int) -> bytes:
    return fru(vendor="a", product="b", serial="c", fault="endless")[start : start + 1]


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (_byte_by_byte, "come without end"),
        (lambda _start, _count: None, "not even 16 bytes"),
    ],
)
def test_bmc_that_gives_nothing_or_crumbs_is_left(
    read: Callable[[int, int], bytes | None], said: str
) -> None:
    with pytest.raises(FruFault, match=said):
        fetch_fru(read, 65_535)


@pytest.mark.parametrize("data", [b"", IMAGE[:7], bytes(256), b"\xff" * 256])
def test_what_is_no_fru_data_is_said(data: bytes) -> None:
    with pytest.raises(FruFault, match="FRU data"):
        parse_fru(data)


def test_area_that_is_cut_short_or_has_a_wrong_checksum_is_not_believed() -> None:
    broken = fru(vendor="Dell", product="R630", serial="A", fault="checksums")

    assert parse_fru(IMAGE[:60]).notes[-1] == "the product area of its FRU data is cut short"
    assert (parse_fru(broken).serial_number, len(parse_fru(broken).notes)) == ("", 2)


@pytest.mark.parametrize(
    "extras",
    [
        (b"", b"", b"", b"", b"3c:97:0e:00:00:01", b"3C-97-0E-00-00-02"),
        (*[b""] * 6, bytes.fromhex("3c970e000001 3c970e000002 000000000000 3c970e000003")),
        (*[b""] * 6, bytes.fromhex("3c970e000001 3c970e000002 112233445566")),
    ],
    ids=["text", "ended by zeros", "ended by something else"],
)
def test_lenovo_keeps_macs_in_fields_of_its_own(extras: tuple[bytes, ...]) -> None:
    told = parse_fru(fru(vendor="Lenovo", product="x3650", serial="J1", board_extras=extras))

    assert lenovo_macs(told) == ("3c:97:0e:00:00:01", "3c:97:0e:00:00:02")


@given(st.binary(max_size=600), st.integers(0, 65_535))
def test_no_data_break_it(data: bytes, size: int) -> None:
    for given_data in (data, IMAGE[:8] + data, IMAGE[:40] + data):
        try:
            told = parse_fru(fetch_fru(Store(given_data).read, size))
        except FruFault:
            continue
        texts = (told.maker, told.product, told.serial_number)
        assert all(text.isprintable() and len(text) <= 128 for text in texts)
        lenovo_macs(told)

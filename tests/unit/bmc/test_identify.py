"""What BMCs say, made fit for logs, and the sentence that is made of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bmc.client import About, BootDevice
from api.bmc.identify import MOST_MACS, describe, details_of, mac_of, several_macs, text_of
from api.states import PowerState


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("PowerEdge  R630 ", "PowerEdge R630"),
        ("\x1b[31;1mRed\x1b[0m", "Red"),
        ("\x1b]0;title\x07Name", "Name"),
        ("\x9b2JName", "Name"),
        ("a\u202eb\u2066c\u200bd", "a b c d"),
        ("two\r\nlines", "two lines"),
        ("y" * 500, "y" * 128),
        ("\x1b]" + "x" * 5000, ""),
        (12345, "12345"),
        ("To Be Filled By O.E.M.", ""),
        ("Not Specified", ""),
        ("00000000", ""),
        (None, ""),
        (True, ""),
        (["list"], ""),
        ({"a": 1}, ""),
        (10**4000, ""),
    ],
)
def test_texts_are_plain_and_short(said: object, shown: str) -> None:
    assert text_of(said) == shown


@given(st.text())
def test_every_text_can_be_shown(said: str) -> None:
    shown = text_of(said)

    assert shown.isprintable()
    assert len(shown) <= 128


@pytest.mark.parametrize(
    ("said", "mac"),
    [
        ("52:54:00:AB:CD:EF", "52:54:00:ab:cd:ef"),
        ("52-54-00-ab-cd-ef", "52:54:00:ab:cd:ef"),
        ("525400abcdef", "52:54:00:ab:cd:ef"),
        (bytes.fromhex("525400abcdef"), "52:54:00:ab:cd:ef"),
        ("00:00:00:00:00:00", ""),
        ("ff:ff:ff:ff:ff:ff", ""),
        ("01:00:5e:00:00:01", ""),
        ("52:54:00:ab:cd", ""),
        ("52:54:00:ab:cd:ef:00", ""),
        ("; rm -rf /", ""),
        (b"", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_only_macs_are_macs(said: object, mac: str) -> None:
    assert mac_of(said) == mac


def test_macs_come_once_and_not_endlessly() -> None:
    many = [f"02:00:00:00:{number // 256:02x}:{number % 256:02x}" for number in range(300)]

    assert several_macs([many[1], None, many[1].upper()]) == (many[1],)
    assert len(several_macs(many)) == MOST_MACS


def test_sentence_says_what_is_known() -> None:
    about = About("Dell Inc.", "PowerEdge R630", "ABC", boot_macs=("52:54:00:00:00:01",))

    assert describe(about, PowerState.ON, BootDevice("pxe", once=True)) == (
        "is a Dell Inc. PowerEdge R630, serial number ABC, on; boot MACs 52:54:00:00:00:01; "
        "told to boot once from pxe"
    )
    assert describe(About(notes=("has no FRU data",)), PowerState.UNKNOWN, None) == (
        "does not say what it is; has no FRU data"
    )


def test_details_fit_a_line_between_processes() -> None:
    disks = [{"name": "\U0001f4a3" * 128, "serial": "\U0001f4a3" * 128}] * 48

    details = details_of(About("HPE", "DL380", "X", hardware={"disks": disks}), None)

    assert len(json.dumps(details)) < 32_000
    assert (details["brand"], details["serial_number"], details["hardware"]) == ("hp", "X", {})

"""What counts as a Redfish service root, and what does not."""

import json

import pytest

from api.bmc.service_roots import said_in


def test_a_service_root_says_its_version_and_who_made_it() -> None:
    root = {"RedfishVersion": "1.9.0", "Vendor": "Dell", "Product": "iDRAC"}

    assert said_in(json.dumps(root).encode()) == "Redfish 1.9.0 (Dell, iDRAC)"
    assert said_in(b'{"RedfishVersion": "1.0", "Vendor": null}') == "Redfish 1.0"


def test_what_it_says_is_short_and_printable() -> None:
    root = {"RedfishVersion": "1.9.0", "Vendor": "\x1b]0;root\x07\n" + "x" * 1000, "Product": ["y"]}

    said = said_in(json.dumps(root).encode())

    assert said is not None
    assert said.isprintable()
    assert len(said) < 100


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"RedfishVersion": 1}',
        b'{"RedfishVersion": "new; \\u001b[31m"}',
        b'{"RedfishVersion": "1.9.0"',
        b"\xff\xfe",
        b"[" * 60_000,
    ],
)
def test_everything_else_is_none(body: bytes) -> None:
    assert said_in(body) is None

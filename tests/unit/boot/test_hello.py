"""What a ramdisk may say of itself, and what it may not."""

from urllib.parse import urlencode

import pytest

from api.boot.hello import read_hello, read_progress
from api.errors import Malformed

KEY = "ssh-ed25519 " + "A" * 68
FIELDS = {
    "serial_number": "SN-1",
    "product": "Standard PC",
    "brand": "QEMU",
    "cpu_arch": "x86_64",
    "memory_kib": "2048000",
    "boot_mode": "uefi",
    "host_key": f"{KEY} ramdisk",
    "nic": ["eth0,52:54:00:00:00:01,1", "eth1,52:54:00:00:00:02,0"],
}


def body(**changes: object) -> bytes:
    """A hello as the ramdisk sends it, with fields changed or, as None, left out."""
    fields = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
    return urlencode(fields, doseq=True).encode()


def test_a_hello_is_read_field_by_field() -> None:
    said = read_hello(body())
    assert said["memory_kib"] == 2048000
    assert said["host_key"] == KEY
    assert said["nics"] == [
        {"name": "eth0", "mac": "52:54:00:00:00:01", "carrier": True},
        {"name": "eth1", "mac": "52:54:00:00:00:02", "carrier": False},
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("serial_number", None),
        ("serial_number", "x" * 129),
        ("serial_number", "a\nb"),
        ("serial_number", ["a", "b"]),
        ("product", "\x1b[2J"),
        ("bmc_address", "10.9.0.7\n10.9.0.8"),
        ("bmc_mac", ["a", "b"]),
        ("memory_kib", "-1"),
        ("memory_kib", "1e9"),
        ("memory_kib", str(2**41)),
        ("boot_mode", "openfirmware"),
        ("host_key", "ssh-rsa AAAA"),
        ("host_key", KEY + "\nssh-ed25519 other"),
        ("nic", None),
        ("nic", "eth0"),
        ("nic", "eth0,52:54:00:00:00:GG,1"),
        ("nic", "eth0,52:54:00:00:00:01,1\n"),
        ("nic", ["eth0,52:54:00:00:00:01,1"] * 65),
    ],
)
def test_a_field_that_is_not_as_it_must_be_is_named(field: str, value: object) -> None:
    with pytest.raises(Malformed) as refused:
        read_hello(body(**{field: value}))
    assert refused.value.errors[0]["field"] == field


def test_a_machine_may_say_where_its_bmc_is_and_need_not() -> None:
    said = read_hello(body(bmc_address="10.9.0.7", bmc_mac="02:ff:0a:09:00:07"))
    assert (said["bmc_address"], said["bmc_mac"]) == ("10.9.0.7", "02:ff:0a:09:00:07")
    silent = read_hello(body())
    assert (silent["bmc_address"], silent["bmc_mac"], silent["uuid"]) == ("", "", "")


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"&&&=", b"a=1&" * 300, b"no form at all"])
def test_a_body_that_is_no_form_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_hello(raw)


@pytest.mark.parametrize(("text", "percent"), [("0", 0), ("57", 57), ("100", 100)])
def test_progress_is_a_percentage(text: str, percent: int) -> None:
    assert read_progress(f"percent={text}".encode()) == percent


@pytest.mark.parametrize("text", ["101", "-1", "", "1.5", "x"])
def test_progress_beyond_that_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        read_progress(f"percent={text}".encode())

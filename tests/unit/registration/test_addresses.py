from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import FirstboxError, Malformed, OverLimit
from api.registration.addresses import (
    MAX_RANGE,
    addresses_between,
    is_allowed,
    is_allowed_range,
    mac_of_one_card,
    one_machine,
)

EVERYWHERE = [ip_network("0.0.0.0/0"), ip_network("::/0")]


def test_both_ends_belong_to_the_range() -> None:
    assert addresses_between("10.0.0.254", "10.0.1.1", EVERYWHERE) == [
        "10.0.0.254",
        "10.0.0.255",
        "10.0.1.0",
        "10.0.1.1",
    ]


def test_one_address_is_a_range() -> None:
    assert addresses_between("10.0.0.1", "10.0.0.1", EVERYWHERE) == ["10.0.0.1"]


def test_ipv6_addresses_come_in_canonical_spelling() -> None:
    assert addresses_between("FD00:0:0::000F", "fd00::11", EVERYWHERE) == [
        "fd00::f",
        "fd00::10",
        "fd00::11",
    ]


def test_a_range_has_at_most_1024_addresses() -> None:
    assert len(addresses_between("10.0.0.0", "10.0.3.255", EVERYWHERE)) == MAX_RANGE == 1024
    with pytest.raises(OverLimit, match=r"is 1025 addresses; at most 1024"):
        addresses_between("10.0.0.0", "10.0.4.0", EVERYWHERE)


def test_a_range_of_a_whole_network_is_refused_at_once() -> None:
    with pytest.raises(OverLimit):
        addresses_between("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", EVERYWHERE)


@pytest.mark.parametrize("ip_end", ["10.1.0.2", "fd00::1"])
def test_addresses_outside_the_allowed_networks_are_refused(ip_end: str) -> None:
    allowed = [ip_network("10.0.0.0/16"), ip_network("10.1.0.0/31")]
    start = "10.0.255.255" if "." in ip_end else ip_end

    with pytest.raises(Malformed, match=f"{ip_end} is outside the networks"):
        addresses_between(start, ip_end, allowed)


def test_a_range_may_lie_in_several_allowed_networks() -> None:
    allowed = [ip_network("10.0.0.0/16"), ip_network("10.1.0.0/31")]

    assert addresses_between("10.0.255.255", "10.1.0.1", allowed) == [
        "10.0.255.255",
        "10.1.0.0",
        "10.1.0.1",
    ]


def test_an_ipv4_address_in_ipv6_clothes_gets_nowhere() -> None:
    with pytest.raises(Malformed, match=r"write 10\.0\.0\.1"):
        addresses_between("::ffff:10.0.0.1", "::ffff:10.0.0.1", [ip_network("::/0")])


@given(st.text(), st.text())
def test_any_text_is_a_range_or_refused(ip_start: str, ip_end: str) -> None:
    with pytest.raises(FirstboxError):
        addresses_between(ip_start, ip_end, EVERYWHERE)


@given(st.ip_addresses(), st.integers(0, MAX_RANGE - 1))
def test_a_range_counts_up_by_one(start: object, size: int) -> None:
    try:
        end = str(ip_address(str(start)) + size)
        addresses = addresses_between(str(start), end, EVERYWHERE)
    except (FirstboxError, ValueError):
        return
    assert [int(ip_address(address)) for address in addresses] == [
        int(ip_address(str(start))) + offset for offset in range(size + 1)
    ]


@pytest.mark.parametrize(
    "text", ["0C:C4:7A:88:63:1B", "0c-c4-7a-88-63-1b", "0cc4.7a88.631b", "0CC47A88631B"]
)
def test_a_mac_has_one_spelling(text: str) -> None:
    assert mac_of_one_card(text) == "0c:c4:7a:88:63:1b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0c:c4:7a:88:63",
        "0c:c4:7a:88:63:1b:00",
        "0c:c4:7a-88:63:1b",
        "0c:c4:7a:88:63:1g",
        "0c:c4:7a:88:63:1b\n",
        "\u0660c:c4:7a:88:63:1b",  # an Arabic digit
        "01:00:5e:00:00:01",  # a group of cards
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
    ],
)
def test_what_is_no_cards_mac_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MAC address"):
        mac_of_one_card(text)


@given(st.text())
def test_any_text_is_one_machines_address_or_refused(text: str) -> None:
    try:
        found = one_machine(text)
    except ValueError:
        return
    assert one_machine(found) == found == str(ip_address(found))


@pytest.mark.parametrize(
    ("start", "end", "allowed"),
    [
        ("127.0.1.0", "127.0.2.255", True),  # two networks side by side
        ("127.0.1.9", "127.0.1.9", True),
        ("127.0.0.255", "127.0.1.9", False),
        ("127.0.2.9", "127.0.3.0", False),
        ("127.0.1.0", "127.0.5.255", False),  # a gap between
        ("::1", "::1", False),
    ],
)
def test_a_range_is_allowed_only_as_a_whole(start: str, end: str, allowed: bool) -> None:
    networks = [ip_network(text) for text in ("127.0.5.0/24", "127.0.1.0/24", "127.0.2.0/24")]

    assert is_allowed_range(start, end, networks) == allowed
    assert is_allowed_range(start, end, [ip_network("0.0.0.0/0"), ip_network("::/0")])


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("2001:db8::1", True),
    ],
)
def test_ipv4_address_stays_one_in_the_form_of_ipv6(address: str, allowed: bool) -> None:
    assert is_allowed(address, [ip_network("10.0.0.0/8"), ip_network("::/0")]) == allowed

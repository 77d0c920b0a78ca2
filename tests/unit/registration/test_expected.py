import re
from typing import Any

import pytest

from api.bmc.found import Identity
from api.errors import Malformed, OverLimit
from api.registration.expected import MOST, by_identity, find, read_expected

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"


def test_each_line_is_a_machine_with_its_values_by_type() -> None:
    text = (
        "\ufeffserial_number, mac,hostname,is_mgmt_config_vlan,mgmt_bond_members,description\r\n"
        f'S1,,R01N01,1,{MAC} {OTHER},"first, at the top"\r\n'
        "\r\n"
        ",525400000002,r01n02,,,\r\n"
    )

    assert read_expected(text) == [
        {
            "serial_number": "S1",
            "hostname": "r01n01",
            "is_mgmt_config_vlan": 1,
            "mgmt_bond_members": [MAC, OTHER],
            "description": "first, at the top",
        },
        {"mac": OTHER, "hostname": "r01n02"},
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "serial_number or mac"),
        ("hostname\na", "serial_number or mac"),
        ("serial_number;hostname\nS1;a", "commas"),
        ("serial_number,colour\nS1,red", "'colour'"),
        ("serial_number,serial_number\nS1,S1", "twice"),
        ("serial_number,ipmi_password\nS1,s3cret", "column ipmi_password"),
        ("serial_number,ipmi_network_address\nS1,10.0.0.1", "column ipmi_network_address"),
        ("serial_number,hostname\nS1,a,b", "line 2 has 3 cells"),
        ("serial_number,hostname\n\nS1", "line 3 has 1 cells"),
        ('serial_number,hostname\nS1,"a', "not CSV"),
        ("serial_number,hostname\nS1,{{ lookup('pipe') }}", "line 2, hostname"),
        ("serial_number,protected\nS1,yes", "line 2, protected"),
        ("serial_number,protected\nS1,2", "line 2, protected"),
        ("serial_number,protected\nS1,²", "line 2, protected"),
        ("serial_number,mgmt_network_vlan_id\nS1,40950000000000", "line 2, mgmt_network_vlan_id"),
        ("mac,hostname\n01:00:5e:00:00:01,a", "line 2, mac"),
        ("mac,hostname\n,a", "line 2, serial_number"),
        ("serial_number,hostname\nS1,a\nS1,b", "line 3, serial_number: S1 is in line 2"),
        ("serial_number,hostname\nS1,a\nS2,A", "line 3, hostname: a is in line 2"),
        (f"mac\n{MAC}\n{MAC.upper()}", "line 3, mac"),
        (
            "serial_number,mgmt_network_address,public_network_address\nS1,10.0.0.1,\nS2,,10.0.0.1",
            "line 3, public_network_address",
        ),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(text: str, words: str) -> None:
    with pytest.raises(Malformed, match=re.escape(words)) as refused:
        read_expected(text)

    assert {error["field"] for error in refused.value.errors} == {"expected"}
    assert "s3cret" not in str(refused.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Malformed) as refused:
        read_expected("serial_number,hostname,protected\nS1,a_b,7\nS2,-,0")

    assert [error["message"][:6] for error in refused.value.errors] == ["line 2"] * 2 + ["line 3"]


def test_more_machines_than_anybody_has_are_refused() -> None:
    lines = "\n".join(f"S{number}" for number in range(MOST + 1))

    assert len(read_expected(f"serial_number\n{lines[: lines.rindex(chr(10))]}")) == MOST
    with pytest.raises(OverLimit, match=str(MOST)):
        read_expected(f"serial_number\n{lines}")


@pytest.mark.parametrize(
    ("said", "hostname"),
    [
        ({"serial_number": "S1"}, "by-serial"),
        ({"serial_number": "S1", "bmc_mac": MAC}, "by-serial"),
        ({"serial_number": "S9", "bmc_mac": MAC, "boot_macs": (OTHER,)}, "by-bmc-mac"),
        ({"boot_macs": ("52:54:00:00:00:09", OTHER)}, "by-card"),
        ({"serial_number": "s1"}, None),
        ({}, None),
    ],
)
def test_a_machine_is_expected_by_serial_number_then_mac(
    said: dict[str, Any], hostname: str | None
) -> None:
    text = f"serial_number,mac,hostname\nS1,,by-serial\n,{MAC},by-bmc-mac\n,{OTHER},by-card\n"
    expected = by_identity(read_expected(text))

    found = find(expected, Identity("10.0.0.1", **said))

    assert (found["hostname"] if found else None) == hostname

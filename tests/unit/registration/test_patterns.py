import json
from pathlib import Path
from typing import Any

import pytest

from api.errors import FirstboxError, Malformed
from api.registration.patterns import place_in, profile_faults, read_profile, render
from api.registration.plan import Range

RACK = Range("10.0.0.1", "10.0.0.20", ())
LARGE = Range("10.0.0.1", "10.0.1.200", ())


def test_each_machine_gets_its_number() -> None:
    profile = {
        "hostname": "R{n:02}n{n}",
        "mgmt_network_address": "10.0.1.{n}",
        "mgmt_network_netmask": "255.255.255.0",
        "is_mgmt_config_vlan": 1,
        "mgmt_bond_members": ["52:54:00:00:00:{n:02}"],
    }

    assert render(profile, 7) == profile | {
        "hostname": "r07n7",
        "mgmt_network_address": "10.0.1.7",
        "mgmt_bond_members": ["52:54:00:00:00:07"],
    }
    assert render(profile, 12)["hostname"] == "r12n12"
    assert render({"hostname": "n{n:04}"}, 12345)["hostname"] == "n12345"


@pytest.mark.parametrize(
    "text",
    [
        "{{ lookup('pipe', 'touch /tmp/x') }}",
        "{n.__class__}",
        "{n!r}",
        "{n:0100}",
        "{n:>2}",
        "{n:2}",
        "{m}",
        "{}",
        "{0}",
        "{n",
        "n}",
        "{{n}}",
        "{ n }",
        "{n:02}{",
    ],
)
@pytest.mark.parametrize("name", ["hostname", "description", "os_version"])
def test_nothing_else_in_braces_means_anything(name: str, text: str) -> None:
    [(field, message)] = profile_faults({name: text}, [])

    assert field == name
    assert "braces" in message
    with pytest.raises(Malformed, match=name):
        render({name: text}, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ipmi_network_address", "10.0.0.{n}"),
        ("ipmi_username", "ADMIN"),
        ("ipmi_password", "s3cret"),
        ("bmc_type", "ipmi"),
        ("serial_number", "S{n}"),
        ("pxe_network_mac_addr", "52:54:00:00:00:{n:02}"),
        ("status", "new"),
        ("nodes", []),
    ],
)
def test_a_profile_says_only_what_it_may(name: str, value: Any) -> None:
    [(field, message)] = profile_faults({name: value}, [RACK])

    assert field == name
    assert "s3cret" not in message


@pytest.mark.parametrize(
    "fields",
    [
        {"hostname": "a_b"},
        {"protected": True},
        {"cpu_arch": "amd64"},
        {"description": 7},
        {"hostname": []},
    ],
    ids=str,
)
def test_values_are_held_to_the_types_of_registering(fields: dict[str, Any]) -> None:
    assert [field for field, _ in profile_faults(fields, [RACK])] == list(fields)


def test_the_last_machine_of_a_range_must_fit_too() -> None:
    profile = {"mgmt_network_address": "10.0.1.{n}"}

    assert profile_faults(profile, [RACK]) == []
    [(field, message)] = profile_faults(profile, [RACK, LARGE])
    assert (field, "10.0.1.456" in message) == ("mgmt_network_address", True)


def test_the_first_address_of_each_range_is_number_1() -> None:
    ranges = [RACK, Range("fd00::a", "fd00::ff", ())]

    places = {"10.0.0.1": 1, "10.0.0.20": 20, "10.0.0.21": 0, "fd00::a": 1, "fd00::14": 11}
    assert {address: place_in(ranges, address) for address in places} == places


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "cannot be read"),
        ("[]", "object"),
        ('{"hostname": "{m}"}', "hostname"),
        ("\xff", "read"),
    ],
)
def test_a_profile_of_a_file_is_refused_by_the_files_name(
    text: str, word: str, tmp_path: Path
) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(FirstboxError, match=word) as refused:
        read_profile(path)
    assert str(path) in str(refused.value)


def test_a_profile_is_read_from_a_file(tmp_path: Path) -> None:
    profile = {"os_version": "12", "hostname": "n{n}"}
    (tmp_path / "profile.json").write_text(json.dumps(profile))

    assert read_profile(tmp_path / "profile.json") == profile
    with pytest.raises(FirstboxError, match="No such file"):
        read_profile(tmp_path / "other.json")

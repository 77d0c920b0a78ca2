"""What is wrong with the request of a scan is refused, by name and value."""

from typing import Any

import pytest

from api.settings import Settings
from tests.contract.conftest import Api, serving
from tests.machines import a_range

FACTORY = a_range()["credentials"][0]


@pytest.mark.parametrize(
    ("fields", "code", "field", "word"),
    [
        ({}, 1100, "", "node_ids are missing, or a range"),
        ({"node_ids": ["n-11111111"], **a_range()}, 1100, "", "one or the other"),
        ({"node_ids": []}, 1100, "node_ids", "at least 1"),
        ({"node_ids": ["n-11111111"]}, 2100, "", "n-11111111"),
        (a_range(ip_end=None), 1100, "ip_end", "is missing"),
        (a_range(ip_end="10.0.0.9"), 1100, "ip_end", "10.0.0.9 comes before 10.1.0.1"),
        (a_range(ip_end="fe00::1"), 1100, "ip_end", "not of the same family"),
        (a_range(ip_start="", ip_end=""), 1100, "ip_start", "not an IP address"),
        (a_range(ip_start="224.0.0.1"), 1100, "ip_start", "not the address of one machine"),
        (a_range(ip_start="10.0.0.0", ip_end="10.255.255.255"), 2500, "", "16777216 addresses"),
        (a_range(credentials=None), 1100, "credentials", "are missing"),
        (a_range(credentials=[]), 1100, "credentials", "at least 1"),
        (a_range(credentials=[FACTORY, FACTORY]), 1100, "credentials.1.name", "factory"),
        (a_range(credentials=[FACTORY | {"name": "a b"}]), 1100, "credentials.0.name", "a b"),
        (a_range(credentials=[FACTORY | {"name": "registered"}]), 1100, "", "registered"),
        (a_range(credentials=[FACTORY | {"port": 1}]), 1100, "credentials.0.port", ""),
        (a_range(ranges=[{"cidr": "10.0.0.0/24"}]), 1100, "ranges", "one or the other"),
        ({"ranges": [{"cidr": "10.0.0.1/24"}]}, 1100, "ranges.0.cidr", "host bits"),
        ({"ranges": [{"cidr": "{{ 7 }}"}]}, 1100, "ranges.0.cidr", "no network"),
        ({"ranges": [{"ip_start": "10.0.0.1"}]}, 1100, "ranges.0.ip_end", "is missing"),
        (
            {"ranges": [{"cidr": "10.0.0.0/24", "credentials": ["site"]}]},
            1100,
            "ranges.0.credentials",
            "no credential site",
        ),
        (
            {"ranges": [{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.0.128/25"}]},
            1100,
            "ranges",
            "10.0.0.129 is in two of them",
        ),
        (a_range(bmc_types=["telnet"]), 1100, "bmc_types.0", "telnet"),
        (a_range(ipmi_port=70000), 1100, "ipmi_port", "65535"),
        (a_range(profile={"hostname": "n{n}{x}"}), 1100, "profile.hostname", "{x}"),
        (a_range(profile={"hostname": "{{ 7 }}"}), 1100, "profile.hostname", "{{ 7 }}"),
        (a_range(profile={"colour": "red"}), 1100, "profile.colour", "no field"),
        (a_range(profile={"ipmi_password": "x"}), 1100, "profile.ipmi_password", "cannot"),
        (a_range(profile={"mgmt_network_address": "10.0.1.{n}9"}), 1100, "", "10.0.1.2549"),
        (a_range(expected="hostname\nr01n01\n"), 1100, "expected", "serial_number or mac"),
        (a_range(expected="mac,hostname\nx,y\n"), 1100, "expected", "line 2, mac"),
        (a_range(expected="serial_number\nA\nA\n"), 1100, "expected", "line 3"),
        (a_range(dry_run=2), 1100, "dry_run", ""),
        (a_range(zone_id="{{ 7 }}"), 1100, "zone_id", ""),
    ],
)
def test_scan_is_refused(
    fields: dict[str, Any], code: int, field: str, word: str, refusing_api: Api
) -> None:
    before = refusing_api.dump()
    sent = {name: value for name, value in fields.items() if value is not None}
    if "ranges" in sent:
        sent.setdefault("credentials", [FACTORY])

    answer = refusing_api.answer(refusing_api.send({"action": "ScanBMNodes", **sent}))

    assert answer["ret_code"] == code, answer
    assert word in answer["message"]
    if field:
        assert answer["errors"][0]["field"] == field
    assert refusing_api.dump() == before


def test_no_range_outside_of_the_allowed_networks_is_scanned(settings: Settings) -> None:
    pieces = ["10.1.0.0/25", "10.1.0.128/26", "10.1.0.192/26"]
    narrow = Settings(home=settings.home, allowed_networks=pieces)  # type: ignore[arg-type]  # as text

    with serving(narrow) as api:
        sent = {"action": "ScanBMNodes", **a_range(ip_end="10.1.1.1")}
        answer = api.answer(api.send(sent))

        assert answer["ret_code"] == 1100
        assert "outside the networks this service may talk to" in answer["message"]
        assert api.call("ScanBMNodes", **a_range())["job_id"]

"""Release files, makers' names and processors of many kinds."""

from collections.abc import Callable

import pytest

from api.hardware.parse import parse_probe

MakeProbe = Callable[..., str]


def release(**facts: str) -> list[str]:
    return [f'/etc/os-release:{name}="{value}"' for name, value in facts.items()]


@pytest.mark.parametrize(
    ("os", "name", "version"),
    [
        ([*release(ID="debian", VERSION_ID="8", VERSION="8 (jessie)"), "/etc/debian_version:8.11"], "jessie", "8.11"),
        ([*release(ID="debian", VERSION_CODENAME="trixie"), "/etc/debian_version:trixie/sid"], "trixie", ""),
        (release(ID="ubuntu", VERSION_ID="22.04", VERSION="22.04.4 LTS (Jammy)", VERSION_CODENAME="jammy"), "jammy", "22.04.4"),
        (["/etc/redhat-release:CentOS release 6.10 (Final)"], "centos", "6.10"),
        ([*release(ID="rocky", VERSION_ID="9.3"), "/etc/redhat-release:Rocky Linux release 9.3 (Blue Onyx)"], "rocky", "9.3"),
        ([*release(ID="alpine", VERSION_ID="3.18.4"), "/etc/alpine-release:3.18.4"], "alpine", "3.18.4"),
        (release(ID="sles", VERSION_ID="15.5", VERSION="15-SP5"), "sles", "15.5"),
        ([], "linux", ""),
    ],
)  # fmt: skip
def test_system_tells_its_point_release(
    os: list[str], name: str, version: str, make_probe: MakeProbe
) -> None:
    found = parse_probe(make_probe(os=os)).os

    assert (found.os_name, found.os_version) == (name, version)


@pytest.mark.parametrize(
    ("vendor", "brand"),
    [
        ("Dell Inc.", "dell"),
        ("HPE", "hp"),
        ("Hewlett-Packard", "hp"),
        ("Hewlett Packard Enterprise", "hp"),
        ("LENOVO", "lenovo"),
        ("Inspur", "inspur"),
        ("Huawei Technologies Co., Ltd.", "huawei"),
        ("New H3C Technologies Co., Ltd.", "h3c"),
        ("Super Micro Computer, Inc.", "supermicro"),
        ("VMware, Inc.", "vmware"),
        ("To Be Filled By O.E.M.", ""),
    ],
)
def test_brand_is_one_short_word(vendor: str, brand: str, make_probe: MakeProbe) -> None:
    found = parse_probe(make_probe(dmi=[f"/sys/class/dmi/id/sys_vendor:{vendor}"])).system

    assert found.brand == brand


@pytest.mark.parametrize(
    "serial",
    ["To Be Filled By O.E.M.", "Not Specified", "0123456789", "Default string", "0000000", "..."],
)
def test_placeholder_is_no_serial_number(serial: str, make_probe: MakeProbe) -> None:
    found = parse_probe(make_probe(dmi=[f"/sys/class/dmi/id/product_serial:{serial}"])).system

    assert found.serial_number == ""


@pytest.mark.parametrize(
    ("uuid", "expected"),
    [
        ("4C4C4544-0042-3210-8043-B1C04F334434", "4c4c4544-0042-3210-8043-b1c04f334434"),
        ("00000000-0000-0000-0000-000000000000", ""),
        ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", ""),
        ("03000200-0400-0500-0006-000700080009", ""),
        ("Not Settable", ""),
    ],
)
def test_uuid_that_many_boards_share_is_none(
    uuid: str, expected: str, make_probe: MakeProbe
) -> None:
    found = parse_probe(make_probe(dmi=[f"/sys/class/dmi/id/product_uuid:{uuid}"])).system

    assert found.uuid == expected


@pytest.mark.parametrize(
    ("lines", "model"),
    [
        (["CPU implementer\t: 0x41", "CPU part\t: 0xd0c"], "ARM Neoverse-N1"),
        (["CPU implementer\t: 0x70", "CPU part\t: 0x663"], "Phytium FTC663"),
        (["CPU implementer\t: 0x48", "CPU part\t: 0xfff"], "HiSilicon 0xfff"),
        (["cpu\t\t: POWER9, altivec supported"], "POWER9, altivec supported"),
        (["Processor\t: AArch64 Processor rev 0 (aarch64)"], "AArch64 Processor rev 0 (aarch64)"),
        (["model name\t: Intel(R)  Xeon(R)   E5"], "Intel(R) Xeon(R) E5"),
        ([], ""),
    ],
)
def test_processor_has_a_name_on_every_architecture(
    lines: list[str], model: str, make_probe: MakeProbe
) -> None:
    found = parse_probe(make_probe(cpu=[*lines, "processors : 4"])).cpu

    assert found.cpu_model == model


def test_cpuinfo_counts_where_there_is_no_topology(make_probe: MakeProbe) -> None:
    raw = []
    for processor in range(8):
        raw += [f"processor\t: {processor}", "model name\t: X", f"physical id\t: {processor % 2}"]
        raw += [f"core id\t: {processor // 2 % 2}"]

    found = parse_probe(make_probe(cpu=raw)).cpu

    assert (found.cpu_processors, found.cpu_cores, found.cpu_sockets) == (8, 4, 2)

from types import SimpleNamespace

import pytest

from api.os_config.verdict import verdict

ORDER = ("armed_time", "dhcp_time", "offer_time", "loader_time", "script_time", "kernel_time")


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (0, "boot_server_silent"),
        (1, "no_dhcp_request"),
        (2, "no_boot_loader"),
        (3, "no_boot_loader"),
        (4, "no_boot_script"),
        (5, "ramdisk_silent"),
        (6, "ramdisk_silent"),
    ],
)
def test_the_verdict_names_what_is_missing_after_the_last_thing_seen(
    seen: int, reason: str
) -> None:
    times = {name: 1.0 if number < seen else None for number, name in enumerate(ORDER)}

    assert verdict(SimpleNamespace(method="image", **times), 300)[0] == reason


def test_a_silent_installer_is_called_so() -> None:
    boot = SimpleNamespace(method="preseed", **dict.fromkeys(ORDER, 1.0))

    assert verdict(boot, 300)[0] == "installer_silent"

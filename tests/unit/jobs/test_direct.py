"""Which action a run from a shell is."""

import pytest

from api.jobs.direct import asked_for


@pytest.mark.parametrize(
    ("playbook", "variables", "action", "options"),
    [
        ("collect.yml", {}, "CollectNodes", {}),
        ("power.yml", {}, "GetBMNodesPower", {}),
        ("power.yml", {"bmc_power_state": "on"}, "PowerOnBMNodes", {}),
        ("power.yml", {"bmc_power_state": "off"}, "PowerOffBMNodes", {}),
        ("power.yml", {"bmc_power_state": "soft"}, "PowerOffBMNodes", {"soft": 1}),
        ("power.yml", {"bmc_power_state": "cycle"}, "RebootBMNodes", {}),
        ("provision.yml", {"disk_image_erase": "False"}, "ProvisionBMNodes", {}),
        ("provision.yml", {"disk_image_erase": "true"}, "ProvisionBMNodes", {"erase": 1}),
        ("inspect.yml", {}, "InspectBMNodes", {}),
        ("inspect.yml", {"ramdisk_boot_interrupt": "true"}, "InspectBMNodes", {"interrupt": 1}),
        ("provision.yml", {"preflight_reinstall": "yes"}, "ProvisionBMNodes", {"reinstall": 1}),
    ],
)
def test_a_playbook_and_its_variables_are_an_action(
    playbook: str, variables: dict[str, str], action: str, options: dict[str, int]
) -> None:
    assert asked_for(playbook, variables) == (action, options)

"""What a run tells its playbook beyond the nodes: deadlines and what the caller asked for."""

from collections.abc import Mapping
from typing import Any

from api.settings import Settings
from api.states import POWER_STATES, JobAction


def variables(
    settings: Settings, action: JobAction, options: Mapping[str, Any]
) -> dict[str, float | int | str]:
    """Extra variables of the run of a job. No text of a caller's is among them: Ansible would
    evaluate it."""
    match action:
        case JobAction.COLLECT_NODES:
            return {
                "node_reach_deadline": settings.reach_deadline,
                "node_probe_deadline": settings.probe_deadline,
                "node_probe_at_once": settings.probe_concurrency,
            }
        case JobAction.PROVISION_BM_NODES:
            return {
                "ramdisk_boot_deadline": settings.ramdisk_deadline,
                "disk_image_deadline": settings.image_deadline,
                "disk_image_installer_deadline": settings.installer_deadline,
                "disk_image_erase": int(bool(options.get("erase"))),
                "os_config_deadline": settings.os_config_deadline,
                "disk_boot_deadline": settings.os_deadline,
                "node_verify_deadline": settings.probe_deadline,
            }
        case JobAction.INSPECT_BM_NODES:
            return {
                "ramdisk_boot_deadline": settings.ramdisk_deadline,
                "ramdisk_boot_interrupt": int(bool(options.get("interrupt"))),
                "node_probe_deadline": settings.probe_deadline,
                "node_probe_at_once": settings.probe_concurrency,
                "bmc_user_deadline": settings.probe_deadline,
            }
        case JobAction.SCAN_BM_NODES:
            # Which ranges, and the logins to try, the roles read from the job itself.
            return {"scan_request": ""} if "ranges" in options else {}
        case _:
            soft = action == JobAction.POWER_OFF_BM_NODES and options.get("soft")
            return {"bmc_power_state": "soft" if soft else POWER_STATES[action]}

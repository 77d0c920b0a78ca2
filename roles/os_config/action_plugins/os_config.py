"""Who each system is to be; the documentation stands in library/os_config.py."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from api.hardware.model import Disk, Hardware
from api.os_config.cloud_init import meta_data, network_config, user_data
from api.os_config.layout import NicMissing, Placed, nics_of, place
from api.os_config.script import assignments, verdict_of
from api.os_config.seed import seed
from api.os_config.wanted import wanted_of
from api.settings import Settings, load_settings
from api.ssh.probe import probe
from api.ssh.session import Sessions
from api.ssh.target import Refused, Result, Target, ask_all
from api.states import BootMethod, Reason
from api.store.installations import Installation, ramdisk_target, read_installations
from api.store.session import open_database, reading

_SCRIPT = Path(__file__).parents[1] / "files" / "write_seed.sh"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: one process feeds a script to the ramdisks of all machines."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "deadline": {"type": "float", "default": 120},
                "at_once": {"type": "int", "default": 64},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        try:
            with reading(engine) as connection:
                found = read_installations(connection, args["nodes"])
        finally:
            engine.dispose()
        results = _configure(settings, found, args["deadline"], args["at_once"])
        return {"changed": True, "results": [result.as_dict() for result in results]}


def _configure(
    settings: Settings, found: dict[str, Installation], deadline: float, at_once: int
) -> list[Result]:
    sessions = Sessions()

    async def configure(target: Target) -> str:
        installation = found[target.node]
        async with sessions.conversation(target) as ramdisk:
            machine, _ = await probe(ramdisk, target)
            placed = _place(installation, machine)
            disk = _written_disk(installation, machine)
            files = _files(settings, installation, placed, machine)
            head = assignments(disk=disk.name, seed=await asyncio.to_thread(seed, files))
            answer = await ramdisk.run(head + _SCRIPT.read_text())
        verdict = verdict_of(answer.output)
        if "configured" not in verdict:
            raise Refused(Reason.DISK_FAULTY, verdict.get("disk_faulty", "ended without a word"))
        return f"is to be {installation.machine.hostname}, with {_described(placed)}"

    image = [one for one in found.values() if one.boot and one.boot.method == BootMethod.IMAGE]
    results = ask_all(
        [ramdisk_target(settings, one) for one in image],
        configure,
        deadline=deadline,
        at_once=at_once,
        last=sessions.close,
    )
    done = {result.node for result in results}
    message = "was told by its installer"
    return results + [Result(node, True, message) for node in found if node not in done]


def _written_disk(installation: Installation, machine: Hardware) -> Disk:
    for disk in machine.disks:
        if disk.key == installation.machine.written_disk:
            return disk
    raise Refused(Reason.DISK_MISSING, "the disk that was written is gone")


def _files(
    settings: Settings, installation: Installation, placed: Sequence[Placed], machine: Hardware
) -> dict[str, str]:
    """What cloud-init reads, by file name."""
    row = installation.machine
    access = settings.ssh_access(row.zone_id)
    nameservers = [str(address) for address in settings.nameservers]
    key = _public_key(Path(str(access.private_key)))
    return {
        "user-data": user_data(row.hostname, access.user or "root", key),
        "meta-data": meta_data(row.provision_id, row.hostname),
        "network-config": network_config(placed, nics_of(machine), nameservers),
    }


def _place(installation: Installation, machine: Hardware) -> tuple[Placed, ...]:
    try:
        return place(wanted_of(installation.machine), nics_of(machine))
    except NicMissing as missing:
        raise Refused(Reason.NIC_MISSING, str(missing)) from None


def _described(placed: tuple[Placed, ...]) -> str:
    return " and ".join(f"{one.network.interface} on {one.name}" for one in placed)


def _public_key(private_key: Path) -> str:
    return private_key.with_name(f"{private_key.name}.pub").read_text().strip()

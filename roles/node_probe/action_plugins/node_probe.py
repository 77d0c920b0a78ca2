"""What nodes are made of; the documentation stands in library/node_probe.py."""

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from api.hardware.model import Hardware, to_json
from api.settings import load_settings
from api.ssh.probe import LLDP_PATIENCE, probe
from api.ssh.session import Sessions
from api.ssh.target import Result, Target, ask_all, target_of
from api.states import Reason
from api.store.installations import ramdisk_target, read_installations
from api.store.session import open_database, reading

_SHOWN = 4  # switches in a log line


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: one process asks all nodes, each with a deadline of its own."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "dest": {"type": "path", "required": True},
                "deadline": {"type": "float", "default": 60},
                "at_once": {"type": "int", "default": 32},
                "runs": {"default": "system", "choices": ["system", "ramdisk"]},
            }
        )
        dest = Path(args["dest"])
        dest.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_ramdisk = args["runs"] == "ramdisk"
        if is_ramdisk:
            targets = _ramdisks(args["nodes"])
        else:
            hosts = task_vars["hostvars"]
            targets = [target_of(node, hosts.raw_get(node)) for node in args["nodes"]]
        found = _probe_all(targets, dest, args["deadline"], args["at_once"], is_ramdisk=is_ramdisk)
        results = {result.node: result for result in found}
        answers = [results.get(node) or _not_up(node) for node in args["nodes"]]
        return {"changed": False, "results": [result.as_dict() for result in answers]}


def _ramdisks(nodes: list[str]) -> list[Target]:
    """Those of these machines that said hello out of the ramdisk."""
    settings = load_settings()
    engine = open_database(settings.database, pool_size=1)
    try:
        with reading(engine) as connection:
            found = read_installations(connection, nodes)
    finally:
        engine.dispose()
    up = [one for one in found.values() if one.boot is not None and one.boot.address]
    return [ramdisk_target(settings, one) for one in up]


def _not_up(node: str) -> Result:
    return Result(node, False, "does not run the ramdisk", Reason.RAMDISK_SILENT)


def _probe_all(
    targets: list[Target], dest: Path, deadline: float, at_once: int, *, is_ramdisk: bool
) -> list[Result]:
    sessions = Sessions()
    patience = LLDP_PATIENCE if is_ramdisk else 0

    async def ask(target: Target) -> str:
        async with sessions.conversation(target) as conversation:
            machine, host_key = await probe(conversation, target, lldp_patience=patience)
        found = {"host_key": host_key, "hardware": to_json(machine)}
        _write(dest / f"{target.node}.json", json.dumps(found))
        more = _cables(machine) if is_ramdisk else f"{machine.os.os_name} {machine.os.os_version}"
        return (
            f"has {machine.cpu.cpu_processors} processors, {machine.memory.memory_size} GiB, "
            f"{len(machine.disks)} disks, {len(machine.networks)} networks; {more}"
        )

    deadline += patience
    return ask_all(targets, ask, deadline=deadline, at_once=at_once, last=sessions.close)


def _cables(machine: Hardware) -> str:
    ends = [
        f"{network.name} leads to {network.lldp.switch} {network.lldp.port}".rstrip()
        for network in machine.networks
        if network.lldp is not None
    ]
    more = f" and {len(ends) - _SHOWN} more" if len(ends) > _SHOWN else ""
    return (", ".join(ends[:_SHOWN]) or "no switch says where its cables lead") + more


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)

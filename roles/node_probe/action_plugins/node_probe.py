"""What nodes are made of; the documentation stands in library/node_probe.py."""

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from api.hardware.model import to_json
from api.ssh.probe import probe
from api.ssh.session import Sessions
from api.ssh.target import Result, Target, ask_all, target_of


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
            }
        )
        dest = Path(args["dest"])
        dest.mkdir(mode=0o700, parents=True, exist_ok=True)
        targets = [target_of(node, task_vars["hostvars"].raw_get(node)) for node in args["nodes"]]
        results = _probe_all(targets, dest, args["deadline"], args["at_once"])
        return {"changed": False, "results": [result.as_dict() for result in results]}


def _probe_all(targets: list[Target], dest: Path, deadline: float, at_once: int) -> list[Result]:
    sessions = Sessions()

    async def ask(target: Target) -> str:
        async with sessions.conversation(target) as conversation:
            machine, host_key = await probe(conversation, target)
        found = {"host_key": host_key, "hardware": to_json(machine)}
        _write(dest / f"{target.node}.json", json.dumps(found))
        return (
            f"has {machine.cpu.cpu_processors} processors, {machine.memory.memory_size} GiB, "
            f"{len(machine.disks)} disks, {len(machine.networks)} networks; "
            f"{machine.os.os_name} {machine.os.os_version}"
        )

    return ask_all(targets, ask, deadline=deadline, at_once=at_once, last=sessions.close)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)

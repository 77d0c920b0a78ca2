"""Is it what was asked? The documentation stands in library/node_verify.py."""

import asyncio
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.errors import Conflict
from api.hardware.model import Hardware, to_json
from api.os_config.layout import NicMissing, nics_of, place
from api.os_config.verify import differences
from api.os_config.wanted import Wanted, wanted_of
from api.settings import Settings, load_settings
from api.ssh.probe import probe
from api.ssh.session import Sessions
from api.ssh.target import Refused, Result, Target, ask_all
from api.states import Reason
from api.store.hardware import record_hardware
from api.store.installations import Installation, read_installations, system_target
from api.store.nodes import set_address
from api.store.session import open_database, reading, writing


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: one process probes all machines, and records those that are right."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "deadline": {"type": "float", "default": 60},
                "at_once": {"type": "int", "default": 32},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=2)
        try:
            with reading(engine) as connection:
                found = read_installations(connection, args["nodes"])
            results = _verify(engine, settings, found, args["deadline"], args["at_once"])
        finally:
            engine.dispose()
        return {"changed": True, "results": [result.as_dict() for result in results]}


def _verify(
    engine: Engine,
    settings: Settings,
    found: dict[str, Installation],
    deadline: float,
    at_once: int,
) -> list[Result]:
    sessions = Sessions()

    async def verify(target: Target) -> str:
        wanted = wanted_of(found[target.node].machine)
        async with sessions.conversation(target) as system:
            machine, host_key = await probe(system, target)
        wrong = _differences(wanted, machine)
        if wrong:
            raise Refused(Reason.OS_DIFFERS, "; ".join(wrong))
        await asyncio.to_thread(_record, engine, target, machine, host_key)
        networks = ", ".join(network.interface for network in wanted.networks)
        return (
            f"is {machine.hostname}, {machine.os.os_name} {machine.os.os_version}, with {networks} "
            "as asked; its hardware is recorded"
        )

    targets = [system_target(settings, one) for one in found.values()]
    return ask_all(targets, verify, deadline=deadline, at_once=at_once, last=sessions.close)


def _differences(wanted: Wanted, machine: Hardware) -> list[str]:
    try:
        placed = place(wanted, nics_of(machine))
    except NicMissing as missing:
        return [str(missing)]
    return differences(wanted, placed, machine)


def _record(engine: Engine, target: Target, machine: Hardware, host_key: str) -> None:
    """The machine becomes a node whose system we can reach, with its hardware and its new host key."""
    try:
        with writing(engine) as connection:
            set_address(connection, target.node, target.address, host_key)
            record_hardware(connection, target.node, to_json(machine))
    except Conflict as conflict:
        raise Refused(Reason.RECORD_REFUSED, conflict.message) from None

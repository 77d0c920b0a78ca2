"""Power of machines by their BMCs; the documentation stands in library/bmc_power.py."""

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import (
    Operation,
    boot_from_disk,
    boot_from_network,
    power_off,
    power_on,
    read_power,
    reboot,
    soft_off,
)
from api.bmc.target import BmcResult
from api.settings import Settings, load_settings
from api.states import PowerState, Reason
from api.store.bmcs import bmc_targets, record_answers
from api.store.session import open_database, reading, writing


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: talks to BMCs, and never to the machines themselves."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "state": {"default": "status", "choices": ["on", "off", "soft", "cycle", "status"]},
                "boot_device": {"default": "", "choices": ["", "network", "disk"]},
                "deadline": {"type": "float"},
                "soft_deadline": {"type": "float"},
                "then_hard": {"type": "bool", "default": False},
            }
        )
        if args["boot_device"] and args["state"] != "cycle":
            raise AnsibleActionFail("A boot device goes with the state cycle only.")
        settings = load_settings()
        operation = _operation(settings, args)
        engine = open_database(settings.database, pool_size=1)
        try:
            if self._task.check_mode:
                seen = _ask(engine, settings, args["nodes"], read_power(), record=False)
                results = [_foretold(result, args["state"]) for result in seen]
            else:
                results = _ask(engine, settings, args["nodes"], operation, record=True)
        finally:
            engine.dispose()
        return {
            "changed": any(result.changed for result in results),
            "results": [result.as_dict() | {"power": result.power.value} for result in results],
        }


def _operation(settings: Settings, args: dict[str, Any]) -> Operation:
    deadline = args["deadline"] or settings.power_deadline
    match args["state"]:
        case "on":
            return power_on(deadline)
        case "off":
            return power_off(deadline)
        case "soft":
            soft = args["soft_deadline"] or settings.soft_off_deadline
            return soft_off(soft, hard_after=deadline if args["then_hard"] else None)
        case "cycle":
            boots = {"network": boot_from_network, "disk": boot_from_disk}
            return boots.get(args["boot_device"], reboot)(deadline)
        case _:
            return read_power()


def _ask(
    engine: Engine, settings: Settings, nodes: list[str], operation: Operation, *, record: bool
) -> list[BmcResult]:
    with reading(engine) as connection:
        targets = bmc_targets(connection, settings, nodes)
    answers = ask_bmcs(targets.values(), operation, **settings.bmc_limits)
    if record:
        with writing(engine) as connection:
            record_answers(connection, answers)
    by_node = {answer.node: answer for answer in answers}
    return [by_node.get(node) or _unknown(node) for node in nodes]


def _unknown(node: str) -> BmcResult:
    return BmcResult(node, False, "is not registered with a BMC", Reason.RECORD_REFUSED)


def _foretold(seen: BmcResult, state: str) -> BmcResult:
    """Check mode: what would be done about the power state that was seen."""
    done = {"on": PowerState.ON, "off": PowerState.OFF, "soft": PowerState.OFF}.get(state)
    if not seen.ok or state == "status" or seen.power == done:
        return seen
    order = {"on": "switched on", "off": "switched off", "soft": "asked to shut down"}
    message = f"{seen.message}, and would be {order.get(state, 'power cycled')}"
    return BmcResult(seen.node, True, message, power=seen.power, changed=True)

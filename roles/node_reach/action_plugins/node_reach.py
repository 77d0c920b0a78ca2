"""Which nodes answer on their SSH port; the documentation stands in library/node_reach.py."""

from typing import Any

from ansible.plugins.action import ActionBase

from api.ssh.reach import reach
from api.ssh.target import Result, Target, ask_all, target_of


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: nothing is copied to or started on a node."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "deadline": {"type": "float", "default": 10},
                "at_once": {"type": "int", "default": 256},
            }
        )
        targets = [target_of(node, task_vars["hostvars"].raw_get(node)) for node in args["nodes"]]
        if any(target.jump for target in targets):
            results = _reach_through_jump_hosts(targets, args["deadline"], args["at_once"])
        else:
            results = ask_all(targets, reach, deadline=args["deadline"], at_once=args["at_once"])
        return {"changed": False, "results": [result.as_dict() for result in results]}


def _reach_through_jump_hosts(targets: list[Target], deadline: float, at_once: int) -> list[Result]:
    from api.ssh.jump import JumpHosts  # 0.2 s that a zone without jump hosts need not pay

    jumps = JumpHosts()

    async def ask(target: Target) -> str:
        return await (jumps.reach(target) if target.jump else reach(target))

    return ask_all(targets, ask, deadline=deadline, at_once=at_once, last=jumps.close)

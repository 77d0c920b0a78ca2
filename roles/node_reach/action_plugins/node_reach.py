"""Which nodes answer on their SSH port; the documentation stands in library/node_reach.py."""

from typing import Any

from ansible.plugins.action import ActionBase

from api.ssh.reach import reach
from api.ssh.target import ask_all, target_of


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
        results = ask_all(targets, reach, deadline=args["deadline"], at_once=args["at_once"])
        return {"changed": False, "results": [result.as_dict() for result in results]}

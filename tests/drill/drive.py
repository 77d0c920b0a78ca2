"""The task of every role in a drill; see tests/drill."""

import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

_SHORTEST = 0.2  # seconds a step takes
_PAUSE = 0.05


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Writes down that this run is at these machines, for as long as it is to be there."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        content = Path(task_vars["playbook_dir"]).parent
        nodes = list(task_vars["ansible_play_hosts"])
        step, run = self._task.args["step"], os.environ["FIRSTBOX_JOB"]
        orders = [content / "orders" / node for node in nodes]
        begin = time.monotonic()
        with (content / "diary").open("a", buffering=1) as diary:
            while time.monotonic() < begin + _SHORTEST or _is_held(orders, step, run):
                now = time.monotonic()
                diary.write("".join(f"{now} {node} {run} {step}\n" for node in nodes))
                time.sleep(_PAUSE)
        return {"results": [{"node": node, "ok": True, "message": "is driven"} for node in nodes]}


def _is_held(orders: list[Path], step: str, run: str) -> bool:
    if not run.endswith(".1"):
        return False
    return any(order.exists() and order.read_text() == step for order in orders)

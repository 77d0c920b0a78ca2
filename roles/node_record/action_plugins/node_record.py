"""What was found, into the node database; the documentation stands in library/node_record.py."""

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.settings import load_settings
from api.states import Reason
from api.store.hardware import record_hardware
from api.store.nodes import get_nodes, remember_host_keys
from api.store.session import open_database, writing


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller; needs the node database and nothing of the nodes."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "src": {"type": "path", "required": True},
            }
        )
        engine = open_database(load_settings().database, pool_size=1)
        try:
            results = [
                _record(engine, node, Path(args["src"]) / f"{node}.json", self._task.check_mode)
                for node in args["nodes"]
            ]
        finally:
            engine.dispose()
        changed = any(result.pop("changed") for result in results)
        return {"changed": changed, "results": results}


class _Undo(Exception):
    """Check mode: roll back what was tried."""


def _record(engine: Engine, node: str, source: Path, check_mode: bool) -> dict[str, Any]:
    if not source.is_file():
        return _entry(node, False, "was not probed: there is no file about it")
    found = json.loads(source.read_text())
    changed = False
    try:
        with writing(engine) as connection:
            if not get_nodes(connection, [node]):
                return _entry(node, False, "is not in the node database any more")
            changed = record_hardware(connection, node, found["hardware"])
            remember_host_keys(connection, {node: found["host_key"]})
            if check_mode:
                raise _Undo
    except _Undo:
        return _entry(node, True, "would be recorded", changed)
    return _entry(node, True, "is recorded" if changed else "is as it was known", changed)


def _entry(node: str, ok: bool, message: str, changed: bool = False) -> dict[str, Any]:
    reason = "" if ok else Reason.RECORD_REFUSED.value
    return {"node": node, "ok": ok, "reason": reason, "message": message, "changed": changed}

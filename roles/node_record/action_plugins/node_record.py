"""What was found, into the node database; the documentation stands in library/node_record.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Connection, Engine

from api.errors import Conflict
from api.settings import load_settings
from api.states import Reason
from api.store.bare_hardware import record_bare_hardware
from api.store.hardware import record_hardware
from api.store.installations import read_installations
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
                "runs": {"default": "system", "choices": ["system", "ramdisk"]},
                "failed": {"type": "list", "elements": "str", "default": []},
            }
        )
        record = {"system": _record_node, "ramdisk": _record_machine}[args["runs"]]
        engine = open_database(load_settings().database, pool_size=1)
        try:
            results = [
                _record(
                    engine, node, Path(args["src"]) / f"{node}.json", record, self._task.check_mode
                )
                for node in args["nodes"]
            ]
        finally:
            engine.dispose()
        changed = any(result.pop("changed") for result in results)
        told = [result for result in results if result["node"] not in args["failed"]]
        return {"changed": changed, "results": told}


class _Undo(Exception):
    """Check mode: roll back what was tried."""


def _record(
    engine: Engine, node: str, source: Path, record: "_Record", check_mode: bool
) -> dict[str, Any]:
    if not source.is_file():
        return _entry(node, False, "was not probed: there is no file about it")
    found = json.loads(source.read_text())
    entry: dict[str, Any] = {}
    try:
        with writing(engine) as connection:
            entry = record(connection, node, found)
            if check_mode:
                raise _Undo
    except _Undo:
        if entry["ok"]:
            return _entry(node, True, "would be recorded", entry["changed"])
    except Conflict as conflict:
        return _entry(node, False, str(conflict), reason=Reason.SCAN_CONFLICT)
    return entry


_Record = Callable[[Connection, str, dict[str, Any]], dict[str, Any]]


def _record_node(connection: Connection, node: str, found: dict[str, Any]) -> dict[str, Any]:
    """A machine whose operating system answered."""
    if not get_nodes(connection, [node]):
        return _entry(node, False, "is not in the node database any more")
    changed = record_hardware(connection, node, found["hardware"])
    remember_host_keys(connection, {node: found["host_key"]})
    return _entry(node, True, "is recorded" if changed else "is as it was known", changed)


def _record_machine(connection: Connection, node: str, found: dict[str, Any]) -> dict[str, Any]:
    """A machine that runs the ramdisk, which is no operating system of its own."""
    one = read_installations(connection, [node]).get(node)
    if one is None:
        return _entry(node, False, "is not registered any more")
    boot_mode = one.boot.hello.get("boot_mode", "") if one.boot else ""
    recorded = record_bare_hardware(connection, node, found["hardware"], boot_mode=boot_mode)
    message = "its hardware is recorded" if recorded.changed else "its hardware is as it was known"
    if recorded.is_complete:
        message += "; nothing is missing any more, and it may be provisioned"
    return _entry(node, True, message, recorded.changed)


def _entry(
    node: str,
    ok: bool,
    message: str,
    changed: bool = False,
    *,
    reason: Reason = Reason.RECORD_REFUSED,
) -> dict[str, Any]:
    said = "" if ok else reason.value
    return {"node": node, "ok": ok, "reason": said, "message": message, "changed": changed}

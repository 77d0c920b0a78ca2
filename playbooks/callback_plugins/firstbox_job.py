"""Makes a run from a shell a job like any other: it shows up in DescribeJobs, with its log.

Under the service this plugin does nothing. From a shell it starts `python -m api.jobs.direct`, which
makes the job and holds its nodes, and writes the run's events to it, in ansible-runner's words.
"""

import getpass
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

from api.states import ADVICE, PLAYBOOKS

DOCUMENTATION = """
name: firstbox_job
type: notification
short_description: Records a run from a shell as a job
description:
  - An action's playbook started from a shell makes a job, with status, steps and log, unless it
    runs in check mode. Nodes that another job holds stop the run before its first task.
author: Firstbox
"""

_REPOSITORY = Path(__file__).parents[2]
# Variables that say which action a playbook stands for, and what was asked of it.
_ASKED = (
    "bmc_power_state",
    "disk_image_erase",
    "preflight_reinstall",
    "ramdisk_boot_interrupt",
)


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Passes events on as lines of JSON."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "firstbox_job"

    def __init__(self) -> None:
        super().__init__()
        self._playbook = ""
        self._is_watched = False  # somebody at a terminal reads what each machine said
        self._recorder: subprocess.Popen[str] | None = None

    def v2_playbook_on_start(self, playbook: Any) -> None:
        path = Path(playbook._file_name).resolve()
        # Others of ours, such as the boot server's, work on hosts that are no nodes.
        is_ours = path.parent == _REPOSITORY / "playbooks" and path.name in PLAYBOOKS.values()
        self._is_watched = is_ours and "FIRSTBOX_PROOF_FILE" not in os.environ
        if self._is_watched and not context.CLIARGS.get("check"):
            self._playbook = path.name

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if not self._playbook or self._recorder:
            return
        variables = play.get_variable_manager().get_vars(play=play)
        hosts = variables["ansible_play_hosts_all"]
        self._recorder = subprocess.Popen(
            [sys.executable, "-m", "api.jobs.direct"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
            start_new_session=True,  # Ctrl-C is ours to hear; it writes down how we ended
        )
        self._write(
            {
                "playbook": self._playbook,
                "nodes": [str(host) for host in hosts if str(host) != "localhost"],
                "user": getpass.getuser(),
                "command": _typed(sys.argv[1:])[:1000],
                "variables": {name: str(variables.get(name, "")) for name in _ASKED},
            }
        )
        answer = self._answer()
        if "error" in answer:
            self._display.error(f"Firstbox: {answer['error']}")
            # An exception from a callback is only a warning to Ansible; this is not.
            raise SystemExit(2)
        os.environ["FIRSTBOX_JOB"] = answer["run"]  # for modules that write to its log
        self._display.display(f"Firstbox: this run is job {answer['job_id']}")

    def _answer(self) -> dict[str, str]:
        line = self._recorder.stdout.readline() if self._recorder else ""
        silence = {"error": "this run could not be made a job, so it does not begin"}
        answer: dict[str, str] = json.loads(line) if line else silence
        return answer

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._event("playbook_on_task_start", task)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._event("runner_on_ok", result.task, result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._event("runner_on_failed", result.task, result, ignore_errors=ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._event("runner_on_unreachable", result.task, result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._event("runner_item_on_ok", result.task, result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._event("runner_item_on_failed", result.task, result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        failed = {**stats.failures, **stats.dark}
        self._event("playbook_on_stats", None, rc=2 if failed else 0)
        if self._recorder:
            self._recorder.stdin.close()
            self._recorder.wait()

    def _event(self, kind: str, task: Any, result: Any = None, **more: Any) -> None:
        if self._is_watched and result is not None:
            self._show(_said(result.result).get("results", []))
        if not self._recorder:
            return
        data: dict[str, Any] = {**more}
        if task is not None:
            data |= {"task": task.get_name(), "role": task._role and task._role.get_name()}
        if result is not None:
            data |= {"host": result.host.get_name(), "res": _said(result.result)}
        now = datetime.now(UTC).isoformat()
        self._write({"event": kind, "created": now, "event_data": data})

    def _show(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            name = entry.get("node") or entry.get("address")
            if not (name and "message" in entry):
                continue
            text = f"  {name}: {entry['message']}"
            if entry.get("ok"):
                self._display.display(text)
            else:
                advice = ADVICE.get(entry.get("reason"), "")
                self._display.display(f"{text}. {advice}", color="red")

    def _write(self, line: dict[str, Any]) -> None:
        assert self._recorder is not None  # noqa: S101  # its callers looked
        try:
            self._recorder.stdin.write(json.dumps(line) + "\n")
            self._recorder.stdin.flush()
        except BrokenPipeError:
            self._display.error(
                "Firstbox: the job of this run was lost; the run goes on without it"
            )
            self._recorder = None


def _typed(arguments: list[str]) -> str:
    """The command as it was typed, without the variables on it: they may be secrets."""
    shown, hides_next = ["ansible-playbook"], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if hides_next:
            shown.append("...")
        elif name == "--extra-vars" and equals:
            shown.append("--extra-vars=...")
        elif argument.startswith("-e") and argument != "-e":
            shown.append("-e...")
        else:
            shown.append(argument)
        hides_next = argument in ("-e", "--extra-vars")
    return " ".join(shown)


def _said(result: Any) -> dict[str, Any]:
    """What a job's log needs of a result, and nothing a `no_log` hides."""
    if result.get("_ansible_no_log"):
        return {"msg": "hidden by no_log"}
    kept: dict[str, Any] = {"msg": str(result["msg"])} if "msg" in result else {}
    if "results" in result:
        names = ("address", "node", "ok", "reason", "message")
        kept["results"] = [
            {name: entry[name] for name in names if name in entry}
            for entry in result["results"]
            if isinstance(entry, dict)
        ]
    return kept

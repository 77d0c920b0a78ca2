"""ansible-runner, and nothing else, is called here.

Lessons built in: a fresh private directory per run; the handler only puts into a queue and never
raises (an exception there loses events or hangs the run); events count only with this run's proof
in them, which text printed by a machine cannot know (see playbooks/callback_plugins).
"""

import os
import queue
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner


@dataclass(frozen=True, slots=True)
class Outcome:
    """How ansible-playbook ended; `rc` is None when a signal ended it."""

    rc: int | None
    was_stopped: bool


def run_playbook(
    playbook: Path,
    directory: Path,
    *,
    environment: Mapping[str, str],
    variables: Mapping[str, Any],
    proof: str,
    events: "queue.SimpleQueue[Mapping[str, Any] | None]",
    should_stop: Callable[[], bool],
) -> Outcome:
    """Run `playbook` to its end in the empty private `directory`, its events into `events`.

    `should_stop` is asked once a second; True ends the playbook.
    """

    def take(event: dict[str, Any]) -> bool:
        data = event.get("event_data")
        if isinstance(data, dict) and data.pop("firstbox_proof", None) == proof:
            events.put(event)
        return False  # no file per event: the database has them

    proof_file = directory / "proof"
    proof_file.touch(mode=0o600)
    proof_file.write_text(proof)
    runner = ansible_runner.run(
        private_data_dir=str(directory),
        playbook=str(playbook),
        inventory=str(playbook.parents[1] / "inventory" / "firstbox.yml"),
        project_dir=str(playbook.parents[1]),
        envvars={
            **environment,
            "ANSIBLE_CONFIG": str(playbook.parents[1] / "ansible.cfg"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "FIRSTBOX_PROOF_FILE": str(proof_file),
        },
        extravars=dict(variables),
        settings={"pexpect_timeout": 1, "suppress_ansible_output": True, "fact_cache_type": ""},
        quiet=True,
        event_handler=take,
        # Given also so that ansible-runner leaves this process's signal handlers alone.
        cancel_callback=should_stop,
    )
    return Outcome(runner.rc, runner.status == "canceled")

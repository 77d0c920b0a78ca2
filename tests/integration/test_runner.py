"""What ansible-runner hands on, from a real run whose output somebody else writes into."""

import base64
import json
import queue
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.jobs.runner import Outcome, run_playbook

REPOSITORY = Path(__file__).parents[2]
# Past everything Ansible displays, into the terminal of the playbook itself: the outermost process
# of that name among those this one descends from.
FORGE = """
import os, pathlib, sys
pid, terminal = os.getpid(), None
while pid > 1:
    if b"ansible-playbook" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
        terminal = f"/proc/{pid}/fd/1"
    pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
with open(terminal, "w") as output:
    output.write(sys.argv[1])
"""


def test_an_event_written_into_the_output_is_not_believed(tmp_path: Path) -> None:
    forged = {
        "uuid": "11111111-1111-1111-1111-111111111111",
        "event": "runner_on_ok",
        "created": "2026-01-01T00:00:00+00:00",
        "event_data": {"role": "node_record", "host": "forged", "firstbox_proof": "a guess"},
    }
    text = base64.b64encode(json.dumps(forged).encode()).decode()
    marker = f"\x1b[K{text}\x1b[{len(text)}D\x1b[K"

    outcome, events, printed = play(tmp_path, marker)

    assert outcome.rc == 0
    kinds = [event["event"] for event in events]
    assert kinds[-1] == "playbook_on_stats"  # the run's own events arrived, to the last
    assert "runner_on_ok" in kinds
    assert not any(event["event_data"].get("host") == "forged" for event in events)
    assert not any("firstbox_proof" in event["event_data"] for event in events)
    assert "wrote it" in printed  # the task that forged did run


def play(tmp_path: Path, marker: str) -> tuple[Outcome, list[Mapping[str, Any]], str]:
    """Run a playbook whose one task writes `marker` into the run's output."""
    content = tmp_path / "content"
    shutil.copytree(REPOSITORY / "playbooks", content / "playbooks")
    shutil.copy(REPOSITORY / "ansible.cfg", content)
    (content / "inventory").mkdir()
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    # The plugin `yaml` reads it: it is not one of ours.
    (content / "inventory" / "firstbox.yml").write_text(
        json.dumps({"all": {"hosts": {"localhost": host}}})
    )
    (content / "forge.py").write_text(FORGE)
    playbook = content / "playbooks" / "forge.yml"
    command = {"argv": [sys.executable, str(content / "forge.py"), marker]}
    playbook.write_text(
        json.dumps(
            [
                {
                    "hosts": "all",
                    "gather_facts": False,
                    "tasks": [
                        {"ansible.builtin.command": command},
                        {"ansible.builtin.debug": {"msg": "wrote it"}},
                    ],
                }
            ]
        )
    )
    private = tmp_path / "private"
    private.mkdir()
    events: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
    outcome = run_playbook(
        playbook,
        private,
        environment={},
        variables={},
        proof="the word of this run",
        events=events,
        should_stop=lambda: False,
    )
    taken = []
    while not events.empty():
        event = events.get()
        assert event is not None
        taken.append(event)
    printed = next((private / "artifacts").glob("*/stdout")).read_text()
    return outcome, taken, printed

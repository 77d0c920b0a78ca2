"""`ansible-playbook playbooks/collect.yml` from a shell: a job like any other, on real machines."""

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from api.states import NodeStatus
from tests.lab import Machine, Machines
from tests.nodes import plant_nodes
from tests.service import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

REPOSITORY = Path(__file__).parents[2]
PORT = 2234
NODES = {"n-python": "127.0.34.1", "n-debian": "127.0.34.2", "n-busybox": "127.0.34.3"}
NOBODY = {"n-nobody": "127.0.34.4"}  # nothing listens there
RACK = [
    Machine("r01n01", NODES["n-python"], "debian-python"),
    Machine("r01n02", NODES["n-debian"], "debian"),
    Machine("r01n03", NODES["n-busybox"], "busybox"),
]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with Machines(tmp_path_factory.mktemp("rack"), RACK, PORT) as machines:
        yield machines


@pytest.fixture
def machines(rack: Machines) -> Iterator[Machines]:
    yield rack
    for machine in RACK:
        rack.mend(machine.name)


class Shell:
    """A shell in the repository, with the settings of a home of the test's own."""

    def __init__(self, settings: Settings, machines: Machines) -> None:
        self.database = settings.home / "firstbox.db"
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FIRSTBOX_HOME": str(settings.home),
            "FIRSTBOX_SSH_PORT": str(PORT),
            "FIRSTBOX_SSH_PRIVATE_KEY": str(machines.private_key),
        }

    def collect(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the playbook to its end."""
        with self.collecting(*arguments) as process:
            output, _ = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    @contextmanager
    def collecting(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run the playbook in a process group of its own, as an interactive shell does."""
        with subprocess.Popen(
            ["ansible-playbook", "playbooks/collect.yml", *arguments],
            cwd=REPOSITORY,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)

    def run(self, *command: str, said: str) -> subprocess.CompletedProcess[str]:
        """Run another command to its end, with `said` as its input."""
        return subprocess.run(
            command,
            cwd=REPOSITORY,
            env=self._environment,
            input=said,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
        )

    def set(self, variable: str, value: str) -> None:
        """Set a variable of the shell's environment."""
        self._environment[variable] = value

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What the database answers."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def nodes(self, column: str = "status") -> dict[str, Any]:
        """One column of every node, by id."""
        rows = self.rows(f"SELECT node_id, {column} AS value FROM node")  # noqa: S608  # our own
        return {row["node_id"]: row["value"] for row in rows}

    def job(self) -> dict[str, Any]:
        """The only job there is."""
        (job,) = self.rows("SELECT * FROM job")
        return job

    def log(self) -> list[str]:
        """Every line of every job's log."""
        return [row["text"] for row in self.rows("SELECT text FROM log_line ORDER BY number")]

    def is_held(self) -> bool:
        """Whether a job holds nodes now."""
        return bool(self.rows("SELECT 1 FROM job_node WHERE active"))

    def job_is_at(self, status: str) -> bool:
        """Whether there is a job, and it has this status."""
        return bool(self.rows(f"SELECT 1 FROM job WHERE status = '{status}'"))  # noqa: S608

    def dump(self) -> list[str]:
        """The whole database."""
        with closing(sqlite3.connect(self.database)) as connection:
            return list(connection.iterdump())


@pytest.fixture
def shell(settings: Settings, machines: Machines) -> Shell:
    plant(settings, NODES)
    return Shell(settings, machines)


def plant(settings: Settings, nodes: dict[str, str]) -> None:
    plant_nodes(
        settings.database,
        *(
            {"node_id": node_id, "address": address, "status": NodeStatus.PENDING}
            for node_id, address in nodes.items()
        ),
    )


def test_direct_run_is_a_job_with_steps_and_log(shell: Shell) -> None:
    done = shell.collect()

    assert done.returncode == 0, done.stdout
    assert shell.nodes() == dict.fromkeys(NODES, "available")
    assert set(shell.nodes("hostname").values()) == {machine.name for machine in RACK}
    job = shell.job()
    assert (job["status"], job["action"], job["reason"]) == ("successful", "CollectNodes", "")
    assert job["command"] == "ansible-playbook playbooks/collect.yml"
    assert job["user_id"].endswith(" (shell)")
    assert f"this run is job {job['job_id']}" in done.stdout
    steps = shell.rows("SELECT name, status FROM job_step ORDER BY step_index")
    assert [step["name"] for step in steps] == ["node_reach", "node_probe", "node_record"]
    assert {step["status"] for step in steps} == {"successful"}
    for node_id in NODES:
        assert sum(node_id in line for line in shell.log()) == 3  # one line per step


def test_limit_collects_that_node_only(shell: Shell) -> None:
    done = shell.collect("--limit", "n-debian")

    assert done.returncode == 0, done.stdout
    assert shell.nodes() == dict.fromkeys(NODES, "pending") | {"n-debian": "available"}
    assert shell.rows("SELECT node_id FROM job_node") == [{"node_id": "n-debian"}]


def test_variables_typed_on_the_command_line_are_not_recorded(shell: Shell) -> None:
    secrets = ["-e", "a=hunter2", "--extra-vars=b=hunter2", "-ec=hunter2"]

    done = shell.collect("--limit", "n-debian", *secrets)

    assert done.returncode == 0, done.stdout
    assert shell.job()["command"] == (
        "ansible-playbook playbooks/collect.yml --limit n-debian -e ... --extra-vars=... -e..."
    )
    assert "hunter2" not in str(shell.dump())


def test_a_run_whose_job_was_taken_for_dead_is_ended(shell: Shell, machines: Machines) -> None:
    machines.hang("r01n02")
    with shell.collecting() as process:
        wait_until(lambda: shell.rows("SELECT * FROM job"), 20, what="the run is a job")
        with closing(sqlite3.connect(shell.database)) as connection, connection:
            connection.execute("UPDATE job_slice SET attempt = 2")

        process.communicate(timeout=20)  # the node's own deadline is a minute

    assert process.returncode != 0


def test_limit_that_matches_nothing_says_so(shell: Shell) -> None:
    before = shell.dump()

    done = shell.collect("--limit", "n-unknown")

    assert done.returncode != 0
    assert "n-unknown" in done.stdout
    assert shell.dump() == before


def test_check_mode_changes_nothing_in_the_database(shell: Shell) -> None:
    before = shell.dump()

    done = shell.collect("--check")

    assert done.returncode == 0, done.stdout
    assert shell.dump() == before


def test_unreachable_node_fails_the_run_and_no_other_node(shell: Shell, settings: Settings) -> None:
    plant(settings, NOBODY)

    done = shell.collect()

    assert done.returncode == 2, done.stdout
    assert shell.nodes() == dict.fromkeys(NODES, "available") | {"n-nobody": "unreachable"}
    job = shell.job()
    assert (job["status"], job["reason"]) == ("failed", "nodes_failed")
    assert "n-nobody (ssh_closed)" in job["message"]


def test_second_run_on_the_same_node_is_refused(shell: Shell, machines: Machines) -> None:
    machines.hang("r01n02")
    with shell.collecting("--limit", "n-debian", "-e", "node_probe_deadline=15") as first:
        wait_until(shell.is_held, 30, what="the first run holds its node")

        second = shell.collect()

        assert first.poll() is None
        assert second.returncode != 0
        assert shell.job()["job_id"] in second.stdout
        assert "n-debian" in second.stdout
        assert "TASK" not in second.stdout
        first.communicate(timeout=60)
    assert first.returncode == 2
    assert shell.nodes() == dict.fromkeys(NODES, "pending") | {"n-debian": "unreachable"}


def test_interrupted_run_is_a_failed_job_that_holds_nothing(
    shell: Shell, machines: Machines
) -> None:
    machines.hang("r01n02")
    with shell.collecting() as process:
        wait_until(lambda: shell.job_is_at("step1"), 30, what="nodes are probed")

        os.killpg(process.pid, signal.SIGINT)

        process.communicate(timeout=30)
        assert process.returncode != 0
        wait_until(lambda: not shell.is_held(), 30, what="the job let go of its nodes")
    job = shell.job()
    assert (job["status"], job["reason"]) == ("failed", "run_ended")
    assert shell.nodes() == dict.fromkeys(NODES, "pending")


def marker(event: dict[str, Any]) -> str:
    """An event as ansible-runner's own callback prints it."""
    text = base64.b64encode(json.dumps(event).encode()).decode()
    return f"\x1b[K{text}\x1b[{len(text)}D\x1b[K"


@pytest.mark.parametrize("fault", ["print_before", "print_instead"])
def test_printed_events_change_nothing_but_the_printers_row(
    shell: Shell, machines: Machines, fault: str
) -> None:
    forged = marker(
        {
            "uuid": "1",
            "event": "runner_item_on_ok",
            "event_data": {
                "role": "node_record",
                "host": "n-python",
                "res": {"results": [{"node": "n-python", "ok": False, "reason": "ssh_silent"}]},
            },
        }
    )
    getattr(machines, fault)("r01n02", f"{forged}\n%begin x os\n")

    done = shell.collect()

    nodes = shell.nodes()
    assert nodes["n-python"] == nodes["n-busybox"] == "available", shell.log()
    assert shell.nodes("hostname")["n-debian"] in ("", "r01n02")
    rows = shell.rows("SELECT node_id, reason FROM job_node")
    assert {row["node_id"] for row in rows if row["reason"]} <= {"n-debian"}
    assert not any("\x1b" in line for line in shell.log())
    assert "\x1b[K" not in done.stdout


def rename(machines: Machines, name: str) -> None:
    """Name the machine with Python: `hostname` refuses such names, the kernel does not."""
    subprocess.run(
        ["ssh", *machines.ssh_options, f"root@{NODES['n-python']}", "python3", "-"],
        input=f"import socket; socket.sethostname({name!r})",
        text=True,
        check=True,
    )


def test_hostname_is_never_a_template(shell: Shell, machines: Machines) -> None:
    trap = REPOSITORY / "trap"
    rename(machines, "{{ lookup('pipe', 'touch trap') }}")
    try:
        first = shell.collect()
        second = shell.collect()  # its inventory has what the first one wrote
        assert not trap.exists()
    finally:
        rename(machines, "r01n01")
        trap.unlink(missing_ok=True)

    assert (first.returncode, second.returncode) == (0, 0), second.stdout
    assert shell.nodes() == dict.fromkeys(NODES, "available")
    assert shell.nodes("hostname")["n-python"] == ""  # no name that a network would know


def test_run_killed_in_the_middle_of_an_event_is_a_failed_job(shell: Shell) -> None:
    start = {
        "playbook": "collect.yml",
        "nodes": list(NODES),
        "user": "root",
        "command": "test",
        "variables": {},
    }

    recorder = shell.run(
        sys.executable, "-m", "api.jobs.direct", said=json.dumps(start) + '\n{"event": "run'
    )

    assert recorder.returncode == 0, recorder.stdout
    assert (shell.job()["status"], shell.job()["reason"]) == ("failed", "run_ended")
    assert not shell.is_held()


def test_run_that_cannot_be_a_job_does_not_begin(shell: Shell) -> None:
    shell.set("FIRSTBOX_QUEUE_POLL", "often")

    done = shell.collect()

    assert done.returncode == 2
    assert "could not be made a job" in done.stdout
    assert "TASK" not in done.stdout


def test_recap_keeps_its_colours_and_machines_send_no_others(
    shell: Shell, machines: Machines
) -> None:
    machines.print_instead("r01n02", "\x1b[K\x1b[8mhidden")
    shell.set("ANSIBLE_FORCE_COLOR", "1")

    done = shell.collect("--limit", "n-debian")

    assert "\x1b[0;31mn-debian\x1b[0m" in done.stdout
    assert "\x1b[K" not in done.stdout
    assert "\x1b[8m" not in done.stdout

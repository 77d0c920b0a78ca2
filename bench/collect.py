"""Collecting hardware: `python -m bench.collect` measures it on the lab's farm and prints a table.

- CollectNodes through the service, from the request to `successful` in GetStatus, beside
  `ansible -m setup` with 25 forks on the same hosts: with Ansible's defaults, and with pipelining
  and ControlPersist as in our ansible.cfg.
- The same job beside `ansible-playbook playbooks/collect.yml` from a shell on the same home: as it
  is, which makes the run a job too, and with that switched off.
- How long an event takes from its `created` to the row that a reader of the database sees.
- What the service costs while it does nothing.

Pairs run in turn; what is quoted is the median of the ratios. CPU is the controller's alone: see
bench/cpu.py. The hosts are on the same machine, so their own work is part of every wall time.
"""

import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.cpu import Cost, cpu_of, idle_share, run_command
from bench.report import Line, below, say, table, told
from tests.lab import SshFarm
from tests.service import Service

REPOSITORY = Path(__file__).parents[1]
HOSTS = 100
MANY_HOSTS = 200
ROUNDS = 3
FORKS = 25


class MeasuredService(Service):
    """The service in a home of its own, with SSH access to the farm."""

    def __init__(self, home: Path, hosts: SshFarm, **settings: Any) -> None:
        """`settings` by their names."""
        self.access = {
            "FIRSTBOX_HOME": str(home),
            "FIRSTBOX_SSH_PORT": str(hosts.port),
            "FIRSTBOX_SSH_PRIVATE_KEY": str(hosts.private_key),
        }
        super().__init__(home, ssh_port=hosts.port, ssh_private_key=hosts.private_key, **settings)

    def __enter__(self) -> "MeasuredService":
        super().__enter__()
        return self

    @property
    def pid(self) -> int:
        """Of the API; the worker is its child."""
        assert self._process is not None
        return self._process.pid


def main() -> None:
    """Measure and print."""
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        farm(Path(scratch)) as hosts,
        MeasuredService(Path(scratch, "home"), hosts) as home,
    ):
        nodes = add(home, hosts.addresses[:HOSTS])
        peers = static_inventory(Path(scratch, "hosts"), hosts, HOSTS)
        defaults = Path(scratch, "defaults.cfg")
        defaults.touch()
        ours, shell, bare, setup, tuned = [], [], [], [], []
        for number in range(ROUNDS):
            say(f"collect: round {number + 1} of {ROUNDS}")
            ours.append(collect(home, nodes))
            shell.append(run_playbook(home, nodes))
            bare.append(run_playbook(home, nodes, {"FIRSTBOX_PROOF_FILE": os.devnull}))
            setup.append(run_setup(peers, Path(scratch), {"ANSIBLE_CONFIG": str(defaults)}))
            tuned.append(run_setup(peers, Path(scratch)))
        lines = [*compare(ours, setup, tuned), *overhead(ours, shell, bare)]
        every = nodes + add(home, hosts.addresses[HOSTS:])
        lines.append(delay(home, every))
        lines.append(below("idle `firstbox serve`, core", idle(home), 0.02))
    return lines


def compare(ours: list[Cost], setup: list[Cost], tuned: list[Cost]) -> Iterator[Line]:
    """The service beside what people would use without us."""
    peer = f"CollectNodes of {HOSTS} hosts / `ansible -m setup`, {FORKS} forks"
    for column, name, goal in ((0, "wall", 0.5), (1, "CPU", 0.15)):
        ratio = _ratio(ours, setup, column)
        yield below(f"{peer}: {name}", ratio, goal, more=_beside(ours, setup, column))
    for column, name in ((0, "wall"), (1, "CPU")):
        ratio = _ratio(ours, tuned, column)
        yield told(f"{peer}, tuned: {name}", ratio, more=_beside(ours, tuned, column))


def overhead(ours: list[Cost], shell: list[Cost], bare: list[Cost]) -> Iterator[Line]:
    """The service beside the playbook alone."""
    what = "CollectNodes through the service / `ansible-playbook` from a shell"
    yield below(f"{what}: wall", _ratio(ours, shell, 0), 1.1, more=_beside(ours, shell, 0))
    yield told(f"{what}, not recorded: wall", _ratio(ours, bare, 0), more=_beside(ours, bare, 0))


def _ratio(ours: list[Cost], peers: list[Cost], column: int) -> float:
    return statistics.median(
        own[column] / peer[column] for own, peer in zip(ours, peers, strict=True)
    )


def _beside(ours: list[Cost], peers: list[Cost], column: int) -> str:
    own = statistics.median(cost[column] for cost in ours)
    peer = statistics.median(cost[column] for cost in peers)
    return f" ({own:.2f} s / {peer:.2f} s)"


@contextmanager
def farm(scratch: Path) -> Iterator[SshFarm]:
    """Hosts with Python, which `setup` needs."""
    say(f"collect: starting {MANY_HOSTS} hosts")
    place = SshFarm(
        scratch / "farm", count=MANY_HOSTS, first="127.0.82.1", port=2382, root="debian-python"
    )
    with place as running:
        yield running


def add(home: MeasuredService, addresses: list[str]) -> list[str]:
    """Make nodes of these hosts; returns their ids after the first collect, which is not counted."""
    answer = home.done("AddNodes", ip_start=addresses[0], ip_end=addresses[-1])
    end = home.wait_for(answer["job_id"], seconds=600)
    assert end["status"] == "successful", end["reason"]
    node_ids: list[str] = answer["node_ids"]
    return node_ids


def collect(home: MeasuredService, node_ids: list[str]) -> Cost:
    """One job by HTTP, to its end, seen by asking ten times a second."""
    before, started = cpu_of(home.pid), time.monotonic()
    answer = home.done("CollectNodes", node_ids=node_ids)
    while (status := home.status(answer["job_id"])["status"]) not in ("successful", "failed"):
        time.sleep(0.1)
    seconds = time.monotonic() - started
    assert status == "successful", home.log(answer["job_id"], job_status="failed")
    time.sleep(1)  # for the run, the guard and the worker to say good-bye: it counts as well
    return Cost(seconds, cpu_of(home.pid) - before)


def run_playbook(
    home: MeasuredService, node_ids: list[str], more: dict[str, str] | None = None
) -> Cost:
    """The playbook from a shell."""
    listed = home.home / "nodes"
    listed.write_text("\n".join(node_ids) + "\n")
    environment = {
        **_environment(home.home),
        **home.access,
        **(more or {}),
        "FIRSTBOX_NODES": f"@{listed}",
        "PYTHONPATH": str(REPOSITORY),
    }
    found = home.home / "found"
    command = [_program("ansible-playbook"), "-i", "inventory/firstbox.yml"]
    command += ["-e", f"firstbox_run_dir={found}", "playbooks/collect.yml"]
    return run_command(command, REPOSITORY, environment)


def run_setup(inventory: Path, scratch: Path, more: dict[str, str] | None = None) -> Cost:
    """What people would use without us."""
    command = [_program("ansible"), "-i", str(inventory), "-m", "setup", "-f", str(FORKS), "all"]
    return run_command(command, REPOSITORY, {**_environment(scratch), **(more or {})})


def _environment(directory: Path) -> dict[str, str]:
    # Sockets of a run's own: a connection left by the run before would be a present.
    sockets = tempfile.mkdtemp(prefix="cp", dir=directory)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FIRSTBOX_")}
    return {
        **kept,
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def static_inventory(path: Path, hosts: SshFarm, count: int) -> Path:
    """The same hosts in a file."""
    every = "\n".join(hosts.addresses[:count])
    path.write_text(
        f"{every}\n[all:vars]\nansible_user={hosts.user}\nansible_port={hosts.port}\n"
        f"ansible_ssh_private_key_file={hosts.private_key}\n"
        f"ansible_ssh_common_args=-o UserKnownHostsFile={hosts.known_hosts}\n"
    )
    return path


def delay(home: MeasuredService, node_ids: list[str]) -> Line:
    """Seconds from an event to the reader of the database, who looks every 20 ms."""
    job_id = home.done("CollectNodes", node_ids=node_ids)["job_id"]
    over = threading.Event()
    seen: list[float] = []
    reader = threading.Thread(target=_read, args=(home.home / "firstbox.db", job_id, seen, over))
    reader.start()
    end = home.wait_for(job_id, seconds=600)
    over.set()
    reader.join()
    assert end["status"] == "successful", end["reason"]
    what = f"event to database with {len(node_ids)} hosts, median of {len(seen)} lines"
    return below(what, statistics.median(seen), 1, " s", f" (worst {max(seen):.2f} s)")


def _read(database: Path, job_id: str, seen: list[float], over: threading.Event) -> None:
    last = 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while not over.wait(0.02):
            query = "SELECT number, time FROM log_line WHERE job_id = ? AND number > ?"
            rows = connection.execute(query, (job_id, last)).fetchall()
            now = time.time()
            seen += [now - created for _, created in rows]
            last = max([last, *(number for number, _ in rows)])


def idle(home: MeasuredService) -> float:
    """Of one core."""
    time.sleep(2)
    return idle_share(home.pid, 20)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    main()

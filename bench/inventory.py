"""Cost of the inventory: `python -m bench.inventory` prints a table for 10,000 nodes in SQLite.

The static JSON file holds the same hosts, groups and variables as the plugin gives. If Ansible
needs more than 90 s for 10,000 of them, plugin and file are compared with 1,000.
"""

import json
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).parents[1]
RUNS = 3
PATIENCE = 90  # seconds
# A small process between us and what we measure: a child's peak memory counts that of its parent.
LAUNCHER = """
import json, resource, subprocess, sys, time
started = time.monotonic()
try:
    ran = subprocess.run(
        sys.argv[2:], timeout=int(sys.argv[1]), check=True, stdout=subprocess.PIPE
    )
except subprocess.TimeoutExpired:
    print("null")
else:
    seconds = time.monotonic() - started
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    hosts = ran.stdout.count(b"\\n    ")
    print(json.dumps({"hosts": hosts, "seconds": seconds, "megabytes": megabytes}))
"""
HARDWARE = json.dumps({"disks": [{"name": f"sd{letter}", "size": 960.2} for letter in "abcdefgh"]})


class Cost(NamedTuple):
    """What one `ansible all --list-hosts` took."""

    hosts: int
    seconds: float
    megabytes: float


def main() -> None:
    """Measure and print."""
    print(measure_all())


def measure_all() -> str:
    """The table."""
    with tempfile.TemporaryDirectory() as scratch:
        large, small = Path(scratch, "10000"), Path(scratch, "50")
        node_ids = make_home(large, 10_000)
        few = ",".join(make_home(small, 50))
        plugin = measure(large)
        hosts = 10_000
        static = measure_static(Path(scratch, "10000.json"), large)
        if static is None:
            hosts = 1_000
            thousand = Path(scratch, "1000")
            make_home(thousand, hosts)
            static = measure_static(Path(scratch, "1000.json"), thousand)
            comparable = measure(thousand)
        else:
            comparable = plugin
        rows: list[tuple[str, int, Cost | None]] = [("plugin, all", 10_000, plugin)]
        if comparable is not plugin:
            rows.append(("plugin, all", hosts, comparable))
        rows += [
            ("static JSON file", hosts, static),
            ("plugin, 50 given", 10_000, measure(large, FIRSTBOX_NODES=",".join(node_ids[:50]))),
            ("plugin, 50 given", 50, measure(small, FIRSTBOX_NODES=few)),
            ("one host in a file", 1, measure_static(Path(scratch, "empty.json"))),
        ]
    return table(rows, hosts)


def table(rows: list[tuple[str, int, Cost | None]], static_hosts: int) -> str:
    """Markdown, with ratios to the static file where hosts are as many."""
    static = next(cost for name, _, cost in rows if name == "static JSON file")
    lines = [
        "| inventory | nodes stored | hosts read | seconds | MB | time of static | memory of static |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, stored, cost in rows:
        if cost is None:
            lines.append(f"| {name} | {stored} | | > {PATIENCE} | | | |")
            continue
        ratios = " | |"
        if static and cost.hosts == static_hosts:
            ratios = (
                f"{cost.seconds / static.seconds:.2f} | {cost.megabytes / static.megabytes:.2f} |"
            )
        lines.append(
            f"| {name} | {stored:,} | {cost.hosts:,} | {cost.seconds:.2f} | {cost.megabytes:.0f} "
            f"| {ratios}"
        )
    if static_hosts != 10_000:
        lines.append(f"\nThe static file with 10,000 hosts takes more than {PATIENCE} s.")
    return "\n".join(lines)


def make_home(home: Path, count: int) -> list[str]:
    """A service's directory with `count` nodes in its database; returns their ids."""
    home.mkdir()
    code = "import sys; from api.store.session import migrate; migrate(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{home}/firstbox.db"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    nodes = [row(number) for number in range(count)]
    with closing(sqlite3.connect(home / "firstbox.db")) as connection, connection:
        names = ", ".join(nodes[0])
        marks = ", ".join(f":{name}" for name in nodes[0])
        connection.executemany(f"INSERT INTO node ({names}) VALUES ({marks})", nodes)  # noqa: S608  # our own names
    return [node["node_id"] for node in nodes]


def row(number: int) -> dict[str, Any]:
    """One of many similar nodes: 5 zones, 20 roles, 12 products."""
    return {
        "node_id": f"n-{secrets.token_hex(4)}",
        "address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
        "address_order": f"{number:08x}",
        "zone_id": f"z{number % 5}",
        "status": ("available", "available", "pending", "unreachable")[number % 4],
        "pre_status": "",
        "hostname": f"host-{number}",
        "description": f"rack {number // 40}, unit {number % 40}",
        "role": f"role{number % 20}",
        "sub_roles": json.dumps([f"part{number % 3}"]),
        "product_type": f"type{number % 4}",
        "product_name": f"Model {number % 12}",
        "serial_number": f"SN{number:08}",
        "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + secrets.token_hex(21),
        "hardware": HARDWARE * 5,
        "create_time": 1.0,
        "update_time": 1.0,
    }


def measure(home: Path, **variables: str) -> Cost:
    """The median of several runs with the plugin."""
    runs = [list_hosts("inventory/firstbox.yml", {"FIRSTBOX_HOME": str(home), **variables})]
    while len(runs) < RUNS and None not in runs:
        runs.append(list_hosts("inventory/firstbox.yml", {"FIRSTBOX_HOME": str(home), **variables}))
    return middle([run for run in runs if run is not None])


def measure_static(file: Path, home: Path | None = None) -> Cost | None:
    """The same inventory as `home`'s as a JSON file; None if that takes too long."""
    file.write_text(json.dumps(static_inventory(home) if home else {"all": {"hosts": {"one": {}}}}))
    first = list_hosts(str(file), {})
    if first is None:
        return None
    if first.seconds > PATIENCE / RUNS:
        return first
    return middle([first, *(list_hosts(str(file), {}) or first for _ in range(RUNS - 1))])


def middle(runs: list[Cost]) -> Cost:
    """The median of time and of memory."""
    if not runs:
        raise SystemExit(f"the plugin took more than {PATIENCE} s")
    return Cost(
        runs[0].hosts,
        statistics.median(run.seconds for run in runs),
        statistics.median(run.megabytes for run in runs),
    )


def static_inventory(home: Path) -> dict[str, Any]:
    """What the plugin gives, in the form that Ansible's own yaml plugin reads."""
    command = [program("ansible-inventory"), "-i", "inventory/firstbox.yml", "--list", "--export"]
    environment = {**os.environ, "FIRSTBOX_HOME": str(home)}
    answer = subprocess.run(
        command, cwd=REPOSITORY, env=environment, check=True, capture_output=True
    )
    # Ansible writes text that is no template as {"__ansible_unsafe": text}.
    groups = json.loads(
        answer.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value)
    )
    hosts = groups.pop("_meta")["hostvars"]
    children = {
        name: {"hosts": dict.fromkeys(group.get("hosts", ())), "vars": group.get("vars", {})}
        for name, group in groups.items()
        if name not in ("all", "ungrouped")
    }
    return {"all": {"hosts": hosts, "children": children}}


def list_hosts(inventory: str, variables: Mapping[str, str]) -> Cost | None:
    """One `ansible all --list-hosts`; None if it takes longer than our patience."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FIRSTBOX_")}
    environment |= {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), **variables}
    command = [sys.executable, "-c", LAUNCHER, str(PATIENCE)]
    command += [program("ansible"), "-i", inventory, "all", "--list-hosts"]
    answer = subprocess.run(
        command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.PIPE
    )
    measured = json.loads(answer.stdout)
    return Cost(**measured) if measured else None


def program(name: str) -> str:
    """A program of this virtual environment."""
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    main()

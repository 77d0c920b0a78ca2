"""What the demo shows: a job as it goes on, and nodes as a table."""

import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo.client import News

# Where nobody looks, lines are not broken to fit a window.
console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=200)


def heading(text: str) -> None:
    """Say what comes next."""
    console.print(f"\n[bold]{escape(text)}[/bold]")


def say(text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, soft_wrap=True)


def show_job(news: Iterable[News]) -> dict[str, Any]:
    """Show a job until it is over: its log lines, and on a terminal a bar per step."""
    status: dict[str, Any] = {}
    with Progress(
        TextColumn("  {task.description:<12}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TextColumn("nodes"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        for status, lines in news:
            for line in lines:
                bars.console.print(f"  {line}", markup=False, soft_wrap=True)
            _move_bars(bars, status)
    return status


def _move_bars(bars: Progress, status: dict[str, Any]) -> None:
    nodes = status["nodes"]
    for step in status["steps"]:
        index = step["index"]
        if index not in bars.task_ids:
            bars.add_task(step["name"], start=False, total=len(nodes) or 1)
        if step["status"] != "waiting":
            bars.start_task(bars.task_ids[index])
        done = [node for node in nodes if node["step"] > index or _is_over(node, index)]
        # A scan has no nodes to count.
        completed = len(done) if nodes else step["status"] == "successful"
        bars.update(bars.task_ids[index], completed=completed)


def _is_over(node: dict[str, Any], index: int) -> bool:
    return node["step"] == index and node["status"] in ("successful", "failed")


def show_nodes(nodes: list[dict[str, Any]]) -> None:
    """Show what is known of each node, one row each."""
    table = Table(
        "node", "hostname", "address", "OS", "CPU", "memory", "disks", "networks", "status"
    )
    for node in nodes:
        cells = (
            node["node_id"],
            node["hostname"],
            node["address"],
            f"{node['os']['os_name']} {node['os']['os_version']}".strip(),
            _cpu(node["cpu"]),
            _amount(node["memory"]["memory_size"], "GiB"),
            "\n".join(map(_disk, [node["os_disk"], *node["data_disks"]])).strip(),
            "\n".join(map(_network, node["networks"])),
            node["status"],
        )
        table.add_row(*map(escape, cells))
    console.print(table)


def _cpu(cpu: dict[str, Any]) -> str:
    return f"{cpu['cpu_processors']} x {cpu['cpu_model']}" if cpu["cpu_processors"] else ""


def _amount(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number else ""


def _disk(disk: dict[str, Any]) -> str:
    return f"{disk['name']} {_amount(disk['size'], 'GB')}".strip()


def _network(network: dict[str, Any]) -> str:
    return f"{network['name']} {network['address']}".strip()


def show_json(value: dict[str, Any]) -> None:
    """Show a value as it came over the wire, one line per field."""
    lines = [f"  {json.dumps(name)}: {json.dumps(part)}" for name, part in value.items()]
    say("{\n" + ",\n".join(lines) + "\n}")

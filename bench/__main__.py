"""All measurements: `python -m bench` writes their table into docs/performance.md."""

from collections.abc import Callable

from bench import boot, collect, events, identify, inventory, power, provision, requests, scan
from bench.report import say, table, write

PARTS: dict[str, Callable[[], str]] = {
    "Collecting": lambda: table(collect.measure()),
    "Requests": lambda: table(requests.measure()),
    "Events": lambda: table(events.measure()),
    "Power": lambda: table(power.measure()),
    "Finding BMCs": lambda: table(scan.measure()),
    "Identifying": lambda: table(identify.measure()),
    "Installing": lambda: table(provision.measure()),
    "Boot server": lambda: table(boot.measure()),
    "Inventory": inventory.measure_all,
}


def main() -> None:
    """Measure part by part, then write."""
    sections = []
    for title, part in PARTS.items():
        say(f"== {title}")
        sections.append((title, part()))
        print(sections[-1][1], flush=True)
    write(sections)


if __name__ == "__main__":
    main()

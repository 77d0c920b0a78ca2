"""All measurements: `python -m bench` writes their tables into docs/performance.md.

`python -m bench 'Finding BMCs' Identifying` measures those parts, and leaves the others as they are. What
docs/scaling.md makes of the figures is written again as well.
"""

import sys
from collections.abc import Callable

from bench import (
    boot,
    collect,
    events,
    growth,
    identify,
    inventory,
    load,
    power,
    provision,
    requests,
    scaling,
    scan,
    units,
)
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
    "Units": lambda: table(units.measure()),
    "Load": lambda: table(load.measure()),
    "Growth": lambda: f"{growth.ABOUT}\n\n{table(growth.measure())}",
    "Inventory": inventory.measure_all,
}


def main(titles: list[str]) -> None:
    """Measure part by part, then write."""
    if unknown := set(titles) - set(PARTS):
        raise SystemExit(f"no such parts: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    sections = {}
    for title in titles or PARTS:
        say(f"== {title}")
        sections[title] = PARTS[title]()
        print(sections[title], flush=True)
    write(sections, order=list(PARTS))
    scaling.main()


if __name__ == "__main__":
    main(sys.argv[1:])

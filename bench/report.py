"""The table in docs/performance.md, and what the machine was that measured it."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
_BEGIN = "<!-- make bench writes from here -->"
_END = "<!-- to here -->"
_PACKAGES = ("ansible-core", "ansible-runner", "asyncssh", "fastapi", "sqlalchemy", "uvicorn")


class Line(NamedTuple):
    """One thing measured, beside its goal if there is one."""

    what: str
    measured: str
    goal: str = ""
    is_met: bool | None = None


def below(what: str, value: float, goal: float, unit: str = "", more: str = "") -> Line:
    """A line that should stay at or below its goal."""
    return Line(what, f"{_number(value)}{unit}{more}", f"≤ {goal:g}{unit}", value <= goal)


def above(what: str, value: float, goal: float, unit: str = "", more: str = "") -> Line:
    """A line that should reach its goal."""
    return Line(what, f"{_number(value)}{unit}{more}", f"≥ {goal:,g}{unit}", value >= goal)


def told(what: str, value: float, unit: str = "", more: str = "") -> Line:
    """A line without a goal."""
    return Line(what, f"{_number(value)}{unit}{more}")


def table(lines: Sequence[Line]) -> str:
    """Markdown."""
    verdicts = {True: "yes", False: "**no**", None: ""}
    rows = [
        f"| {line.what} | {line.measured} | {line.goal} | {verdicts[line.is_met]} |"
        for line in lines
    ]
    return "\n".join(["| what | measured | goal | met |", "|---|---|---|---|", *rows])


def machine() -> str:
    """A sentence about where and when this was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {os.cpu_count()} cores ({_processor()}), "
        f"{memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{versions}."
    )


def write(parts: Mapping[str, str], order: Sequence[str]) -> None:
    """Put sections (title -> markdown) between the two marks of the document.

    Each says where and when it was measured; those not measured now stay as they are.
    """
    text = DOCUMENT.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    inside, end, after = rest.partition(_END)
    if not begin or not end:
        raise SystemExit(f"{DOCUMENT} has lost its marks {_BEGIN} and {_END}")
    before_all, *old = inside.split("\n## ")
    known = {title: body.strip() for title, _, body in (one.partition("\n") for one in old)}
    where = machine()
    known |= {title: f"{where}\n\n{body}" for title, body in parts.items()}
    sections = "\n\n".join(f"## {title}\n\n{known[title]}" for title in order if title in known)
    about = before_all.strip() if known.keys() != parts.keys() else ""  # of those left as they were
    content = "\n\n".join(filter(None, (about, sections)))
    DOCUMENT.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}", encoding="utf-8")


def say(text: str) -> None:
    """How far we are, on stderr: standard output is the table."""
    print(text, file=sys.stderr, flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

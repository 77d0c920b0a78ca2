"""A drill: content whose playbooks are the real ones, and whose roles only pretend to drive machines.

Each step writes into a diary, twenty times a second, which run is at which machine. So a test sees
where every job stands, can hold a machine in a step, and afterwards finds whether two runs were at
the same machine at the same time.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from api.states import STEPS
from tests.service import REPOSITORY

_HERE = Path(__file__).parent
_TASKS = """\
---
- name: Pretend to drive the machines
  drive:
    step: {step}
  run_once: true
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """A run was at a machine."""

    time: float  # seconds on a clock that nobody sets
    node_id: str
    run: str  # <job>.<slice>.<attempt>
    step: str


class Drill:
    """The content directory, what its roles are told, and what they wrote."""

    def __init__(self, content: Path) -> None:
        self.content = content
        content.mkdir()
        for name in ("playbooks", "inventory", "inventory_plugins"):
            shutil.copytree(REPOSITORY / name, content / name)
        shutil.copy(REPOSITORY / "ansible.cfg", content)
        (content / "api").symlink_to(REPOSITORY / "api")
        (content / "playbooks" / "action_plugins").mkdir()
        shutil.copy(_HERE / "drive.py", content / "playbooks" / "action_plugins")
        for step in {step for steps in STEPS.values() for step in steps}:
            tasks = content / "roles" / step / "tasks"
            tasks.mkdir(parents=True)
            (tasks / "main.yml").write_text(_TASKS.format(step=step))
        self._orders = content / "orders"
        self._orders.mkdir()
        self._diary = content / "diary"

    def hold(self, node_id: str, step: str) -> None:
        """A job's first attempt stays in this step with this machine, until it is let go."""
        (self._orders / node_id).write_text(step)

    def held(self, node_id: str) -> str:
        """The step that a job is to stay in with this machine."""
        return (self._orders / node_id).read_text()

    def let_go(self, node_ids: Iterable[str]) -> None:
        """What is held there goes on."""
        for node_id in node_ids:
            (self._orders / node_id).unlink()

    def moments(self) -> list[Moment]:
        """All that was written so far, in order."""
        if not self._diary.exists():
            return []
        whole = self._diary.read_text().rpartition("\n")[0]
        lines = (line.split() for line in whole.splitlines())
        return [Moment(float(time), node_id, run, step) for time, node_id, run, step in lines]

    def are_in(self, steps: Mapping[str, str]) -> bool:
        """Whether each of these machines (node id -> step) was seen in its step."""
        seen = {(moment.node_id, moment.step) for moment in self.moments()}
        return all(pair in seen for pair in steps.items())

    def driven_by_two(self) -> list[str]:
        """Sentences about machines that were driven by two runs at the same time."""
        spans: dict[tuple[str, str], tuple[float, float]] = {}
        for moment in self.moments():
            key = (moment.node_id, moment.run)
            first, last = spans.get(key, (moment.time, moment.time))
            spans[key] = (min(first, moment.time), max(last, moment.time))
        ordered = sorted((node_id, *span, run) for (node_id, run), span in spans.items())
        return [
            f"{node_id}: {run} until {last:.2f}, and {next_run} from {first:.2f}"
            for (node_id, _, last, run), (next_id, first, _, next_run) in pairwise(ordered)
            if node_id == next_id and first <= last
        ]

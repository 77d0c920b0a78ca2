"""Events into the database: `python -m bench.events` prints a table.

- 20,000 synthetic events, as ansible-runner hands them over, through the recorder of a job.
- A real playbook with 2,000 loop items through ansible-runner, with the recorder at the end of the
  queue, beside the same run whose events nobody reads; the two take turns.
"""

import queue
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from api.domain import jobs as rules
from api.jobs.recorder import Recorder
from api.jobs.runner import run_playbook
from api.settings import Settings
from api.states import STEPS, JobAction
from api.store import jobs, runs
from api.store.session import open_database, writing
from bench.report import Line, above, below, say, table
from tests.nodes import plant_nodes

EVENTS = 20_000
NODES = 200
ITEMS = 2_000
ROUNDS = 4
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ item }}"
      loop: "{{ range(0, ITEMS) | list }}"
""".replace("ITEMS", str(ITEMS))


def main() -> None:
    """Measure and print."""
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        home = Path(scratch, "home")
        home.mkdir()
        settings = Settings(home=home)
        lines = [recorded("SQLite", settings, settings.database)]
        with postgres() as url:
            if url:
                lines.append(recorded("PostgreSQL", settings, url))
            else:
                lines.append(Line("events through the recorder, PostgreSQL", "not installed"))
        lines.append(whole_way(settings, Path(scratch)))
    return lines


def recorded(name: str, settings: Settings, url: str) -> Line:
    """Events a second, from the first one queued to the last one committed."""
    say(f"events: {EVENTS:,} into {name}")
    with job(settings, url) as (engine, recorder, node_ids):
        events = synthetic(node_ids)
        started = time.monotonic()
        for one in events:
            recorder.events.put(one)
        recorder.close()
        seconds = time.monotonic() - started
        assert recorder.error is None, recorder.error
        with engine.connect() as connection:
            query = select(func.count()).select_from(jobs.LOG_LINE)
            lines = connection.execute(query).scalar_one()
        assert lines >= EVENTS, lines
    more = f" ({EVENTS:,} in {seconds:.1f} s)"
    return above(f"events through the recorder, {name}", EVENTS / seconds, 2000, "/s", more)


def whole_way(settings: Settings, scratch: Path) -> Line:
    """The playbook with the recorder / the playbook with nobody."""
    project = scratch / "project"
    for directory in ("playbooks", "inventory"):
        (project / directory).mkdir(parents=True)
    (project / "playbooks/many.yml").write_text(PLAYBOOK)
    (project / "inventory/firstbox.yml").write_text("all: {hosts: {localhost: {}}}\n")
    repository = Path(__file__).parents[1]
    (project / "ansible.cfg").write_text(
        "[defaults]\n"
        f"callback_plugins = {repository}/playbooks/callback_plugins\n"
        "[inventory]\nenable_plugins = yaml\n"
    )
    with_recorder: list[float] = []
    alone: list[float] = []
    with job(settings, settings.database) as (_, recorder, _):
        for number in range(ROUNDS):
            say(f"events: {ITEMS:,} loop items, round {number + 1} of {ROUNDS}")
            nobody: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
            turns = [
                (alone, scratch / f"alone{number}", nobody, lambda: False),
                (with_recorder, scratch / f"recorded{number}", recorder.events, recorder.is_late),
            ]
            for kept, place, events, is_late in turns if number % 2 else reversed(turns):
                kept.append(run(project, place, events, is_late))
        recorder.close()
        assert recorder.error is None, recorder.error
    ratios = [own / peer for own, peer in zip(with_recorder, alone, strict=True)]
    own, peer = statistics.median(with_recorder), statistics.median(alone)
    what = f"playbook with {ITEMS:,} loop items, recorded / with an empty handler: wall"
    return below(what, statistics.median(ratios), 1.05, more=f" ({own:.1f} s / {peer:.1f} s)")


def run(
    project: Path,
    directory: Path,
    events: "queue.SimpleQueue[Mapping[str, Any] | None]",
    should_stop: Callable[[], bool],
) -> float:
    """Seconds that ansible-runner needs for the playbook."""
    directory.mkdir(mode=0o700)
    started = time.monotonic()
    outcome = run_playbook(
        project / "playbooks/many.yml",
        directory,
        environment={},
        variables={},
        proof="bench",
        events=events,
        should_stop=should_stop,
    )
    assert outcome.rc == 0, outcome
    return time.monotonic() - started


@contextmanager
def job(settings: Settings, url: str) -> Iterator[tuple[Engine, Recorder, list[str]]]:
    """A new job that is ours, and its recorder."""
    made = f"{time.monotonic_ns():x}"[-5:]
    node_ids = [f"n-{made}{number:03}" for number in range(NODES)]
    plant_nodes(url, *({"node_id": node_id} for node_id in node_ids))
    engine = open_database(url, pool_size=2)
    try:
        with writing(engine) as connection:
            job_id = rules.begin(connection, JobAction.COLLECT_NODES, node_ids, user_id="bench")
            run = runs.Run(job_id, 1, "bench")
            assert runs.claim(connection, run, lease=3600)
        yield engine, Recorder(engine, settings, run), node_ids
    finally:
        engine.dispose()


def synthetic(node_ids: list[str]) -> list[dict[str, Any]]:
    """Events of a run in which every node speaks for itself, through all steps."""
    steps = STEPS[JobAction.COLLECT_NODES]
    return [
        {
            "uuid": f"{number:032x}",
            "counter": number,
            "stdout": "ok: => {...}",
            "start_line": number,
            "end_line": number + 1,
            "event": "runner_item_on_ok",
            "created": datetime.now(UTC).isoformat(),
            "event_data": {
                "role": steps[number * len(steps) // EVENTS],
                "task": "Ask each node",
                "host": node_ids[number % NODES],
                "res": {
                    "results": [
                        {
                            "node": node_ids[number % NODES],
                            "ok": True,
                            "reason": "",
                            "message": "has 16 processors, 63.0 GiB, 4 disks, 3 networks",
                        }
                    ]
                },
            },
        }
        for number in range(EVENTS)
    ]


@contextmanager
def postgres() -> Iterator[str]:
    """URL of an empty PostgreSQL of our own; "" where there is none."""
    import pytest

    from tests.postgres import running_postgres

    try:
        started = running_postgres()
        url = started.__enter__()
    except pytest.skip.Exception:
        yield ""
        return
    try:
        yield f"{url}/postgres".replace("postgresql://", "postgresql+psycopg://")
    finally:
        started.__exit__(None, None, None)


if __name__ == "__main__":
    main()

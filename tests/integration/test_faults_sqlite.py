"""One process holds SQLite's write lock for longer than a run may go on without its worker."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from api.states import JobAction
from api.store.session import open_database
from tests.drill import Drill
from tests.drill.held import in_zone
from tests.service import Service, processes_of, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]


def test_a_locked_database_delays_and_loses_nothing(tmp_path: Path) -> None:
    drill = Drill(tmp_path / "content")
    home = tmp_path / "home"
    with Service(home, content=drill.content, lease=6, queue_poll=0.2) as service:
        engine = open_database(f"sqlite:///{home / 'firstbox.db'}")
        nodes = [in_zone(engine, "default", JobAction.COLLECT_NODES, n) for n in (1, 2)]
        drill.hold(nodes[0], "node_probe")
        job_id = service.done("CollectNodes", node_ids=nodes[:1])["job_id"]
        assert service.wait_for(job_id, "step1")["status"] == "step1"

        holder = sqlite3.connect(home / "firstbox.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        wait_until(lambda: not processes_of(job_id), 15, what="the guard ended the run")
        begin = time.monotonic()
        assert service.status(job_id)["status"] == "step1"  # who only reads does not wait
        assert time.monotonic() - begin < 5
        holder.execute("ROLLBACK")
        holder.close()

        assert service.wait_for(job_id, seconds=90)["status"] == "successful"
        assert any("attempt 2 begins" in line for line in service.log(job_id))
        late = service.done("CollectNodes", node_ids=nodes[1:])["job_id"]
        assert service.wait_for(late, seconds=60)["status"] == "successful"
        assert len(service.done("DescribeJobs")["job_set"]) == 2
        assert drill.driven_by_two() == []
        engine.dispose()

"""Jobs that a test starts, holds in a step, and follows to their end."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, update

from api.states import JobAction
from api.store.session import writing
from api.store.tables import Node, columns
from tests.cluster import Api, Cluster, Worker
from tests.drill import Drill
from tests.machines import plant_bm_node
from tests.service import wait_until

TRUE_WITHIN = 90  # seconds after a fault every status is true
_ASKED: dict[JobAction, dict[str, Any]] = {
    JobAction.GET_BM_NODES_POWER: {"refresh": 1}  # else it answers what is known
}


class Held:
    """Jobs whose first attempt stays in a step until a test lets it go."""

    def __init__(self, cluster: Cluster, api: Api, drill: Drill) -> None:
        self._cluster, self._api, self._drill = cluster, api, drill
        self._actions: dict[str, JobAction] = {}
        self._node_ids: dict[str, list[str]] = {}

    def start(self, zone_id: str, kinds: Sequence[tuple[JobAction, str]]) -> list[str]:
        """A job of a machine of its own for each action and the step it is to stay in; their ids."""
        return [self.start_across([zone_id], action, step) for action, step in kinds]

    def start_across(self, zone_ids: Sequence[str], action: JobAction, step: str) -> str:
        """One job of a machine in each zone, which is to stay in this step, if any; its id."""
        node_ids = [a_machine(self._cluster, zone_id, action) for zone_id in zone_ids]
        for node_id in node_ids if step else []:
            self._drill.hold(node_id, step)
        asked = self._api.done(action, node_ids=node_ids, **_ASKED.get(action, {}))
        job_id: str = asked["job_id"]
        self._actions[job_id], self._node_ids[job_id] = action, node_ids
        return job_id

    def wait(self, job_ids: Sequence[str]) -> None:
        """Wait until each of these jobs is in its step."""
        steps = {node_id: self._drill.held(node_id) for node_id in self._of(job_ids)}
        wait_until(lambda: self._drill.are_in(steps), 90, what="jobs are in their steps", pause=0.5)

    def _of(self, job_ids: Sequence[str]) -> list[str]:
        return [node_id for job_id in job_ids for node_id in self._node_ids[job_id]]

    def let_go(self, job_ids: Sequence[str]) -> None:
        """Let these jobs go on."""
        self._drill.let_go(self._of(job_ids))

    def ends(self, job_ids: Sequence[str]) -> list[tuple[str, str, int]]:
        """How each of these jobs ended, once all did: status, reason, and in which attempt."""
        left = "SELECT 1 FROM job WHERE finish_time IS NULL AND job_id = ANY(%s)"
        wait_until(
            lambda: not self._cluster.ask(left, list(job_ids)),
            TRUE_WITHIN,
            what="the jobs are over",
            pause=0.5,
        )
        return [self._end(job_id) for job_id in job_ids]

    def _end(self, job_id: str) -> tuple[str, str, int]:
        (job,) = self._api.done("DescribeJobs", job_ids=[job_id])["job_set"]
        return job["status"], job["reason"], job["attempt"]

    def log(self, job_id: str) -> list[str]:
        """The lines of the job's log."""
        return self._api.log(job_id, self._actions[job_id])

    def attempts(self, job_ids: Sequence[str]) -> set[int]:
        """In which attempt these jobs are now."""
        query = "SELECT attempt FROM job_slice WHERE job_id = ANY(%s)"
        return {attempt for (attempt,) in self._cluster.ask(query, list(job_ids))}

    def of_worker(self, worker: Worker) -> list[str]:
        """The jobs that this worker has now."""
        query = "SELECT job_id FROM job_slice WHERE status = 'running' AND worker LIKE %s"
        return [job_id for (job_id,) in self._cluster.ask(query, f"%.{worker.pid}.%")]


def a_machine(cluster: Cluster, zone_id: str, action: JobAction) -> str:
    """A machine of the cluster that this action takes."""
    number = len(cluster.ask("SELECT node_id FROM node")) + 1
    return in_zone(cluster.engine, zone_id, action, number)


def in_zone(engine: Engine, zone_id: str, action: JobAction, number: int) -> str:
    """A machine that this action takes: with an operating system to collect, or a bare one."""
    node_id = plant_bm_node(engine, number, ipmi_password="sealed")
    address = f"127.0.98.{number}" if action == JobAction.COLLECT_NODES else None
    with writing(engine) as connection:
        is_it = columns(Node).c.node_id == node_id
        connection.execute(
            update(columns(Node)).where(is_it).values(zone_id=zone_id, address=address)
        )
    return node_id

"""The demo as a client: what it asks the service, over HTTP like everybody else."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx

from demo import DemoError

SECONDS_FOR_JOB = 300
FINISHED = ("successful", "failed")


class News(NamedTuple):
    """What changed in a job: its status now, and the log lines since the last look."""

    status: dict[str, Any]
    lines: list[str]


class Client:
    """The actions that the demo needs."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    def add_nodes(self, first: str, last: str) -> tuple[list[str], str]:
        """All nodes of the range and the job that collects the new ones, "" if none is new."""
        answer = self._call("AddNodes", ip_start=first, ip_end=last)
        known = [node["node_id"] for node in answer["existing"]]
        return answer["node_ids"] + known, answer["job_id"]

    def collect_nodes(self, node_ids: list[str]) -> str:
        """The job that collects these nodes."""
        return str(self._call("CollectNodes", node_ids=node_ids)["job_id"])

    def scan_bm_nodes(self, **asked: Any) -> str:
        """The job that looks for BMCs and registers their machines."""
        return str(self._call("ScanBMNodes", **asked)["job_id"])

    def scanned(self, job_id: str) -> list[dict[str, Any]]:
        """What a scan made of each address that answered."""
        results: list[dict[str, Any]] = self._call("GetScanBMNodesStatus", job_id=job_id)["results"]
        return results

    def provision_bm_nodes(self, node_ids: list[str]) -> str:
        """The job that installs these nodes, also those that are installed already."""
        return str(self._call("ProvisionBMNodes", node_ids=node_ids, reinstall=1)["job_id"])

    def follow(
        self, job_id: str, action: str = "CollectNodes", seconds: float = SECONDS_FOR_JOB
    ) -> Iterator[News]:
        """What happens in a job until it is over."""
        end = time.monotonic() + seconds
        after = 0
        while time.monotonic() < end:
            # The status first: lines written after it are read with it, and none is lost.
            status = self._call("GetStatus", job_action=action, job_id=job_id)
            log = self._call("GetLog", job_action=action, job_id=job_id, after=after)["log"]
            after = max(map(int, log), default=after)
            yield News(status, list(log.values()))
            if status["status"] in FINISHED:
                return
            time.sleep(0.2)
        raise DemoError(f"Job {job_id} is not over after {seconds:g} s.")

    def describe_nodes(self, node_ids: list[str]) -> list[dict[str, Any]]:
        """The nodes with their hardware."""
        nodes: list[dict[str, Any]] = self._call("DescribeNodes", node_ids=node_ids)["node_set"]
        return nodes

    def _call(self, action: str, **parameters: Any) -> dict[str, Any]:
        response = self._http.post("/api", json={"action": action, **parameters})
        answer: dict[str, Any] = response.json()
        if answer["ret_code"]:
            raise DemoError(f"{action} was refused ({answer['ret_code']}): {answer['message']}")
        return answer

"""One request, followed through every process by its id, its figures and its trace."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.otlp import Collector, collecting
from tests.service import Service, free_port, processes_of, wait_until

REQUEST = "follow-me-4711"


def test_one_request_is_followed_through_all_processes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with collecting() as collector:
        settings = {"log_format": "json", "otlp_endpoint": collector.url, "queue_poll": 0.1}
        with Service(home, ssh_port=free_port(), lease=6, **settings) as service:
            job_id = add_node_that_is_not_there(service)
            wait_until(lambda: knows_request(job_id), 30, what="Ansible runs for the request")
            assert service.wait_for(job_id)["status"] == "failed"
            seen = figures(service)
        # It is stopped now, and everything was sent.

    check_log(home / "serve.log", job_id, "firstbox.api", "AddNodes from 127.0.0.1: 0")
    check_log(home / "serve.log", job_id, "firstbox.worker", f"run {job_id}.0.1 ended")
    check_log(home / "worker.log", job_id, "firstbox.run", "step0 node_reach begins")
    check_log(home / "worker.log", job_id, "firstbox.jobs", "CollectNodes: failed")
    printed = (home / "runs" / f"{job_id}.0.1.txt").read_text()
    assert printed.startswith(f"# CollectNodes {job_id}.0.1, request {REQUEST}\n")
    assert seen["firstbox_node_failures_total"] == {("CollectNodes", "ssh_closed"): 1}
    assert seen["firstbox_workers"] == {("default",): 1}
    check_trace(collector)


def add_node_that_is_not_there(service: Service) -> str:
    answer = httpx.post(
        f"http://127.0.0.1:{service.port}/api/AddNodes",
        json={"ip_start": "127.0.42.9", "ip_end": "127.0.42.9"},
        headers={"Authorization": f"Bearer {service.token}", "X-Request-Id": REQUEST},
    )
    assert answer.headers["X-Request-Id"] == REQUEST
    job_id: str = answer.json()["job_id"]
    return job_id


def knows_request(job_id: str) -> bool:
    def environment(pid: int) -> bytes:
        try:
            return Path(f"/proc/{pid}/environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return b""

    return any(
        f"FIRSTBOX_REQUEST={REQUEST}".encode() in environment(pid) for pid in processes_of(job_id)
    )


def figures(service: Service) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample -> values of its labels, by their names' alphabet -> value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    text = httpx.get(f"http://127.0.0.1:{service.port}/metrics").text
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            labels = tuple(value for _, value in sorted(one.labels.items()))
            found.setdefault(one.name, {})[labels] = one.value
    return found


def check_log(path: Path, job_id: str, logger: str, words: str) -> None:
    """A line says these words, and for whom."""
    (line,) = [
        line for line in lines(path) if line["logger"] == logger and words in line["message"]
    ]
    assert line["request_id"] == REQUEST
    assert line["user"] == "admin"
    assert line["job_id"] == job_id


def lines(path: Path) -> list[dict[str, Any]]:
    """Every line of the log is one object."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_trace(collector: Collector) -> None:
    """From the request to the step, over two processes."""
    names = ("AddNodes", "job CollectNodes", "run CollectNodes", "node_reach")
    spans = [collector.named(name) for name in names]
    for parent, child in pairwise(spans):
        assert (child.trace_id, child.parent_id) == (parent.trace_id, parent.span_id), child.name
    assert [span.service for span in spans] == ["firstbox-api", *["firstbox-worker"] * 3]
    assert spans[1].facts["firstbox.request_id"] == REQUEST

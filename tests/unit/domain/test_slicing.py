from typing import Any

from api.domain.queueing import Limits
from api.domain.slicing import cut, whole
from api.states import JobAction

COLLECT, PROVISION = JobAction.COLLECT_NODES, JobAction.PROVISION_BM_NODES


def sizes(
    action: JobAction, nodes: int, limits: Limits, options: dict[str, Any] | None = None
) -> list[int]:
    statuses = {f"n-{number:08}": "new" for number in range(nodes)}
    zones = dict.fromkeys(statuses, "default")
    return [len(part.nodes) for part in cut(action, statuses, zones, options or {}, limits)]


def test_a_small_job_is_one_slice() -> None:
    assert sizes(COLLECT, 200, Limits(slice_nodes=200)) == [200]


def test_a_large_job_is_cut() -> None:
    assert sizes(COLLECT, 500, Limits(slice_nodes=200)) == [200, 200, 100]


def test_no_slice_is_larger_than_may_be_at_work_at_once() -> None:
    limits = Limits(slice_nodes=200, provision_at_once=50)

    assert sizes(PROVISION, 120, limits) == [50, 50, 20]
    assert sizes(COLLECT, 120, limits) == [120]
    assert sizes(COLLECT, 5, limits, {"at_once": 2}) == [2, 2, 1]


def test_each_zone_has_slices_of_its_own_in_the_order_asked_for() -> None:
    statuses = {"n-1": "new", "n-2": "failed", "n-3": "new", "n-4": "new"}
    zones = {"n-1": "z2", "n-2": "z1", "n-3": "z2", "n-4": "z2"}

    parts = cut(COLLECT, statuses, zones, {}, Limits(slice_nodes=2))

    assert parts == [
        ("z1", {"n-2": "failed"}),
        ("z2", {"n-1": "new", "n-3": "new"}),
        ("z2", {"n-4": "new"}),
    ]


def test_zones_take_turns() -> None:
    statuses = {f"n-{number}": "new" for number in range(6)}
    zones = {node_id: "z2" if node_id == "n-5" else "z1" for node_id in statuses}

    parts = cut(COLLECT, statuses, zones, {}, Limits(slice_nodes=2))

    assert [part.zone_id for part in parts] == ["z1", "z2", "z1", "z1"]


def test_a_job_without_nodes_is_one_slice_in_the_zone_it_names() -> None:
    assert cut(JobAction.SCAN_BM_NODES, {}, {}, {"zone_id": "z7"}, Limits()) == [("z7", {})]
    assert cut(JobAction.SCAN_BM_NODES, {}, {}, {}, Limits()) == [("default", {})]


def test_a_run_from_a_shell_is_never_cut() -> None:
    statuses = {"n-1": "new", "n-2": "new"}

    assert whole(statuses, {"n-1": "z2", "n-2": "z1"}) == [("z1,z2", statuses)]

"""From a run's events to a job's changes."""

from typing import Any

import pytest

from api.jobs.progress import Progress
from api.states import STEPS, JobAction, Reason

STEPS_OF_COLLECT = STEPS[JobAction.COLLECT_NODES]
A, B = "n-aaaaaaaa", "n-bbbbbbbb"


@pytest.fixture
def progress() -> Progress:
    return Progress(
        STEPS_OF_COLLECT, {A: "192.0.2.1", B: "192.0.2.2"}, dict.fromkeys(STEPS_OF_COLLECT, 60.0)
    )


def event(kind: str, second: int = 0, **data: Any) -> dict[str, Any]:
    return {"event": kind, "created": f"2026-01-01T00:00:{second:02}+00:00", "event_data": data}


def results(*entries: tuple[str, bool, str]) -> dict[str, Any]:
    return {
        "results": [
            {"node": node, "ok": ok, "reason": reason, "message": "said so"}
            for node, ok, reason in entries
        ]
    }


def test_a_task_of_a_new_role_begins_a_new_step(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", 1, role="node_reach"))
    progress.feed(event("playbook_on_task_start", 3, role="node_probe"))

    changes = progress.take()
    assert changes.step_index == 1
    assert changes.steps[0]["status"] == "successful"
    assert changes.steps[0]["finish_time"] - changes.steps[0]["start_time"] == 2
    assert changes.steps[1]["deadline"] - changes.steps[1]["start_time"] == 60
    assert progress.current_step == "node_probe"
    assert not progress.take()


def test_a_role_that_is_no_step_changes_nothing(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", role="site_ntp"))
    assert not progress.take()


def test_steps_never_go_back(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", role="node_probe"))
    progress.feed(event("playbook_on_task_start", role="node_reach"))
    assert progress.take().step_index == 1


def test_each_node_has_its_own_result(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", role="node_reach"))
    progress.take()
    progress.feed(event("runner_item_on_ok", res=results((A, True, ""), (B, False, "ssh_closed"))))

    changes = progress.take()
    assert changes.nodes[A]["status"] == "running"
    assert changes.nodes[B] == {
        "status": "failed",
        "step_index": 0,
        "reason": Reason.SSH_CLOSED,
        "message": "said so",
    }
    lines = [(line["node_id"], line["is_failure"], line["text"]) for line in changes.lines]
    assert lines[0] == (A, False, f"{A} 192.0.2.1: said so")
    assert lines[1][:2] == (B, True)
    assert lines[1][2].startswith(f"{B} 192.0.2.2: said so. The machine answers but no SSH")


def test_a_loops_summary_repeats_nothing(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", role="node_reach"))
    progress.feed(event("runner_item_on_ok", res=results((A, True, ""))))
    progress.take()
    progress.feed(event("runner_on_ok", res={"results": [results((A, True, ""))]}))
    progress.feed(event("runner_on_failed", host=A, res={"results": [results((A, True, ""))]}))
    assert not progress.take()
    assert progress.failed_task == ""


def test_a_node_succeeds_in_the_last_step_only(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", role="node_record"))
    progress.feed(event("runner_on_ok", res=results((A, True, ""))))
    assert progress.take().nodes[A]["status"] == "successful"


def test_results_about_nodes_of_others_are_passed_over(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", role="node_reach"))
    progress.take()
    progress.feed(event("runner_on_ok", res=results(("n-zzzzzzzz", False, "timeout"))))
    progress.feed(event("runner_on_ok", res={"results": "no list"}))
    progress.feed(event("runner_on_ok", res="no dict"))
    assert not progress.take()


def test_a_failed_task_fails_its_host_and_says_which(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", role="node_reach"))
    progress.feed(event("runner_on_failed", host=A, task="Format", res={"msg": "disk on fire"}))
    changes = progress.take()
    assert changes.nodes[A]["reason"] == Reason.TASK_FAILED
    assert "Format: disk on fire" in changes.lines[-1]["text"]
    assert progress.failed_task == "Format: disk on fire"


def test_an_ignored_failure_is_none(progress: Progress) -> None:
    progress.feed(event("runner_on_failed", host=A, ignore_errors=True, res={"msg": "well"}))
    assert not progress.take()


def test_an_unreachable_host_is_named(progress: Progress) -> None:
    progress.feed(event("runner_on_unreachable", host=B, task="Log in", res={"msg": "no route"}))
    assert progress.take().nodes[B]["reason"] == Reason.SSH_REFUSED


def test_statistics_end_the_run(progress: Progress) -> None:
    progress.feed(event("playbook_on_task_start", 1, role="node_record"))
    assert not progress.is_complete
    progress.feed(event("playbook_on_stats", 9))
    assert progress.is_complete
    assert progress.take().steps[2]["status"] == "successful"


def test_a_machines_text_is_one_printable_line(progress: Progress) -> None:
    hostile = results((A, False, "no such reason"))
    hostile["results"][0]["message"] = "a\nb\x1b[31m\x00" + "x" * 5000
    progress.feed(event("runner_on_ok", res=hostile))
    changes = progress.take()
    text = changes.lines[0]["text"]
    assert text.startswith(f"{A} 192.0.2.1: a b?[31m?xxx")
    assert len(text) < 1300
    assert changes.nodes[A]["reason"] == Reason.TASK_FAILED


@pytest.fixture
def scan() -> Progress:
    """Of a scan of ranges, which has no nodes."""
    steps = STEPS[JobAction.SCAN_BM_NODES]
    return Progress(steps, {}, dict.fromkeys(steps, 60.0))


def found(ok: bool, reason: str = "", **entry: Any) -> dict[str, Any]:
    return {"results": [{"ok": ok, "reason": reason, "message": "said so", **entry}]}


def test_what_was_found_at_an_address_is_a_line_and_decides_nothing(scan: Progress) -> None:
    scan.feed(event("playbook_on_task_start", role="bmc_sweep"))
    scan.take()

    scan.feed(event("runner_on_ok", role="bmc_sweep", res=found(True, address="10.1.0.1", node="")))
    refused = found(False, "bmc_login_refused", address="10.1.0.2", node="")
    scan.feed(event("runner_on_ok", role="bmc_sweep", res=refused))

    changes = scan.take()
    first, second = changes.lines
    assert (first["text"], first["is_failure"]) == ("10.1.0.1: said so", False)
    assert second["text"].startswith("10.1.0.2: said so. Correct the BMC's user name and password")
    assert second["is_failure"]
    assert (changes.nodes, scan.failed_task) == ({}, "")


def test_an_entry_without_node_and_address_is_nobodys_line(scan: Progress) -> None:
    scan.feed(event("playbook_on_task_start", role="bmc_sweep"))
    scan.take()

    scan.feed(event("runner_on_ok", role="bmc_sweep", res=found(True, node="n-nowhere1")))
    scan.feed(event("runner_on_ok", role="bmc_sweep", res=found(True, address=["10.1.0.1"])))

    assert not scan.take()


def test_steps_without_nodes_begin_and_succeed(scan: Progress) -> None:
    scan.feed(event("playbook_on_task_start", 1, role="bmc_sweep"))
    scan.feed(event("playbook_on_task_start", 2, role="bmc_identify"))

    changes = scan.take()
    assert changes.steps[0]["status"] == "successful"
    assert [line["text"] for line in changes.lines] == [
        "step0 bmc_sweep begins",
        "step1 bmc_identify begins",
    ]

"""What the events of a playbook run mean for its job: a pure mapping, no input or output.

A step is a role, so a task of a new role begins a new step. Tasks that work on many nodes at once
answer `results: [{node, ok, reason, message}]`, or, of what is no node yet, `{address, ...}`; every
other task speaks for its own host.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from api.states import ADVICE, Reason, WorkStatus, step_status
from api.store.runs import Changes

Event = Mapping[str, Any]
_RESULTS = frozenset(
    {"runner_on_ok", "runner_on_failed", "runner_item_on_ok", "runner_item_on_failed"}
)
_MAX_TEXT = 1000


class Progress:
    """Feed it events in order; take the changes out whenever it suits."""

    def __init__(
        self, steps: Sequence[str], nodes: Mapping[str, str], patience: Mapping[str, float]
    ) -> None:
        """`nodes`: node id -> address; `patience`: seconds each step may take."""
        self._steps = list(steps)
        self._nodes = nodes
        self._patience = patience
        self._left = set(nodes)  # not failed yet
        self._current = -1
        self._changes = Changes()
        self.deadline: float | None = None  # of the step that runs now
        self.allowed = 0.0  # seconds it may take
        self.is_complete = False
        self.failed_task = ""

    @property
    def current_step(self) -> str:
        """Name of the step that runs now."""
        return self._steps[max(self._current, 0)]

    def take(self) -> Changes:
        """The changes since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    def feed(self, event: Event) -> None:
        """Add what one event means; events that mean nothing to a job are passed over."""
        kind, data = event.get("event"), event.get("event_data") or {}
        role = data.get("role")
        if role in self._steps[self._current + 1 :]:
            self._begin(self._steps.index(role), _time(event))
        if kind in _RESULTS or kind == "runner_on_unreachable":
            self._result(str(kind), data, _time(event))
        elif kind == "playbook_on_stats":
            self.is_complete = True
            self._end_step(_time(event))

    def _begin(self, index: int, now: float) -> None:
        self._end_step(now)
        self._current = index
        name = self._steps[index]
        self.allowed = self._patience[name]
        self.deadline = now + self.allowed
        self._changes.step_index = index
        self._changes.steps[index] = {
            "status": WorkStatus.RUNNING,
            "start_time": now,
            "deadline": self.deadline,
        }
        if self._left or not self._nodes:
            whom = f" for {len(self._left)} nodes" if self._nodes else ""
            self._say(now, "", f"step{index} {name} begins{whom}")
        for node_id in self._left:
            self._changes.nodes[node_id] = {"status": WorkStatus.RUNNING, "step_index": index}

    def _end_step(self, now: float) -> None:
        if self._current < 0:
            return
        step = self._changes.steps.setdefault(self._current, {})
        step |= {
            "status": WorkStatus.SUCCESSFUL if self._left or not self._nodes else WorkStatus.FAILED,
            "finish_time": now,
        }

    def _result(self, kind: str, data: Event, now: float) -> None:
        res = data.get("res")
        res = res if isinstance(res, dict) else {}
        results = [entry for entry in _entries(res) if self._is_known(entry)]
        for entry in results:
            if entry.get("node"):
                self._one_node(entry, now)
            else:
                self._one_address(entry, now)
        # A looped task ends with an event for all of its items, each of which spoke already.
        is_summary = "results" in res
        if not results and not is_summary and not data.get("ignore_errors"):
            if kind == "runner_on_unreachable":
                self._task_failed(data, Reason.SSH_REFUSED, res, now)
            elif kind == "runner_on_failed":
                self._task_failed(data, Reason.TASK_FAILED, res, now)

    def _is_known(self, entry: Event) -> bool:
        node = entry.get("node")
        return node in self._nodes if node else isinstance(entry.get("address"), str)

    def _one_address(self, entry: Event, now: float) -> None:
        """Something a scan found: what becomes of it decides nothing about the job."""
        text = f"{_plain(entry['address'])}: {_plain(entry.get('message'))}"
        if entry.get("ok"):
            self._say(now, "", text)
        else:
            advice = ADVICE[_reason(entry.get("reason"))]
            self._say(now, "", f"{text}. {advice}", is_failure=True)

    def _one_node(self, entry: Event, now: float) -> None:
        node_id, message = entry["node"], _plain(entry.get("message"))
        if entry.get("ok"):
            is_last = self._current == len(self._steps) - 1
            status = WorkStatus.SUCCESSFUL if is_last else WorkStatus.RUNNING
            self._changes.nodes[node_id] = {"status": status, "step_index": self._current}
            self._say(now, node_id, message)
        else:
            self._fail(node_id, _reason(entry.get("reason")), message, now)

    def _task_failed(self, data: Event, reason: Reason, res: Event, now: float) -> None:
        message = f"{_plain(data.get('task'))}: {_plain(res.get('msg')) or 'failed'}"
        self.failed_task = message
        if data.get("host") in self._nodes:
            self._fail(str(data["host"]), reason, message, now)
        else:
            self._say(now, "", message, is_failure=True)

    def _fail(self, node_id: str, reason: Reason, message: str, now: float) -> None:
        self._left.discard(node_id)
        self._changes.nodes[node_id] = {
            "status": WorkStatus.FAILED,
            "step_index": max(self._current, 0),
            "reason": reason,
            "message": message,
        }
        self._say(now, node_id, f"{message}. {ADVICE[reason]}", is_failure=True)

    def _say(self, now: float, node_id: str, text: str, *, is_failure: bool = False) -> None:
        begin = f"{node_id} {self._nodes[node_id]}: " if node_id else ""
        self._changes.lines.append(
            {
                "time": now,
                "job_status": step_status(max(self._current, 0)),
                "node_id": node_id,
                "is_failure": is_failure,
                "text": begin + text,
            }
        )


def _entries(res: Event) -> Iterable[dict[str, Any]]:
    results = res.get("results")
    return (
        [entry for entry in results if isinstance(entry, dict)] if isinstance(results, list) else []
    )


def _reason(value: Any) -> Reason:
    return Reason(value) if value in set(Reason) else Reason.TASK_FAILED


def _plain(value: Any) -> str:
    """One line without control characters: it goes to logs and terminals."""
    text = " ".join(str(value or "").split())[:_MAX_TEXT]
    return "".join(character if character.isprintable() else "?" for character in text)


def _time(event: Event) -> float:
    return datetime.fromisoformat(event["created"]).timestamp()

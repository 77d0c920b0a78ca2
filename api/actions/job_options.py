"""What requests that start a job may say about its way through the queue."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.actions.envelope import Context
from api.domain import jobs
from api.states import JobAction, Priority
from api.store.session import writing


class JobOptions(BaseModel):
    """How urgent a job is, and how careful."""

    priority: Literal["high", "normal", "low"] | None = Field(
        None,
        description="Which of the jobs that wait goes first; without it, power actions are `high`.",
    )
    at_once: Annotated[int, Field(ge=1, le=50_000)] | None = Field(
        None, description="Most nodes of this job that are at work at the same time."
    )
    max_failures: Annotated[int, Field(ge=0, le=50_000)] | None = Field(
        None,
        description="Failed nodes after which the job starts no more of them; 0: it goes on. It "
        "starts `at_once` of them together.",
    )


def flags(**given: int) -> dict[str, int]:
    """Those that are set."""
    return {name: value for name, value in given.items() if value}


def start_job(
    context: Context,
    action: JobAction,
    node_ids: list[str],
    asked: JobOptions,
    options: Mapping[str, Any] | None = None,
) -> str:
    """A job that does `action` to these nodes; its id."""
    given = dict(options or {})
    if asked.at_once is not None:
        given["at_once"] = asked.at_once
    if asked.max_failures is not None:
        given["max_failures"] = asked.max_failures
    with writing(context.engine) as connection:
        return jobs.start(
            connection,
            context.queue,
            action,
            node_ids,
            user_id=context.caller.user_id,
            options=given,
            priority=Priority[asked.priority.upper()] if asked.priority else None,
        )

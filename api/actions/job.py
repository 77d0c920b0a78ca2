"""Actions on jobs: what they show, and what may be done to them."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from api.actions.envelope import (
    ActionRequest,
    ActionResponse,
    Answer,
    AnyRequest,
    Context,
    Offset,
    Word,
)
from api.domain import jobs, progress
from api.store.session import reading, writing

JobActionName = Literal[
    "CollectNodes",
    "ProvisionBMNodes",
    "PowerOnBMNodes",
    "PowerOffBMNodes",
    "RebootBMNodes",
    "GetBMNodesPower",
    "ScanBMNodes",
    "InspectBMNodes",
]
JobId = Annotated[str, StringConstraints(pattern=r"^j-[0-9A-Za-z]{8}$")]


class GetStatusRequest(AnyRequest):
    """Which job; without `job_id` the newest of that action."""

    job_action: JobActionName
    job_id: JobId | None = None


class GetStatusResponse(ActionResponse):
    """How far the job is: `stepX`, then `successful` or `failed`."""

    job_action: str
    status: str
    pre_status: str
    job_id: str
    reason: str
    advice: str
    steps: list[dict[str, Any]]
    nodes: list[dict[str, Any]]
    progress: float


def get_status(context: Context, request: GetStatusRequest) -> Answer:
    """Show a job's status, its steps, and where each of its nodes stands."""
    with reading(context.engine) as connection:
        job = jobs.find(connection, request.job_action, request.job_id)
        return context.statuses.read(connection, job)


def recall_status(context: Context, request: GetStatusRequest) -> Answer | None:
    """GetStatus from memory, where it was read a moment ago."""
    if request.job_id is None:
        return None
    return context.statuses.recall(request.job_id, request.job_action)


class LineRequest(ActionRequest):
    """Which lines of a log."""

    job_status: str | None = Field(None, pattern=r"^(step[0-9]{1,2}|failed|successful)$")
    after: int = Field(0, ge=0, le=2**31 - 1, description="Only lines after this number.")
    limit: int | None = Field(None, ge=1, le=100_000, description="Most lines in the answer.")

    def lines(self) -> progress.Lines:
        """What was asked for, as the log takes it."""
        return {"job_status": self.job_status, "after": self.after, "limit": self.limit}


class GetLogRequest(AnyRequest, LineRequest):
    """Which job's log; `job_status` keeps the lines of one status, `failed` those of failures."""

    job_action: JobActionName
    job_id: JobId | None = None


class GetLogResponse(ActionResponse):
    """The log: line number -> sentence."""

    job_action: str
    log: dict[str, str]


def get_log(context: Context, request: GetLogRequest) -> Answer:
    """Show a job's log."""
    with reading(context.engine) as connection:
        job = jobs.find(connection, request.job_action, request.job_id)
        lines = progress.log(connection, job.job_id, **request.lines())
    return {"job_action": job.action, "log": {f"{number:03}": text for number, text in lines}}


class DescribeJobsRequest(AnyRequest):
    """Which jobs to show; the filters combine with AND."""

    job_ids: list[Word] | None = Field(None, max_length=1000)
    job_action: JobActionName | None = None
    status: Word | None = Field(None, description="`step1`, `failed`, `successful`, or `running`.")
    node_id: Word | None = Field(None, description="Jobs that had this node.")
    limit: int | None = Field(None, ge=1, le=100_000)
    offset: Offset = 0
    sort_key: Literal["create_time", "finish_time", "status", "job_id"] = "create_time"
    reverse: bool = True


class DescribeJobsResponse(ActionResponse):
    """The jobs found."""

    job_set: list[dict[str, Any]]
    total_count: int


def describe_jobs(context: Context, request: DescribeJobsRequest) -> Answer:
    """Show jobs, the newest first."""
    with reading(context.engine) as connection:
        total, views = progress.describe(
            connection,
            job_ids=request.job_ids,
            action=request.job_action,
            status=request.status,
            node_id=request.node_id,
            sort_key=request.sort_key,
            reverse=request.reverse,
            limit=request.limit,
            offset=request.offset,
        )
    return {"job_set": views, "total_count": total}


class CancelJobRequest(AnyRequest):
    """The job to stop."""

    job_id: JobId


class CancelJobResponse(ActionResponse):
    """The job will end as `failed` with the reason `cancelled`, within seconds."""

    job_id: str


def cancel_job(context: Context, request: CancelJobRequest) -> Answer:
    """Stop a job and everything it started."""
    with writing(context.engine) as connection:
        jobs.cancel(connection, request.job_id)
    return {"job_id": request.job_id}


class RetryJobRequest(AnyRequest):
    """The finished job whose failed nodes to try again."""

    job_id: JobId


class RetryJobResponse(ActionResponse):
    """The new job."""

    job_id: str


def retry_job(context: Context, request: RetryJobRequest) -> Answer:
    """Run a job again for the nodes that failed."""
    with writing(context.engine) as connection:
        job_id = jobs.retry(
            connection, context.queue, request.job_id, user_id=context.caller.user_id
        )
    return {"job_id": job_id}

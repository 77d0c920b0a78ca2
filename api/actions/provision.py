"""Actions that install operating systems on bare machines, and show how far that is."""

from pydantic import Field

from api.actions.envelope import (
    ActionResponse,
    Answer,
    BMNodeRequest,
    Context,
    not_too_many,
)
from api.actions.job import GetStatusResponse, JobId, LineRequest
from api.actions.job_options import JobOptions, flags, start_job
from api.domain import jobs, progress
from api.registration.fields import Flag, NodeIds
from api.states import JobAction
from api.store.session import reading

_ACTION = JobAction.PROVISION_BM_NODES


class ProvisionBMNodesRequest(BMNodeRequest, JobOptions):
    """Bare machines to install; those provisioned already need `reinstall`."""

    node_ids: NodeIds
    reinstall: Flag = Field(0, description="1: also install machines that are provisioned.")
    erase: Flag = Field(
        0, description="1: overwrite data on the OS disk that Firstbox did not put there."
    )


class ProvisionBMNodesResponse(ActionResponse):
    """The job that does it."""

    job_id: str


def provision_bm_nodes(context: Context, request: ProvisionBMNodesRequest) -> Answer:
    """Install the operating systems that were asked for, over IPMI and network boot, as a job."""
    not_too_many(context, len(request.node_ids))
    given = flags(reinstall=request.reinstall, erase=request.erase)
    return {"job_id": start_job(context, _ACTION, request.node_ids, request, given)}


class GetProvisionBMNodesStatusRequest(BMNodeRequest):
    """Which job; without `job_id` the newest ProvisionBMNodes job."""

    job_id: JobId | None = None


class GetProvisionBMNodesStatusResponse(GetStatusResponse):
    """How far the job is: `stepX`, then `successful` or `failed`."""


def get_provision_bm_nodes_status(
    context: Context, request: GetProvisionBMNodesStatusRequest
) -> Answer:
    """Show an installation's status, its steps, and where each of its machines stands."""
    with reading(context.engine) as connection:
        job = jobs.find(connection, _ACTION, request.job_id)
        return context.statuses.read(connection, job)


def recall_provision_status(
    context: Context, request: GetProvisionBMNodesStatusRequest
) -> Answer | None:
    """GetProvisionBMNodesStatus from memory, where it was read a moment ago."""
    return None if request.job_id is None else context.statuses.recall(request.job_id, _ACTION)


class GetProvisionBMNodesLogRequest(BMNodeRequest, LineRequest):
    """Which job's log; `job_status` keeps the lines of one status, `failed` those of failures."""

    job_id: JobId | None = None


class GetProvisionBMNodesLogResponse(ActionResponse):
    """The log: line number -> sentence."""

    log: dict[str, str]


def get_provision_bm_nodes_log(context: Context, request: GetProvisionBMNodesLogRequest) -> Answer:
    """Show an installation's log: BMC, DHCP, boot and Ansible in one."""
    with reading(context.engine) as connection:
        job = jobs.find(connection, _ACTION, request.job_id)
        lines = progress.log(connection, job.job_id, **request.lines())
    return {"log": {str(number): text for number, text in lines}}

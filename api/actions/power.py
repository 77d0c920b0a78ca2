"""Actions on the power of bare machines, through their BMCs."""

from pydantic import Field

from api.actions.envelope import (
    ActionResponse,
    Answer,
    BMNodeRequest,
    Context,
    not_too_many,
)
from api.actions.job_options import JobOptions, flags, start_job
from api.auth.roles import require
from api.domain import bm_nodes
from api.registration.fields import Flag, NodeIds
from api.states import JobAction, Role
from api.store.session import reading


class PowerRequest(BMNodeRequest, JobOptions):
    """Machines by id."""

    node_ids: NodeIds


class PowerOnBMNodesRequest(PowerRequest):
    """Machines to switch on."""


class PowerOnBMNodesResponse(ActionResponse):
    """The job that does it."""

    job_id: str


def power_on_bm_nodes(context: Context, request: PowerOnBMNodesRequest) -> Answer:
    """Switch machines on, as a job; one that is on already stays so."""
    return {"job_id": _start(context, JobAction.POWER_ON_BM_NODES, request)}


class PowerOffBMNodesRequest(PowerRequest):
    """Machines to switch off."""

    soft: Flag = Field(0, description="1: ask the operating system to shut down, and wait.")


class PowerOffBMNodesResponse(ActionResponse):
    """The job that does it."""

    job_id: str


def power_off_bm_nodes(context: Context, request: PowerOffBMNodesRequest) -> Answer:
    """Switch machines off, as a job."""
    return {"job_id": _start(context, JobAction.POWER_OFF_BM_NODES, request, soft=request.soft)}


class RebootBMNodesRequest(PowerRequest):
    """Machines to switch off and on again."""


class RebootBMNodesResponse(ActionResponse):
    """The job that does it."""

    job_id: str


def reboot_bm_nodes(context: Context, request: RebootBMNodesRequest) -> Answer:
    """Switch machines off and on again, as a job; one that is off is switched on."""
    return {"job_id": _start(context, JobAction.REBOOT_BM_NODES, request)}


class GetBMNodesPowerRequest(PowerRequest):
    """Machines by id."""

    refresh: Flag = Field(
        0, description="1: also start a job that asks the BMCs now; for operators."
    )


class GetBMNodesPowerResponse(ActionResponse):
    """What is known of each machine: `on`, `off`, or empty, and when its BMC said so."""

    power_set: list[dict[str, str]]
    job_id: str = Field(description="Of the job that asks the BMCs, or empty.")


def asks_the_bmcs(_context: Context, request: GetBMNodesPowerRequest) -> bool:
    """Whether this starts a job."""
    return bool(request.refresh)


def get_bm_nodes_power(context: Context, request: GetBMNodesPowerRequest) -> Answer:
    """Show whether machines run, as their BMCs said last."""
    if request.refresh:
        require(context.caller, Role.OPERATOR)
    not_too_many(context, len(request.node_ids))
    with reading(context.engine) as connection:
        known = bm_nodes.power(connection, request.node_ids)
    job_id = ""
    if request.refresh:
        job_id = _start(context, JobAction.GET_BM_NODES_POWER, request)
    return {"power_set": known, "job_id": job_id}


def _start(context: Context, action: JobAction, request: PowerRequest, **given: int) -> str:
    not_too_many(context, len(request.node_ids))
    return start_job(context, action, request.node_ids, request, flags(**given))

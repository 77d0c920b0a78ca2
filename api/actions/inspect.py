"""The action that takes stock of bare machines, from inside."""

from pydantic import Field

from api.actions.envelope import ActionResponse, Answer, BMNodeRequest, Context, not_too_many
from api.actions.job_options import JobOptions, flags, start_job
from api.registration.fields import Flag, NodeIds
from api.states import JobAction


class InspectBMNodesRequest(BMNodeRequest, JobOptions):
    """Bare machines to take stock of; those that run an operating system need `interrupt`."""

    node_ids: NodeIds
    interrupt: Flag = Field(
        0,
        description="1: also machines that run an operating system; they are shut down, and booted from disk again.",
    )


class InspectBMNodesResponse(ActionResponse):
    """The job that does it; GetStatus and GetLog tell how far it is."""

    job_id: str


def inspect_bm_nodes(context: Context, request: InspectBMNodesRequest) -> Answer:
    """Find out what machines are made of: boot the ramdisk, which touches no disk, as a job."""
    not_too_many(context, len(request.node_ids))
    given = flags(interrupt=request.interrupt)
    job_id = start_job(context, JobAction.INSPECT_BM_NODES, request.node_ids, request, given)
    return {"job_id": job_id}

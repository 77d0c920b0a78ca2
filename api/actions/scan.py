"""Actions that look for BMCs, ask them for their machines, and register those."""

from typing import Any

from pydantic import Field, model_validator

from api.actions.envelope import (
    ActionResponse,
    Answer,
    BMNodeRequest,
    Context,
    not_too_many,
)
from api.actions.job import GetStatusResponse, JobId, LineRequest
from api.actions.job_options import JobOptions, start_job
from api.domain import jobs, progress, scanning
from api.registration.fields import Flag, NodeIds
from api.registration.scan_request import ScanOptions, plan_of_request
from api.states import JobAction
from api.store.sealing import Seal
from api.store.session import reading

_ACTION = JobAction.SCAN_BM_NODES


class ScanBMNodesRequest(BMNodeRequest, ScanOptions, JobOptions):
    """Registered machines to ask again, in `node_ids`, or ranges to look for BMCs in."""

    node_ids: NodeIds | None = None
    dry_run: Flag = Field(0, description="1: only report what would be registered or changed.")

    @model_validator(mode="after")
    def _is_one_form(self) -> "ScanBMNodesRequest":
        if self.node_ids is not None and self.is_of_ranges():
            raise ValueError("node_ids, and a range beside them: give one or the other")
        if self.node_ids is None and not self.is_of_ranges():
            raise ValueError("node_ids are missing, or a range: ip_start and ip_end")
        return self


class ScanBMNodesResponse(ActionResponse):
    """The job that does it."""

    job_id: str


def scan_bm_nodes(context: Context, request: ScanBMNodesRequest) -> Answer:
    """Ask BMCs for their machines and register those, as a job."""
    not_too_many(context, len(request.node_ids or []))
    settings = context.settings
    options: dict[str, Any] = {"dry_run": 1} if request.dry_run else {}
    if request.node_ids is None:
        plan = plan_of_request(
            request,
            settings.allowed_networks,
            most=settings.max_scan_addresses,
            dry_run=bool(request.dry_run),
        )
        options = plan.as_options(Seal(settings.keys).close)
    return {"job_id": start_job(context, _ACTION, request.node_ids or [], request, options)}


class GetScanBMNodesStatusRequest(BMNodeRequest):
    """Which job; without `job_id` the newest ScanBMNodes job."""

    job_id: JobId | None = None


class GetScanBMNodesStatusResponse(GetStatusResponse):
    """How far the scan is, and what it found so far."""

    dry_run: int
    results: list[dict[str, Any]] = Field(
        description="Per address that answered: `outcome` (`found`, `identified`, `new`, `updated`, "
        "`unchanged`, `conflict`, `failed`), BMC, machine, credential by name, reason and advice."
    )


def get_scan_bm_nodes_status(context: Context, request: GetScanBMNodesStatusRequest) -> Answer:
    """Show a scan's status, its steps, and what it made of each address that answered."""
    with reading(context.engine) as connection:
        job = jobs.find(connection, _ACTION, request.job_id)
        return {
            **context.statuses.read(connection, job),
            "dry_run": int(job.dry_run),
            "results": scanning.results(connection, job.job_id),
        }


class GetScanBMNodesLogRequest(BMNodeRequest, LineRequest):
    """Which job's log; `job_status` keeps the lines of one status, `failed` those of failures."""

    job_id: JobId | None = None


class GetScanBMNodesLogResponse(ActionResponse):
    """The log: line number -> sentence."""

    log: dict[str, str]


def get_scan_bm_nodes_log(context: Context, request: GetScanBMNodesLogRequest) -> Answer:
    """Show a scan's log."""
    with reading(context.engine) as connection:
        job = jobs.find(connection, _ACTION, request.job_id)
        lines = progress.log(connection, job.job_id, **request.lines())
    return {"log": {str(number): text for number, text in lines}}

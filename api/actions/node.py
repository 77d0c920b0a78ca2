"""Actions on nodes that have an operating system."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from api.actions.envelope import (
    ActionResponse,
    Answer,
    Context,
    NodeRequest,
    PagedRequest,
    Word,
    not_too_many,
)
from api.actions.job_options import JobOptions, start_job
from api.domain import nodes
from api.registration.addresses import addresses_between
from api.registration.fields import (
    Flag,
    FreeText,
    Hostname,
    Name,
    NameOrEmpty,
    NodeId,
    NodeIds,
)
from api.states import DEFAULT_ZONE, JobAction
from api.store.nodes import find_nodes, matches
from api.store.session import reading, writing

SortKey = Literal[
    "node_id", "hostname", "address", "status", "zone_id", "role", "create_time", "update_time"
]

NodeField = Literal[
    "address", "cpu", "create_time", "data_disks", "description", "hostname", "memory",
    "mgmt_network", "networks", "node_id", "os", "os_disk", "pre_status", "product_name",
    "product_type", "role", "serial_number", "status", "sub_roles", "update_time", "zone_id",
]  # fmt: skip


class DescribeNodesRequest(NodeRequest, PagedRequest):
    """Which nodes to show; the filters combine with AND."""

    node_ids: list[Word] | None = None
    product_type: Word | None = None
    product_name: Word | None = None
    role: Word | None = None
    sub_roles: list[Name] | None = Field(
        None, max_length=64, description="The node has all of these."
    )
    status: Word | None = None
    pre_status: Word | None = None
    zone_id: Word | None = None
    sort_key: SortKey = "create_time"
    fields: list[NodeField] | None = Field(None, description="Only these fields, and the node_id.")


class DescribeNodesResponse(ActionResponse):
    """The nodes found."""

    node_set: list[dict[str, Any]]
    total_count: int


def describe_nodes(context: Context, request: DescribeNodesRequest) -> Answer:
    """Show nodes with their hardware, disks and networks."""
    not_too_many(context, len(request.node_ids or []))
    names = ("product_type", "product_name", "role", "status", "pre_status", "zone_id")
    conditions = matches(
        node_ids=request.node_ids,
        equal={
            name: getattr(request, name) for name in names if getattr(request, name) is not None
        },
        sub_roles=request.sub_roles,
        search_word=request.search_word,
    )
    with reading(context.engine) as connection:
        total, rows = find_nodes(
            connection,
            conditions,
            sort_key=request.sort_key,
            reverse=request.reverse,
            limit=request.limit,
            offset=request.offset,
        )
    fields = None if request.fields is None else frozenset(request.fields)
    return {"node_set": [nodes.view(row, fields) for row in rows], "total_count": total}


class AddNodesRequest(NodeRequest):
    """An inclusive range of addresses, IPv4 or IPv6, of machines that have an OS."""

    ip_start: str
    ip_end: str
    zone_id: Name | None = None


class AddNodesResponse(ActionResponse):
    """What was added; addresses known before are in `existing` and keep their node."""

    node_ids: list[str]
    total_count: int
    job_id: str
    existing: list[dict[str, str]]


def add_nodes(context: Context, request: AddNodesRequest) -> Answer:
    """Add one node per address, and collect their hardware."""
    addresses = addresses_between(
        request.ip_start, request.ip_end, context.settings.allowed_networks
    )
    with writing(context.engine) as connection:
        node_ids, existing, job_id = nodes.add(
            connection,
            context.queue,
            addresses,
            user_id=context.caller.user_id,
            zone_id=request.zone_id or DEFAULT_ZONE,
        )
    return {
        "node_ids": node_ids,
        "total_count": len(node_ids),
        "job_id": job_id,
        "existing": [{"address": address, "node_id": id_} for address, id_ in existing.items()],
    }


class NodeIdsRequest(NodeRequest):
    """Nodes by id."""

    node_ids: NodeIds


class DeleteNodesRequest(NodeIdsRequest):
    """Nodes to delete, all or nothing."""


class DeleteNodesResponse(ActionResponse):
    """The nodes that are gone."""

    node_ids: list[str]
    total_count: int


def delete_nodes(context: Context, request: DeleteNodesRequest) -> Answer:
    """Forget nodes; refused while a job is at one of them."""
    not_too_many(context, len(request.node_ids))
    with writing(context.engine) as connection:
        nodes.delete(connection, request.node_ids)
    return {"node_ids": request.node_ids, "total_count": len(request.node_ids)}


class CollectNodesRequest(NodeIdsRequest, JobOptions):
    """Nodes to take stock of; their role must be empty."""


class CollectNodesResponse(ActionResponse):
    """The job that does it."""

    job_id: str


def collect_nodes(context: Context, request: CollectNodesRequest) -> Answer:
    """Collect the nodes' hardware over SSH, as a job."""
    not_too_many(context, len(request.node_ids))
    return {"job_id": start_job(context, JobAction.COLLECT_NODES, request.node_ids, request)}


class ModifyNodeAttributesRequest(NodeRequest):
    """Attributes to set; `type` and `status` are set on the disks in `data_disks`."""

    node_id: NodeId
    data_disks: str | None = Field(
        None, max_length=4096, description="Disk names, comma-separated: `vdb, vdc`."
    )
    type: Literal["sata", "sas", "ssd", "nvme"] | None = None
    status: Flag | None = Field(None, description="1: may be used for data, 0: not.")
    hostname: Hostname | None = None
    role: NameOrEmpty | None = None
    sub_roles: list[Name] | None = Field(None, max_length=64)
    product_type: NameOrEmpty | None = None
    product_name: NameOrEmpty | None = None
    zone_id: Name | None = None
    description: FreeText | None = None
    forget_host_key: Flag = Field(
        0, description="1: take the next host key as at first contact, after a reinstall."
    )

    @field_validator("data_disks")
    @classmethod
    def _names_disks(cls, data_disks: str | None) -> str | None:
        names = [] if data_disks is None else _split(data_disks)
        if data_disks is not None and not names:
            raise ValueError("names no disk")
        for name in names:
            if not re.fullmatch(r"[0-9A-Za-z!_-]{1,64}", name):
                raise ValueError(f"{name[:64]!r} is not a disk name")
        return data_disks

    @model_validator(mode="after")
    def _says_something(self) -> "ModifyNodeAttributesRequest":
        if (self.type is not None or self.status is not None) and not self.data_disks:
            raise ValueError("type and status need data_disks: the disks they are set on")
        if self.data_disks and self.type is None and self.status is None:
            raise ValueError("data_disks needs type or status: what to set on the disks")
        if not self.data_disks and not self.changes():
            raise ValueError("nothing to change was given")
        return self

    def disk_names(self) -> list[str]:
        """The names in `data_disks`."""
        return _split(self.data_disks or "")

    def changes(self) -> dict[str, Any]:
        """Columns to set on the node."""
        names = ("hostname", "role", "sub_roles", "product_type", "product_name", "zone_id")
        given = {name: getattr(self, name) for name in (*names, "description")}
        values = {name: value for name, value in given.items() if value is not None}
        return values | ({"host_key": ""} if self.forget_host_key else {})


class ModifyNodeAttributesResponse(ActionResponse):
    """Done."""


def modify_node_attributes(context: Context, request: ModifyNodeAttributesRequest) -> Answer:
    """Set attributes of a node, or type and status of its data disks."""
    with writing(context.engine) as connection:
        nodes.change(
            connection,
            request.node_id,
            request.changes(),
            data_disks=request.disk_names(),
            disk_type=request.type,
            disk_status=request.status,
        )
    return {}


def _split(data_disks: str) -> list[str]:
    names = [name.strip() for name in data_disks.split(",")]
    return list(dict.fromkeys(name for name in names if name))

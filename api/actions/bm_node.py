"""Actions on bare machines: their registration and their power."""

from typing import Any, Literal

from pydantic import Field, model_validator

from api.actions.envelope import (
    ActionResponse,
    Answer,
    BMNodeRequest,
    Context,
    PagedRequest,
    Word,
    not_too_many,
)
from api.domain import bm_nodes
from api.registration.attributes import BMNodeAttributes
from api.registration.fields import Flag, NodeId, NodeIds
from api.states import Role
from api.store.bm_nodes import find_bm_nodes, matches
from api.store.sealing import Seal
from api.store.session import reading, writing

SortKey = Literal["node_id", "hostname", "status", "zone_id", "create_time", "update_time"]
BMNodeField = Literal[
    "bmc_mac", "bmc_port", "bmc_type", "boot_mode", "create_time", "description", "general",
    "hardware", "hardware_source", "hardware_time", "image", "ipmi", "mgmt_bond_members",
    "mgmt_bond_mode", "mgmt_network", "node_id", "os_disk", "power_state", "power_time",
    "pre_status", "product", "protected", "public_bond_members", "public_bond_mode",
    "public_network", "pxe", "status", "update_time", "written_disk", "zone_id",
]  # fmt: skip


class DescribeBMNodesRequest(BMNodeRequest, PagedRequest):
    """Which machines to show; the filters combine with AND."""

    node_ids: list[Word] | None = None
    status: Word | None = None
    pre_status: Word | None = None
    zone_id: Word | None = None
    product: Word | None = Field(
        None, description="As its maker calls it, such as `PowerEdge R640`."
    )
    sort_key: SortKey = "create_time"
    fields: list[BMNodeField] | None = Field(
        None, description="Only these fields, and the node_id."
    )


class DescribeBMNodesResponse(ActionResponse):
    """The machines found."""

    node_set: list[dict[str, Any]]
    total_count: int


def shows_passwords(context: Context, request: DescribeBMNodesRequest) -> bool:
    """Whether the answer has BMC passwords in clear."""
    return context.caller.role == Role.ADMIN and (
        request.fields is None or "ipmi" in request.fields
    )


def describe_bm_nodes(context: Context, request: DescribeBMNodesRequest) -> Answer:
    """Show registered machines; BMC passwords are for admins only, others read `******`."""
    not_too_many(context, len(request.node_ids or []))
    names = ("status", "pre_status", "zone_id", "product")
    conditions = matches(
        node_ids=request.node_ids,
        equal={
            name: getattr(request, name) for name in names if getattr(request, name) is not None
        },
        search_word=request.search_word,
    )
    with reading(context.engine) as connection:
        total, rows = find_bm_nodes(
            connection,
            conditions,
            sort_key=request.sort_key,
            reverse=request.reverse,
            limit=request.limit,
            offset=request.offset,
        )
    seal = Seal(context.settings.keys) if context.caller.role == Role.ADMIN else None
    fields = None if request.fields is None else frozenset(request.fields)
    return {"node_set": [bm_nodes.view(row, seal, fields) for row in rows], "total_count": total}


class RegisterBMNodesRequest(BMNodeRequest, BMNodeAttributes):
    """Machines in `bm_nodes`, or one machine's fields beside `action`; all or nothing."""

    bm_nodes: list[BMNodeAttributes] | None = Field(
        None, min_length=1, description="Machines, each an object of the fields beside it here."
    )

    @model_validator(mode="after")
    def _is_one_form(self) -> "RegisterBMNodesRequest":
        if self.bm_nodes is not None and self.given():
            raise ValueError("bm_nodes and one machine's fields beside it: give one or the other")
        if self.bm_nodes is None and not self.given():
            raise ValueError("bm_nodes is missing: a list of machines, or one machine's fields")
        return self

    def machines(self) -> dict[str, dict[str, Any]]:
        """What is said of each machine, by where it stands: `bm_nodes.0.` and so on, or ``."""
        if self.bm_nodes is None:
            return {"": self.given()}
        return {f"bm_nodes.{place}.": node.given() for place, node in enumerate(self.bm_nodes)}


class RegisterBMNodesResponse(ActionResponse):
    """The machines' new ids, in the order of the request."""

    node_ids: list[str]
    total_count: int


def register_bm_nodes(context: Context, request: RegisterBMNodesRequest) -> Answer:
    """Register machines with their BMC, boot MAC and what they are to become."""
    not_too_many(context, len(request.bm_nodes or []), "machines")
    settings = context.settings
    with writing(context.engine) as connection:
        node_ids = bm_nodes.register(
            connection, Seal(settings.keys), settings.allowed_networks, request.machines()
        )
    return {"node_ids": node_ids, "total_count": len(node_ids)}


class BMNodeIdsRequest(BMNodeRequest):
    """Machines by id."""

    node_ids: NodeIds


class DeleteBMNodesRequest(BMNodeIdsRequest):
    """Registrations to delete, all or nothing."""


class DeleteBMNodesResponse(ActionResponse):
    """The machines that are not registered any more."""

    node_ids: list[str]
    total_count: int


def delete_bm_nodes(context: Context, request: DeleteBMNodesRequest) -> Answer:
    """Forget registrations; a machine whose operating system we reach stays in DescribeNodes."""
    not_too_many(context, len(request.node_ids))
    with writing(context.engine) as connection:
        bm_nodes.delete(connection, request.node_ids)
    return {"node_ids": request.node_ids, "total_count": len(request.node_ids)}


class ModifyBMNodeAttributesRequest(BMNodeRequest, BMNodeAttributes):
    """Fields to set; an empty text takes away what is not required."""

    node_id: NodeId
    forget_bmc: Flag = Field(
        0,
        description="1: forget certificate and MAC of the BMC, after it was replaced; the next one "
        "that answers at its address is taken for it.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> "ModifyBMNodeAttributesRequest":
        if not (self.given() or self.forget_bmc):
            raise ValueError("nothing to change was given")
        return self


class ModifyBMNodeAttributesResponse(ActionResponse):
    """Done."""


def modify_bm_node_attributes(context: Context, request: ModifyBMNodeAttributesRequest) -> Answer:
    """Change a machine's registration: what it becomes when it is provisioned the next time."""
    settings = context.settings
    with writing(context.engine) as connection:
        bm_nodes.change(
            connection,
            Seal(settings.keys),
            settings.allowed_networks,
            request.node_id,
            request.given(),
            forget_bmc=bool(request.forget_bmc),
        )
    return {}

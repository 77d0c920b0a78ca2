"""The wire: the table of all actions, and the models above each handler."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.actions import (
    audit,
    bm_node,
    inspect,
    job,
    node,
    power,
    provision,
    scan,
    user,
    webhook,
)
from api.actions.envelope import ActionRequest, ActionResponse, Answer, Context
from api.states import Role


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its models, what does it, and the least role that may ask for it."""

    request: type[ActionRequest]
    response: type[ActionResponse]
    handler: Callable[[Any, Any], Answer]
    role: Role
    # Answers from memory, without a thread and a look into the database, or says None.
    recall: Callable[[Any, Any], Answer | None] | None = None
    # Of an action that reads: whether this request starts something, or reveals a secret.
    does_more: Callable[[Any, Any], bool] | None = None

    @property
    def name(self) -> str:
        """The action's name on the wire, as its request model is called."""
        return self.request.__name__.removesuffix("Request")

    def is_audited(self, context: Context, request: ActionRequest) -> bool:
        """Whether the audit has to know of this request."""
        if self.name.startswith(("Describe", "Get")):
            return self.does_more is not None and self.does_more(context, request)
        return True


_TABLE = (
    Action(node.DescribeNodesRequest, node.DescribeNodesResponse, node.describe_nodes, Role.VIEWER),
    Action(node.AddNodesRequest, node.AddNodesResponse, node.add_nodes, Role.OPERATOR),
    Action(node.DeleteNodesRequest, node.DeleteNodesResponse, node.delete_nodes, Role.OPERATOR),
    Action(node.CollectNodesRequest, node.CollectNodesResponse, node.collect_nodes, Role.OPERATOR),
    Action(
        node.ModifyNodeAttributesRequest,
        node.ModifyNodeAttributesResponse,
        node.modify_node_attributes,
        Role.OPERATOR,
    ),
    Action(
        bm_node.DescribeBMNodesRequest,
        bm_node.DescribeBMNodesResponse,
        bm_node.describe_bm_nodes,
        Role.VIEWER,
        does_more=bm_node.shows_passwords,
    ),
    Action(
        bm_node.RegisterBMNodesRequest,
        bm_node.RegisterBMNodesResponse,
        bm_node.register_bm_nodes,
        Role.OPERATOR,
    ),
    Action(
        bm_node.DeleteBMNodesRequest,
        bm_node.DeleteBMNodesResponse,
        bm_node.delete_bm_nodes,
        Role.OPERATOR,
    ),
    Action(
        bm_node.ModifyBMNodeAttributesRequest,
        bm_node.ModifyBMNodeAttributesResponse,
        bm_node.modify_bm_node_attributes,
        Role.OPERATOR,
    ),
    Action(
        power.PowerOnBMNodesRequest,
        power.PowerOnBMNodesResponse,
        power.power_on_bm_nodes,
        Role.OPERATOR,
    ),
    Action(
        power.PowerOffBMNodesRequest,
        power.PowerOffBMNodesResponse,
        power.power_off_bm_nodes,
        Role.OPERATOR,
    ),
    Action(
        power.RebootBMNodesRequest,
        power.RebootBMNodesResponse,
        power.reboot_bm_nodes,
        Role.OPERATOR,
    ),
    Action(
        power.GetBMNodesPowerRequest,
        power.GetBMNodesPowerResponse,
        power.get_bm_nodes_power,
        Role.VIEWER,
        does_more=power.asks_the_bmcs,
    ),
    Action(
        provision.ProvisionBMNodesRequest,
        provision.ProvisionBMNodesResponse,
        provision.provision_bm_nodes,
        Role.OPERATOR,
    ),
    Action(
        provision.GetProvisionBMNodesStatusRequest,
        provision.GetProvisionBMNodesStatusResponse,
        provision.get_provision_bm_nodes_status,
        Role.VIEWER,
        recall=provision.recall_provision_status,
    ),
    Action(
        provision.GetProvisionBMNodesLogRequest,
        provision.GetProvisionBMNodesLogResponse,
        provision.get_provision_bm_nodes_log,
        Role.VIEWER,
    ),
    Action(
        inspect.InspectBMNodesRequest,
        inspect.InspectBMNodesResponse,
        inspect.inspect_bm_nodes,
        Role.OPERATOR,
    ),
    Action(scan.ScanBMNodesRequest, scan.ScanBMNodesResponse, scan.scan_bm_nodes, Role.OPERATOR),
    Action(
        scan.GetScanBMNodesStatusRequest,
        scan.GetScanBMNodesStatusResponse,
        scan.get_scan_bm_nodes_status,
        Role.VIEWER,
    ),
    Action(
        scan.GetScanBMNodesLogRequest,
        scan.GetScanBMNodesLogResponse,
        scan.get_scan_bm_nodes_log,
        Role.VIEWER,
    ),
    Action(
        job.GetStatusRequest,
        job.GetStatusResponse,
        job.get_status,
        Role.VIEWER,
        recall=job.recall_status,
    ),
    Action(job.GetLogRequest, job.GetLogResponse, job.get_log, Role.VIEWER),
    Action(job.DescribeJobsRequest, job.DescribeJobsResponse, job.describe_jobs, Role.VIEWER),
    Action(job.CancelJobRequest, job.CancelJobResponse, job.cancel_job, Role.OPERATOR),
    Action(job.RetryJobRequest, job.RetryJobResponse, job.retry_job, Role.OPERATOR),
    Action(user.DescribeUsersRequest, user.DescribeUsersResponse, user.describe_users, Role.ADMIN),
    Action(user.CreateUserRequest, user.CreateUserResponse, user.create_user, Role.ADMIN),
    # A user may change the own password; the handler refuses the rest to others than admins.
    Action(
        user.ModifyUserAttributesRequest,
        user.ModifyUserAttributesResponse,
        user.modify_user_attributes,
        Role.VIEWER,
    ),
    Action(user.DeleteUsersRequest, user.DeleteUsersResponse, user.delete_users, Role.ADMIN),
    Action(
        webhook.CreateWebhookRequest,
        webhook.CreateWebhookResponse,
        webhook.create_webhook,
        Role.ADMIN,
    ),
    Action(
        webhook.DescribeWebhooksRequest,
        webhook.DescribeWebhooksResponse,
        webhook.describe_webhooks,
        Role.ADMIN,
    ),
    Action(
        webhook.DeleteWebhooksRequest,
        webhook.DeleteWebhooksResponse,
        webhook.delete_webhooks,
        Role.ADMIN,
    ),
    Action(
        audit.DescribeAuditRequest, audit.DescribeAuditResponse, audit.describe_audit, Role.ADMIN
    ),
)

ACTIONS: dict[str, Action] = {action.name: action for action in _TABLE}

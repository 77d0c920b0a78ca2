"""Every status there is, and which may follow which. Data only: rules live in `domain`."""

from enum import StrEnum

DEFAULT_ZONE = (
    "default"  # where a node is unless somebody says otherwise; its workers run every job
)


class NodeStatus(StrEnum):
    """What we know about a machine whose operating system we can reach."""

    PENDING = "pending"  # added, not collected yet
    COLLECTING = "collecting"  # a job is at it
    AVAILABLE = "available"  # hardware known
    UNREACHABLE = "unreachable"  # SSH did not answer or refused us; the log has the reason


NODE_TRANSITIONS: dict[NodeStatus, frozenset[NodeStatus]] = {
    NodeStatus.PENDING: frozenset({NodeStatus.COLLECTING}),
    # Back to pending or available: the job ended without an answer about this node.
    NodeStatus.COLLECTING: frozenset(
        {NodeStatus.AVAILABLE, NodeStatus.UNREACHABLE, NodeStatus.PENDING}
    ),
    NodeStatus.AVAILABLE: frozenset({NodeStatus.COLLECTING}),
    NodeStatus.UNREACHABLE: frozenset({NodeStatus.COLLECTING}),
}


class JobAction(StrEnum):
    """Actions that run as jobs; the value is the action's name on the wire."""

    COLLECT_NODES = "CollectNodes"


class JobStatus(StrEnum):
    """How a job ended; until then its status is `stepX` (see `step_status`)."""

    SUCCESSFUL = "successful"
    FAILED = "failed"


FINISHED: frozenset[str] = frozenset(JobStatus)


class WorkStatus(StrEnum):
    """Where one step of a job, or one node in a job, stands."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"


class Role(StrEnum):
    """What a user may do; each may do what the one before may."""

    VIEWER = "viewer"  # Describe*, Get*
    OPERATOR = "operator"  # everything on nodes and jobs
    ADMIN = "admin"  # users and tokens too, and BMC passwords in clear


ROLE_ORDER: dict[Role, int] = {role: rank for rank, role in enumerate(Role)}

# A job's steps are its playbook's roles, in order.
STEPS: dict[JobAction, tuple[str, ...]] = {
    JobAction.COLLECT_NODES: ("node_reach", "node_probe", "node_record"),
}

PLAYBOOKS: dict[JobAction, str] = {JobAction.COLLECT_NODES: "collect.yml"}


class Reason(StrEnum):
    """Why a node, a step or a job failed: a small closed set."""

    SSH_SILENT = "ssh_silent"
    SSH_CLOSED = "ssh_closed"
    SSH_REFUSED = "ssh_refused"
    HOST_KEY_CHANGED = "host_key_changed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    PROBE_INCOMPLETE = "probe_incomplete"
    RECORD_REFUSED = "record_refused"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    RUN_ENDED = "run_ended"
    WORKER_LOST = "worker_lost"
    NODES_FAILED = "nodes_failed"
    TASK_FAILED = "task_failed"


# What to do about it, in a sentence an operator can act on.
ADVICE: dict[Reason, str] = {
    Reason.SSH_SILENT: "Check that the machine is powered on, cabled, and that no firewall drops SSH from here.",
    Reason.SSH_CLOSED: "The machine answers but no SSH server does: start sshd there, or set the zone's SSH port.",
    Reason.SSH_REFUSED: "Put Firstbox's public key into the SSH user's authorized_keys, or set the zone's user and key.",
    Reason.HOST_KEY_CHANGED: "If the machine was reinstalled, forget its old key (ModifyNodeAttributes with forget_host_key 1) and collect again; if not, find out who answers at this address.",
    Reason.HOST_KEY_UNKNOWN: "The zone accepts known host keys only: collect it once with the policy accept-new.",
    Reason.PROBE_INCOMPLETE: "Log in and run the probe by hand to see which command fails; what was known before is kept.",
    Reason.RECORD_REFUSED: "The node was changed or deleted meanwhile: look at it with DescribeNodes and collect it again.",
    Reason.TIMEOUT: "The machine was too slow: look at its load and disks, then retry the job.",
    Reason.CANCELLED: "Nothing to do: somebody cancelled the job. RetryJob runs what is left.",
    Reason.RUN_ENDED: "The playbook ended before its time: the log's last lines say where; retry the job.",
    Reason.WORKER_LOST: "Workers died under this job several times: look at the worker's memory and its log, then retry.",
    Reason.NODES_FAILED: "See the failed nodes below; RetryJob runs those alone.",
    Reason.TASK_FAILED: "The line above has Ansible's own words; mend what it names and retry the job.",
}

# Reasons that say SSH did not answer or refused us: the node becomes unreachable.
UNREACHABLE_REASONS: frozenset[Reason] = frozenset(
    {
        Reason.SSH_SILENT,
        Reason.SSH_CLOSED,
        Reason.SSH_REFUSED,
        Reason.HOST_KEY_CHANGED,
        Reason.HOST_KEY_UNKNOWN,
        Reason.TIMEOUT,
    }
)


def step_status(index: int) -> str:
    """The job status while step `index` runs."""
    return f"step{index}"

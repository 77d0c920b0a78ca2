"""Every status there is, and which may follow which. Data only: rules live in `domain`."""

from enum import IntEnum, StrEnum

DEFAULT_ZONE = "default"  # where a node is unless somebody says otherwise
RAMDISK = "ramdisk"  # stands for an os_version and a method of its own


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


class BmNodeStatus(StrEnum):
    """How far a machine with a registered BMC is on its way to an operating system."""

    DISCOVERED = "discovered"  # found by a scan or by network boot; required fields are missing
    NEW = "new"  # registered, may be provisioned
    PROVISIONING = "provisioning"  # a job is at it
    PROVISIONED = "provisioned"  # the OS answered and was verified
    FAILED = "failed"  # the last job failed; may be tried again


BM_NODE_TRANSITIONS: dict[BmNodeStatus, frozenset[BmNodeStatus]] = {
    BmNodeStatus.DISCOVERED: frozenset({BmNodeStatus.NEW}),
    BmNodeStatus.NEW: frozenset({BmNodeStatus.PROVISIONING}),
    # Back to new or provisioned: the job ended before it touched the machine.
    BmNodeStatus.PROVISIONING: frozenset(
        {BmNodeStatus.PROVISIONED, BmNodeStatus.FAILED, BmNodeStatus.NEW}
    ),
    BmNodeStatus.PROVISIONED: frozenset({BmNodeStatus.PROVISIONING}),
    BmNodeStatus.FAILED: frozenset({BmNodeStatus.PROVISIONING}),
}


class BootState(StrEnum):
    """What a machine that a job boots over the network is answered."""

    OPEN = "open"  # DHCP, loader and boot script
    LOCAL = "local"  # nothing: it is to boot from its disk, and what it asks is only logged
    CLOSED = "closed"  # nothing: the job is over


class BootMethod(StrEnum):
    """How an operating system gets on a disk."""

    IMAGE = "image"  # the ramdisk writes a cloud image
    PRESEED = "preseed"  # Debian's own installer
    KICKSTART = "kickstart"  # Anaconda: Rocky, Alma, CentOS, openEuler
    AUTOINSTALL = "autoinstall"  # Ubuntu's own installer


class PowerState(StrEnum):
    """Whether a machine runs, as its BMC says."""

    ON = "on"
    OFF = "off"
    UNKNOWN = ""  # nobody asked yet


class JobAction(StrEnum):
    """Actions that run as jobs; the value is the action's name on the wire."""

    COLLECT_NODES = "CollectNodes"
    PROVISION_BM_NODES = "ProvisionBMNodes"
    POWER_ON_BM_NODES = "PowerOnBMNodes"
    POWER_OFF_BM_NODES = "PowerOffBMNodes"
    REBOOT_BM_NODES = "RebootBMNodes"
    GET_BM_NODES_POWER = "GetBMNodesPower"
    SCAN_BM_NODES = "ScanBMNodes"
    INSPECT_BM_NODES = "InspectBMNodes"


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


class Priority(IntEnum):
    """Which of the jobs that wait goes first: the one with the smaller number."""

    HIGH = 1
    NORMAL = 5
    LOW = 9


class ScanOutcome(StrEnum):
    """What a scan made of one address that answered."""

    FOUND = "found"  # a BMC answers there; nobody logged in yet
    IDENTIFIED = "identified"  # it said what machine it belongs to
    NEW = "new"  # a machine nobody knew is registered
    UPDATED = "updated"  # of a known machine something is known now that was not
    UNCHANGED = "unchanged"  # everything was known
    CONFLICT = "conflict"  # it contradicts what is registered; nothing was changed
    FAILED = "failed"  # it did not let us in, or told nothing


class WebhookEvent(StrEnum):
    """What a webhook may want to be told of."""

    JOB_ENDED = "job_ended"  # a job is over
    NODE_STATUS = "node_status"  # a node is new, or has another status
    BM_NODE_STATUS = "bm_node_status"  # the same of a machine with a registered BMC


class DeliveryStatus(StrEnum):
    """How far an event is on its way to one webhook."""

    WAITING = "waiting"  # to be sent, for the first time or again
    DELIVERED = "delivered"  # the receiver said 2xx
    FAILED = "failed"  # given up


class Role(StrEnum):
    """What a user may do; each may do what the one before may."""

    VIEWER = "viewer"  # Describe*, Get*
    OPERATOR = "operator"  # everything on nodes and jobs
    ADMIN = "admin"  # users and tokens too, and BMC passwords in clear


ROLE_ORDER: dict[Role, int] = {role: rank for rank, role in enumerate(Role)}

# Jobs that boot machines over the network: what a cancelled one leaves running is switched off.
BOOTING: frozenset[JobAction] = frozenset(
    {JobAction.PROVISION_BM_NODES, JobAction.INSPECT_BM_NODES}
)

# Jobs somebody waits for at a console go before those that take an hour anyway.
PRIORITIES: dict[JobAction, Priority] = {
    JobAction.POWER_ON_BM_NODES: Priority.HIGH,
    JobAction.POWER_OFF_BM_NODES: Priority.HIGH,
    JobAction.REBOOT_BM_NODES: Priority.HIGH,
    JobAction.GET_BM_NODES_POWER: Priority.HIGH,
}

# A job's steps are its playbook's roles, in order.
STEPS: dict[JobAction, tuple[str, ...]] = {
    JobAction.COLLECT_NODES: ("node_reach", "node_probe", "node_record"),
    JobAction.PROVISION_BM_NODES: (
        "preflight",
        "ramdisk_boot",
        "disk_image",
        "os_config",
        "disk_boot",
        "node_verify",
    ),
    JobAction.POWER_ON_BM_NODES: ("bmc_power",),
    JobAction.POWER_OFF_BM_NODES: ("bmc_power",),
    JobAction.REBOOT_BM_NODES: ("bmc_power",),
    JobAction.GET_BM_NODES_POWER: ("bmc_power",),
    JobAction.SCAN_BM_NODES: ("bmc_sweep", "bmc_identify", "bmc_register"),
    JobAction.INSPECT_BM_NODES: (
        "ramdisk_boot",
        "node_probe",
        "bmc_user",
        "node_record",
        "ramdisk_end",
    ),
}

PLAYBOOKS: dict[JobAction, str] = {
    JobAction.COLLECT_NODES: "collect.yml",
    JobAction.PROVISION_BM_NODES: "provision.yml",
    JobAction.POWER_ON_BM_NODES: "power.yml",
    JobAction.POWER_OFF_BM_NODES: "power.yml",
    JobAction.REBOOT_BM_NODES: "power.yml",
    JobAction.GET_BM_NODES_POWER: "power.yml",
    JobAction.SCAN_BM_NODES: "scan.yml",
    JobAction.INSPECT_BM_NODES: "inspect.yml",
}

# What power.yml is told to do: the variable `bmc_power_state`.
POWER_STATES: dict[JobAction, str] = {
    JobAction.POWER_ON_BM_NODES: "on",
    JobAction.POWER_OFF_BM_NODES: "off",
    JobAction.REBOOT_BM_NODES: "cycle",
    JobAction.GET_BM_NODES_POWER: "status",
}


class Reason(StrEnum):
    """Why a node, a step or a job failed: a small closed set."""

    SSH_SILENT = "ssh_silent"
    SSH_CLOSED = "ssh_closed"
    SSH_REFUSED = "ssh_refused"
    HOST_KEY_CHANGED = "host_key_changed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    PROBE_INCOMPLETE = "probe_incomplete"
    RECORD_REFUSED = "record_refused"
    BMC_SILENT = "bmc_silent"
    BMC_LOGIN_REFUSED = "bmc_login_refused"
    BMC_NO_CIPHER = "bmc_no_cipher"
    BMC_BUSY = "bmc_busy"
    BMC_CERTIFICATE_CHANGED = "bmc_certificate_changed"
    BMC_REFUSED = "bmc_refused"
    BMC_LOGINS_SPENT = "bmc_logins_spent"
    BMC_NOT_IN_BAND = "bmc_not_in_band"
    SCAN_CONFLICT = "scan_conflict"
    POWER_UNCHANGED = "power_unchanged"
    BOOT_DEVICE_IGNORED = "boot_device_ignored"
    NO_IMAGE = "no_image"
    PROTECTED = "protected"
    FOREIGN_DHCP = "foreign_dhcp"
    BOOT_SERVER_SILENT = "boot_server_silent"
    NO_DHCP_REQUEST = "no_dhcp_request"
    NO_BOOT_LOADER = "no_boot_loader"
    NO_BOOT_SCRIPT = "no_boot_script"
    RAMDISK_SILENT = "ramdisk_silent"
    WRONG_MACHINE = "wrong_machine"
    DISK_MISSING = "disk_missing"
    DISK_HAS_DATA = "disk_has_data"
    DISK_FAULTY = "disk_faulty"
    IMAGE_CHECKSUM = "image_checksum"
    IMAGE_STALLED = "image_stalled"
    NIC_MISSING = "nic_missing"
    ADDRESS_IN_USE = "address_in_use"
    INSTALLER_SILENT = "installer_silent"
    BOOTS_NETWORK_AGAIN = "boots_network_again"
    OS_SILENT = "os_silent"
    OS_DIFFERS = "os_differs"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    RUN_ENDED = "run_ended"
    WORKER_LOST = "worker_lost"
    RESTORED = "restored"
    NODES_FAILED = "nodes_failed"
    TOO_MANY_FAILURES = "too_many_failures"
    TASK_FAILED = "task_failed"


# Reasons that lie with a BMC.
BMC_REASONS: frozenset[Reason] = frozenset(
    {
        Reason.BMC_SILENT,
        Reason.BMC_LOGIN_REFUSED,
        Reason.BMC_NO_CIPHER,
        Reason.BMC_BUSY,
        Reason.BMC_CERTIFICATE_CHANGED,
        Reason.BMC_REFUSED,
        Reason.BMC_LOGINS_SPENT,
        Reason.BMC_NOT_IN_BAND,
        Reason.POWER_UNCHANGED,
        Reason.BOOT_DEVICE_IGNORED,
    }
)

# What to do about it, in a sentence an operator can act on.
ADVICE: dict[Reason, str] = {
    Reason.SSH_SILENT: "Check that the machine is powered on, cabled, and that no firewall drops SSH from here.",
    Reason.SSH_CLOSED: "The machine answers but no SSH server does: start sshd there, or set the zone's SSH port.",
    Reason.SSH_REFUSED: "Put Firstbox's public key into the SSH user's authorized_keys, or set the zone's user and key.",
    Reason.HOST_KEY_CHANGED: "If the machine was reinstalled, forget its old key (ModifyNodeAttributes with forget_host_key 1) and collect again; if not, find out who answers at this address.",
    Reason.HOST_KEY_UNKNOWN: "The zone accepts known host keys only: collect it once with the policy accept-new.",
    Reason.PROBE_INCOMPLETE: "Log in and run the probe by hand to see which command fails; what was known before is kept.",
    Reason.RECORD_REFUSED: "The node was changed or deleted meanwhile: look at it with DescribeNodes and collect it again.",
    Reason.BMC_SILENT: "Check the BMC's address, cable and power, and that UDP 623 (IPMI) or TCP 443 (Redfish) is open from the worker.",
    Reason.BMC_LOGIN_REFUSED: "Correct the BMC's user name and password (with ModifyBMNodeAttributes; of a scan, its credentials), and see that the user may log in over LAN as administrator.",
    Reason.BMC_NO_CIPHER: "Enable cipher suite 3 or 17 for IPMI over LAN in the BMC, or register it with bmc_type redfish.",
    Reason.BMC_BUSY: "The BMC has no free session: close other sessions with it or wait a minute, then retry the job.",
    Reason.BMC_REFUSED: "The line above has the BMC's own words; look at its web interface and event log, reset the BMC if it is stuck, then retry.",
    Reason.BMC_CERTIFICATE_CHANGED: "If the BMC was replaced or got a new certificate, forget the old one (ModifyBMNodeAttributes with forget_bmc 1); if not, find out who answers at this address.",
    Reason.BMC_LOGINS_SPENT: "Several logins were refused there, and one more may lock us out: find the right credential, wait for half an hour, then scan again.",
    Reason.BMC_NOT_IN_BAND: "The machine's own way to its BMC does not answer: look whether it has one, and whether its IPMI interface is enabled in the firmware.",
    Reason.SCAN_CONFLICT: "Look which of the two is right, the registration or the machine; correct it with ModifyBMNodeAttributes or DeleteBMNodes, then scan again.",
    Reason.POWER_UNCHANGED: "The BMC took the order, but the machine did not follow: look at its power supply and event log, then retry.",
    Reason.BOOT_DEVICE_IGNORED: "The BMC does not keep the boot device it is told: put network boot first in the machine's boot order, or update the BMC.",
    Reason.NO_IMAGE: "Add an image for this os_version and cpu_arch with `firstbox image add`, and the ramdisk with `firstbox image build`.",
    Reason.PROTECTED: "This machine is protected: if it may really be erased, set protected 0 with ModifyBMNodeAttributes.",
    Reason.FOREIGN_DHCP: "Another DHCP server answers in the boot network: take it off, or set the boot server to proxy mode.",
    Reason.BOOT_SERVER_SILENT: "Start the boot server (`firstbox boot`, or the unit firstbox-boot) and look at its log.",
    Reason.NO_DHCP_REQUEST: "No request came from the boot MAC: check that it is the right one, its cable and VLAN, and that network boot is enabled on that port.",
    Reason.NO_BOOT_LOADER: "It got an address but never fetched the loader: check that UDP 69 (TFTP) passes, and that another DHCP server does not answer first.",
    Reason.NO_BOOT_SCRIPT: "The loader started but never fetched its boot script: check that the machine reaches FIRSTBOX_BOOT_URL over HTTP.",
    Reason.RAMDISK_SILENT: "The boot script was fetched, but the ramdisk never said hello: look at the console; usually a NIC without a driver in the ramdisk, or too little memory.",
    Reason.WRONG_MACHINE: "Another machine answers with this boot MAC: compare serial numbers and cabling, then correct the registration.",
    Reason.DISK_MISSING: "Correct os_disk_name with ModifyBMNodeAttributes, or look why the disk is not seen (controller, RAID volume, cabling).",
    Reason.DISK_HAS_DATA: "The disk holds data that Firstbox did not put there: save it, then provision again with erase 1.",
    Reason.DISK_FAULTY: "The disk does not take what is written: look at the kernel's messages on the console and replace it.",
    Reason.IMAGE_CHECKSUM: "The image is not what was added: add it again with `firstbox image add`, and look for a proxy between machine and boot server.",
    Reason.IMAGE_STALLED: "The image did not arrive: look at the load of the boot server and the network between, then retry; what is written stays written.",
    Reason.NIC_MISSING: "Correct boot MAC or bond members with ModifyBMNodeAttributes: the machine has no such network card.",
    Reason.ADDRESS_IN_USE: "Another machine answers at this address: find it, or give this one another address with ModifyBMNodeAttributes.",
    Reason.INSTALLER_SILENT: "The installer began but never reported its end: look at the console for the question it stopped at.",
    Reason.BOOTS_NETWORK_AGAIN: "The machine boots from the network instead of from its disk: put its disk into the boot order, and check that the disk is the bootable one.",
    Reason.OS_SILENT: "The machine left the ramdisk, but its SSH server does not answer at the address that was asked: look at the console, then at cabling and VLAN of that network.",
    Reason.OS_DIFFERS: "The system runs, but is not as asked; the line above says what differs. Log in to look, then reinstall or correct the registration.",
    Reason.TIMEOUT: "The machine was too slow: look at its load and disks, then retry the job.",
    Reason.CANCELLED: "Nothing to do: somebody cancelled the job. RetryJob runs what is left.",
    Reason.RUN_ENDED: "The playbook ended before its time: the log's last lines say where; retry the job.",
    Reason.WORKER_LOST: "Workers died under this job several times: look at the worker's memory and its log, then retry.",
    Reason.RESTORED: "What the job did since the backup is not known: look at its machines first, and retry only what is right to do again.",
    Reason.NODES_FAILED: "See the failed nodes below; RetryJob runs those alone.",
    Reason.TOO_MANY_FAILURES: "Nothing was done to this node: as many others had failed as the job allows. Mend those first, then RetryJob runs what is left.",
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

"""Tables. A docstring says what one row is; times are seconds since 1970, UTC.

Queries are SQLAlchemy Core over `columns(...)`: no objects of these classes are made.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

_ONLY_SQLITE = {"only": "sqlite"}  # of an index that other databases go without


class User(SQLModel, table=True):
    """A person or program that may log in with a password."""

    __tablename__ = "user_account"  # `user` is a reserved word of PostgreSQL

    user_id: str = Field(primary_key=True, max_length=64)
    role: str = Field(max_length=16)
    password_hash: str  # argon2id
    description: str = ""
    create_time: float
    update_time: float


class Token(SQLModel, table=True):
    """A bearer token of a user; only its SHA-256 is kept."""

    __tablename__ = "token"

    token_id: str = Field(primary_key=True)
    user_id: str = Field(
        sa_column=Column(
            ForeignKey("user_account.user_id", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    name: str = ""
    sha256: str = Field(unique=True, max_length=64)
    create_time: float
    expire_time: float
    revoke_time: float | None = None


class Audit(SQLModel, table=True):
    """Something an auditor would ask about: who tried what, from where, with which end."""

    __tablename__ = "audit"

    number: int | None = Field(default=None, primary_key=True)
    time: float = Field(index=True)
    user_id: str
    address: str
    action: str
    ret_code: int | None  # None: was asked; the end is the row that answers this one
    text: str = ""
    request_id: str = ""
    answers: int | None = Field(default=None, index=True)  # number of the row of the asking


class Webhook(SQLModel, table=True):
    """Somebody who wants to be told what happens, by HTTP, and whether they listen."""

    __tablename__ = "webhook"

    webhook_id: str = Field(primary_key=True)
    url: str
    secret: str  # sealed; signs what is sent
    events: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    description: str = ""
    create_time: float
    failures: int = 0  # in a row
    next_time: float = 0  # nothing is sent before this
    error: str = ""  # what went wrong last
    error_time: float | None = None


class Delivery(SQLModel, table=True):
    """One thing that happened, on its way to one webhook."""

    __tablename__ = "delivery"
    __table_args__ = (Index("delivery_due", "webhook_id", "status", "number"),)

    number: int | None = Field(default=None, primary_key=True)
    webhook_id: str = Field(
        sa_column=Column(ForeignKey("webhook.webhook_id", ondelete="CASCADE"), nullable=False)
    )
    event_id: str
    event: str = Field(max_length=32)
    body: str = Field(sa_column=Column(Text, nullable=False))  # JSON, as it is sent
    status: str = Field(max_length=16)
    attempts: int = 0
    create_time: float
    # Not before this; while somebody sends it, when another may try. By the database's clock.
    next_time: float
    finish_time: float | None = Field(default=None, index=True)
    error: str = ""  # why the last attempt failed


class Turn(SQLModel, table=True):
    """Something that one worker does at a time, for all of them."""

    __tablename__ = "turn"

    name: str = Field(primary_key=True, max_length=64)
    until: float  # by the database's clock; whoever is at it is given up then


class Tally(SQLModel, table=True):
    """A number that only grows, for `/metrics`: how often something happened, or how long it took."""

    __tablename__ = "tally"

    name: str = Field(primary_key=True, max_length=64)
    labels: str = Field(primary_key=True)  # JSON object, names sorted
    value: float


class Worker(SQLModel, table=True):
    """A process that runs jobs, and when it was last heard of."""

    __tablename__ = "worker"

    worker_id: str = Field(primary_key=True)
    zones: list[str] = Field(
        default_factory=list, sa_column=Column(JSON, nullable=False)
    )  # []: all
    concurrency: int
    beat_time: float  # by the database's clock


class Node(SQLModel, table=True):
    """A machine, under one id for life."""

    __tablename__ = "node"
    __table_args__ = (
        # The orders of pages; with id and address, so that earlier pages are passed over in the
        # index: only nodes with an address are shown.
        Index("node_create_id", "create_time", "node_id", "address"),
        Index("node_status_create", "status", "create_time", "node_id", "address"),
        Index("node_zone_create", "zone_id", "create_time", "node_id", "address"),
        Index("node_address_order", "address_order", "node_id", "address"),
        # All that is filtered by and searched in: SQLite would read the hardware documents' pages,
        # too. PostgreSQL keeps those apart (migration 0006).
        Index(
            "node_search", "create_time", "node_id", "address", "hostname", "serial_number",
            "description", "role", "product_type", "product_name", "zone_id", "status", "pre_status",
            "sub_roles", info=_ONLY_SQLITE,
        ),
    )  # fmt: skip

    node_id: str = Field(primary_key=True)
    address: str | None = Field(default=None, unique=True, max_length=45)
    # Family and 32 hexadecimal digits: as text it sorts as the addresses do.
    address_order: str = Field(default="", max_length=33)
    zone_id: str = "default"
    status: str = Field(max_length=16)
    pre_status: str = Field(default="", max_length=16)
    hostname: str = Field(default="", index=True, max_length=253)
    description: str = ""
    role: str = ""
    sub_roles: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    product_type: str = ""
    product_name: str = ""
    serial_number: str = Field(default="", index=True)
    host_key: str = ""  # the SSH host key seen at first contact, as in known_hosts
    # What the last collect found, as DescribeNodes answers it (JSON text, see store/hardware.py).
    hardware: str = Field(default="", sa_column=Column(Text, nullable=False))
    create_time: float
    update_time: float


class BmNode(SQLModel, table=True):
    """A machine's registration: its BMC, what it boots from, and what it is to become.

    Columns are named as in the API. What is not known or not wanted is NULL where it must be unique,
    else "" or 0.
    """

    __tablename__ = "bm_node"
    __table_args__ = (
        Index("bm_node_create_id", "create_time", "node_id"),
        Index("bm_node_status_create", "status", "create_time", "node_id"),
        Index(  # as node_search
            "bm_node_search", "create_time", "node_id", "hostname", "brand", "product",
            "serial_number", "ipmi_network_address", "mgmt_network_address",
            "public_network_address", "os_version", "pxe_network_mac_addr", "bmc_mac", "status",
            "pre_status", info=_ONLY_SQLITE,
        ),
    )  # fmt: skip

    node_id: str = Field(
        sa_column=Column(ForeignKey("node.node_id", ondelete="CASCADE"), primary_key=True)
    )
    status: str = Field(max_length=16)
    pre_status: str = Field(default="", max_length=16)
    os_version: str = ""
    cpu_arch: str = ""
    hostname: str | None = Field(default=None, unique=True, max_length=253)  # small letters
    brand: str = ""
    serial_number: str | None = Field(default=None, unique=True)
    image: str = ""  # an image by name; "" for the newest one of os_version and cpu_arch
    bmc_type: str = Field(default="ipmi", max_length=16)
    bmc_port: int = 0  # 0 is the protocol's own: 623 for IPMI, 443 for Redfish
    bmc_certificate: str = ""  # SHA-256 of the certificate Redfish showed at first contact
    ipmi_network_address: str | None = Field(default=None, unique=True)
    ipmi_username: str = ""
    ipmi_password: str = ""  # sealed, see store/sealing.py
    pxe_network_mac_addr: str | None = Field(default=None, unique=True, max_length=17)
    pxe_network_interface: str = ""
    pxe_network_address: str = ""
    boot_mode: str = Field(default="", max_length=8)  # bios or uefi; "" leaves it to the machine
    os_disk_name: str = ""
    is_mgmt_config_bond: int = 0
    is_mgmt_config_vlan: int = 0
    mgmt_network_address: str | None = Field(default=None, unique=True)
    mgmt_network_gateway: str = ""
    mgmt_network_netmask: str = ""
    mgmt_network_vlan_id: int = 0
    mgmt_bond_members: list[str] = Field(
        default_factory=list, sa_column=Column(JSON, nullable=False)
    )
    mgmt_bond_mode: str = ""
    is_public_config_bond: int = 0
    is_public_config_vlan: int = 0
    public_network_address: str = ""
    public_network_gateway: str = ""
    public_network_netmask: str = ""
    public_network_vlan_id: int = 0
    public_bond_members: list[str] = Field(
        default_factory=list, sa_column=Column(JSON, nullable=False)
    )
    public_bond_mode: str = ""
    protected: int = 0  # 1: nothing may ever erase it
    power_state: str = Field(default="", max_length=8)  # as the BMC said at power_time
    power_time: float | None = None
    # What scans and the ramdisk found. The hardware is JSON text, as DescribeBMNodes answers it.
    product: str = ""
    bmc_mac: str = Field(default="", index=True, max_length=17)
    hardware: str = Field(default="", sa_column=Column(Text, nullable=False))
    hardware_source: str = Field(default="", max_length=16)  # ramdisk or bmc
    hardware_time: float | None = None
    # The installation it is in, or that it came out of: the OS's cloud-init instance id.
    provision_id: str = ""
    # WWN, serial number or name of the disk we wrote last: what is on it, we put there.
    written_disk: str = ""
    create_time: float
    update_time: float


class Boot(SQLModel, table=True):
    """A machine that boots over the network, and how far it was seen to come.

    A job boots it; or nobody knows it, and discovery answers it: then it has no node and no job until
    its ramdisk says who it is.
    """

    __tablename__ = "boot"
    __table_args__ = (
        Index(
            "boot_active_mac",
            "mac",
            unique=True,
            sqlite_where=text("state != 'closed'"),
            postgresql_where=text("state != 'closed'"),
        ),
    )

    boot_id: str = Field(primary_key=True)
    node_id: str | None = Field(
        sa_column=Column(ForeignKey("node.node_id", ondelete="CASCADE"), nullable=True, index=True)
    )
    job_id: str | None = Field(
        sa_column=Column(ForeignKey("job.job_id", ondelete="CASCADE"), nullable=True, index=True)
    )
    zone_id: str = ""  # of the boot server that let an unknown machine in; "" if it serves many
    provision_id: str  # of the machine's registration, when the boot was made
    mac: str = Field(max_length=17)
    state: str = Field(max_length=8)
    method: str = Field(max_length=16)
    image: str  # name
    create_time: float
    expire_time: float  # nothing is answered afterwards, whatever became of the job
    armed_time: float | None = None  # DHCP knows
    dhcp_time: float | None = None  # first request seen
    offer_time: float | None = None  # first address given
    loader_time: float | None = None  # loader fetched over TFTP or HTTP
    script_time: float | None = None  # boot script fetched
    kernel_time: float | None = None  # kernel fetched
    hello_time: float | None = None  # the ramdisk, or the installer, runs
    done_time: float | None = None  # the installer reported its end
    again_time: float | None = None  # asked for a network boot when it was to boot from its disk
    address: str = ""  # where the ramdisk answers
    host_key: str = ""  # what the ramdisk's SSH server proves itself with
    hello: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class ScanResult(SQLModel, table=True):
    """What one scan made of one address that answered."""

    __tablename__ = "scan_result"

    job_id: str = Field(
        sa_column=Column(ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True)
    )
    address: str = Field(primary_key=True, max_length=45)
    address_order: str = Field(max_length=33)  # as node.address_order
    outcome: str = Field(max_length=16)
    node_id: str = ""  # "" where no machine is registered
    bmc_type: str = ""
    bmc_port: int = 0
    credential: str = ""  # that let us in, by name
    brand: str = ""
    product: str = ""
    serial_number: str = ""
    bmc_mac: str = ""
    boot_macs: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    power_state: str = ""
    reason: str = ""
    message: str = ""
    update_time: float


class BmcLogin(SQLModel, table=True):
    """A BMC that refused logins lately: whoever tries on is locked out by it."""

    __tablename__ = "bmc_login"

    address: str = Field(primary_key=True, max_length=45)
    failures: int
    # Keyed digests of what was refused (see store/bmc_logins.py): not to be tried again.
    refused: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    time: float  # of the last refusal


class Image(SQLModel, table=True):
    """An operating system, or the ramdisk, as machines of one architecture get it."""

    __tablename__ = "image"

    name: str = Field(primary_key=True)
    os_version: str = Field(index=True)  # `ramdisk` for the ramdisk
    cpu_arch: str
    method: str = Field(max_length=16)  # of BootMethod, or `ramdisk`
    sha256: str  # of the raw disk image; of the kernel and initrd for other methods
    # Bytes of disk it needs, and bytes it takes here.
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    stored: int = Field(sa_column=Column(BigInteger, nullable=False))
    directory: str  # name below $FIRSTBOX_HOME/images
    source: str = ""  # where it came from, for people
    create_time: float


class ImageManifest(SQLModel, table=True):
    """What an image's directory holds, for hosts that write it and do not have it."""

    __tablename__ = "image_manifest"

    name: str = Field(
        sa_column=Column(ForeignKey("image.name", ondelete="CASCADE"), primary_key=True)
    )
    text: str = Field(sa_column=Column(Text, nullable=False))  # JSON, as manifest.json has it


class Disk(SQLModel, table=True):
    """The lasting id of one disk of a node, and what an operator decided about it."""

    __tablename__ = "disk"
    __table_args__ = (UniqueConstraint("node_id", "hardware_key"),)

    disk_id: str = Field(primary_key=True)
    node_id: str = Field(
        sa_column=Column(ForeignKey("node.node_id", ondelete="CASCADE"), nullable=False)
    )
    hardware_key: str  # WWN, else serial number, else name
    status: int | None = None  # 1 may be used for data, 0 may not, None nobody decided
    type: str | None = None


class Network(SQLModel, table=True):
    """The lasting id of one network interface of a node."""

    __tablename__ = "network"
    __table_args__ = (UniqueConstraint("node_id", "name"),)

    network_id: str = Field(primary_key=True)
    node_id: str = Field(
        sa_column=Column(ForeignKey("node.node_id", ondelete="CASCADE"), nullable=False)
    )
    name: str


class Job(SQLModel, table=True):
    """One long action somebody asked for."""

    __tablename__ = "job"
    __table_args__ = (
        Index("job_action_create", "action", "create_time"),
        Index("job_create", "create_time", "job_id"),
        Index("job_finish", "finish_time", "job_id"),
        Index("job_log_finish", "has_log", "finish_time"),  # for what prunes
    )

    job_id: str = Field(primary_key=True)
    action: str
    zone_id: str = "default"  # of its slices, several with commas between
    user_id: str
    command: str = ""  # of a direct run: what was typed in the shell
    retry_of: str = ""
    priority: int = 5  # 1 goes first, 9 last
    request_id: str = ""  # of the request that made it
    trace: str = ""  # W3C traceparent of that request; "" where nothing is traced
    status: str = Field(index=True, max_length=16)
    pre_status: str = Field(default="", max_length=16)
    reason: str = ""
    message: str = ""
    create_time: float
    start_time: float | None = None
    finish_time: float | None = None
    cancel: bool = False
    dry_run: bool = False  # as in the options, which of a scan are long
    has_log: bool = True  # False once its log was pruned
    # What the caller asked beyond the nodes: {"erase": 1}, {"reinstall": 1}, {"soft": 1}.
    options: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    version: int = 0  # grows with every change that GetStatus or GetLog would show


class JobSlice(SQLModel, table=True):
    """A part of a job that one worker runs: some of its nodes, all in one zone; and its run now."""

    __tablename__ = "job_slice"
    __table_args__ = (Index("job_slice_status", "status", "zone_id"),)

    job_id: str = Field(
        sa_column=Column(ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True)
    )
    slice_index: int = Field(primary_key=True)
    zone_id: str
    status: str = Field(max_length=16)
    step_index: int = 0
    reason: str = ""
    message: str = ""
    # A run belongs to (job, slice, attempt, worker); every write of a run is guarded by the four.
    attempt: int = 1
    worker: str | None = None
    # Leases and queueing are timed by the database's clock.
    lease_until: float | None = Field(default=None, index=True)
    enqueue_time: float | None = None  # None: held back until there is room
    start_time: float | None = None
    finish_time: float | None = None


class JobStep(SQLModel, table=True):
    """One step of a slice, in its last attempt."""

    __tablename__ = "job_step"

    job_id: str = Field(
        sa_column=Column(ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True)
    )
    slice_index: int = Field(default=0, primary_key=True)
    step_index: int = Field(primary_key=True)
    name: str
    status: str = Field(max_length=16)
    start_time: float | None = None
    finish_time: float | None = None
    deadline: float | None = None  # when the step is given up
    error: str = ""


class JobNode(SQLModel, table=True):
    """One node in a job. While `active`, no other job may have the node."""

    __tablename__ = "job_node"
    __table_args__ = (
        Index(
            "job_node_active",
            "node_id",
            unique=True,
            sqlite_where=text("active"),
            postgresql_where=text("active"),
        ),
        Index("job_node_node", "node_id", "job_id"),
    )

    job_id: str = Field(
        sa_column=Column(ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True)
    )
    node_id: str = Field(primary_key=True)
    slice_index: int = 0
    active: bool
    status: str = Field(max_length=16)
    step_index: int = 0
    reason: str = ""
    message: str = ""
    node_status: str = ""  # the node's status before the job took it


class LogLine(SQLModel, table=True):
    """A line of a job's log: written once, never edited."""

    __tablename__ = "log_line"
    __table_args__ = (
        Index(
            "log_line_failure",
            "job_id",
            "number",
            sqlite_where=text("is_failure"),
            postgresql_where=text("is_failure"),
        ),
        Index("log_line_status", "job_id", "job_status", "number"),
    )

    job_id: str = Field(
        sa_column=Column(ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True)
    )
    number: int = Field(primary_key=True)
    time: float
    job_status: str = Field(max_length=16)  # the job's status when the line was written
    node_id: str = ""
    is_failure: bool = False
    text: str


TABLES: frozenset[str] = frozenset(SQLModel.metadata.tables)


def columns(table: type[SQLModel]) -> Any:
    """The Core table behind a model, for queries that need no objects."""
    return SQLModel.metadata.tables[str(table.__tablename__)]

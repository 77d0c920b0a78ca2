"""Tables. A docstring says what one row is; times are seconds since 1970, UTC.

Queries are SQLAlchemy Core over `columns(...)`: no objects of these classes are made.
"""

from typing import Any

from sqlalchemy import JSON, Column, ForeignKey, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel


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
    ret_code: int
    text: str = ""


class Node(SQLModel, table=True):
    """A machine, under one id for life."""

    __tablename__ = "node"
    __table_args__ = (
        Index("node_status_id", "status", "node_id"),
        # The orders of pages; with the id, so that earlier pages are passed over in the index.
        Index("node_create_id", "create_time", "node_id"),
        Index("node_address_order", "address_order", "node_id"),
    )

    node_id: str = Field(primary_key=True)
    address: str | None = Field(default=None, unique=True, max_length=45)
    # Family and 32 hexadecimal digits: as text it sorts as the addresses do.
    address_order: str = Field(default="", max_length=33)
    zone_id: str = Field(default="default", index=True)
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
    """One long action somebody asked for, and the run that holds it now."""

    __tablename__ = "job"
    __table_args__ = (Index("job_action_create", "action", "create_time"),)

    job_id: str = Field(primary_key=True)
    action: str
    zone_id: str = "default"
    user_id: str
    command: str = ""  # of a direct run: what was typed in the shell
    retry_of: str = ""
    status: str = Field(index=True, max_length=16)
    pre_status: str = Field(default="", max_length=16)
    reason: str = ""
    message: str = ""
    create_time: float
    start_time: float | None = None
    finish_time: float | None = None
    # A run belongs to (job, attempt, worker); every write of a run is guarded by the three.
    attempt: int = 1
    worker: str | None = None
    lease_until: float | None = Field(default=None, index=True)
    enqueue_time: float
    cancel: bool = False
    version: int = 0  # grows with every change that GetStatus or GetLog would show


class JobStep(SQLModel, table=True):
    """One step of a job, in its last attempt."""

    __tablename__ = "job_step"

    job_id: str = Field(
        sa_column=Column(ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True)
    )
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
    )

    job_id: str = Field(
        sa_column=Column(ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True)
    )
    node_id: str = Field(primary_key=True)
    active: bool
    status: str = Field(max_length=16)
    step_index: int = 0
    reason: str = ""
    message: str = ""
    node_status: str = ""  # the node's status before the job took it


class LogLine(SQLModel, table=True):
    """A line of a job's log: written once, never edited."""

    __tablename__ = "log_line"

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

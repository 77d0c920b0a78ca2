"""Tables. A docstring says what one row is; times are seconds since 1970, UTC."""

from sqlalchemy import JSON, ForeignKey, Index, String, Table, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Knows all tables. Queries are SQLAlchemy Core: no objects of these classes are made."""


class User(Base):
    """A person or program that may log in with a password."""

    __tablename__ = "user_account"  # `user` is a reserved word of PostgreSQL

    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str]  # argon2id
    description: Mapped[str] = mapped_column(default="")
    create_time: Mapped[float]
    update_time: Mapped[float]


class Token(Base):
    """A bearer token of a user; only its SHA-256 is kept."""

    __tablename__ = "token"

    token_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("user_account.user_id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(default="")
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    create_time: Mapped[float]
    expire_time: Mapped[float]
    revoke_time: Mapped[float | None] = mapped_column(default=None)


class Audit(Base):
    """Something an auditor would ask about: who tried what, from where, with which end."""

    __tablename__ = "audit"

    number: Mapped[int | None] = mapped_column(default=None, primary_key=True)
    time: Mapped[float] = mapped_column(index=True)
    user_id: Mapped[str]
    address: Mapped[str]
    action: Mapped[str]
    ret_code: Mapped[int]
    text: Mapped[str] = mapped_column(default="")


class Node(Base):
    """A machine, under one id for life."""

    __tablename__ = "node"
    __table_args__ = (Index("node_status_id", "status", "node_id"),)

    node_id: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str | None] = mapped_column(String(45), default=None, unique=True)
    zone_id: Mapped[str] = mapped_column(default="default", index=True)
    status: Mapped[str] = mapped_column(String(16))
    pre_status: Mapped[str] = mapped_column(String(16), default="")
    hostname: Mapped[str] = mapped_column(String(253), default="", index=True)
    description: Mapped[str] = mapped_column(default="")
    role: Mapped[str] = mapped_column(default="")
    sub_roles: Mapped[list[str]] = mapped_column(JSON)
    product_type: Mapped[str] = mapped_column(default="")
    product_name: Mapped[str] = mapped_column(default="")
    serial_number: Mapped[str] = mapped_column(default="", index=True)
    host_key: Mapped[str] = mapped_column(
        default=""
    )  # the SSH host key seen at first contact, as in known_hosts
    # What the last collect found, as DescribeNodes answers it (JSON text, see store/hardware.py).
    hardware: Mapped[str] = mapped_column(Text)
    create_time: Mapped[float] = mapped_column(index=True)
    update_time: Mapped[float]


class Disk(Base):
    """The lasting id of one disk of a node, and what an operator decided about it."""

    __tablename__ = "disk"
    __table_args__ = (UniqueConstraint("node_id", "hardware_key"),)

    disk_id: Mapped[str] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(ForeignKey("node.node_id", ondelete="CASCADE"))
    hardware_key: Mapped[str]  # WWN, else serial number, else name
    status: Mapped[int | None] = mapped_column(
        default=None
    )  # 1 may be used for data, 0 may not, None nobody decided
    type: Mapped[str | None] = mapped_column(default=None)


class Network(Base):
    """The lasting id of one network interface of a node."""

    __tablename__ = "network"
    __table_args__ = (UniqueConstraint("node_id", "name"),)

    network_id: Mapped[str] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(ForeignKey("node.node_id", ondelete="CASCADE"))
    name: Mapped[str]


class Job(Base):
    """One long action somebody asked for, and the run that holds it now."""

    __tablename__ = "job"
    __table_args__ = (Index("job_action_create", "action", "create_time"),)

    job_id: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str]
    zone_id: Mapped[str] = mapped_column(default="default")
    user_id: Mapped[str]
    command: Mapped[str] = mapped_column(default="")  # of a direct run: what was typed in the shell
    retry_of: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(String(16), index=True)
    pre_status: Mapped[str] = mapped_column(String(16), default="")
    reason: Mapped[str] = mapped_column(default="")
    message: Mapped[str] = mapped_column(default="")
    create_time: Mapped[float]
    start_time: Mapped[float | None] = mapped_column(default=None)
    finish_time: Mapped[float | None] = mapped_column(default=None)
    # A run belongs to (job, attempt, worker); every write of a run is guarded by the three.
    attempt: Mapped[int] = mapped_column(default=1)
    worker: Mapped[str | None] = mapped_column(default=None)
    lease_until: Mapped[float | None] = mapped_column(default=None, index=True)
    enqueue_time: Mapped[float]
    cancel: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(
        default=0
    )  # grows with every change that GetStatus or GetLog would show


class JobStep(Base):
    """One step of a job, in its last attempt."""

    __tablename__ = "job_step"

    job_id: Mapped[str] = mapped_column(
        ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True
    )
    step_index: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    start_time: Mapped[float | None] = mapped_column(default=None)
    finish_time: Mapped[float | None] = mapped_column(default=None)
    deadline: Mapped[float | None] = mapped_column(default=None)  # when the step is given up
    error: Mapped[str] = mapped_column(default="")


class JobNode(Base):
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

    job_id: Mapped[str] = mapped_column(
        ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True
    )
    node_id: Mapped[str] = mapped_column(primary_key=True)
    active: Mapped[bool]
    status: Mapped[str] = mapped_column(String(16))
    step_index: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(default="")
    message: Mapped[str] = mapped_column(default="")
    node_status: Mapped[str] = mapped_column(default="")  # the node's status before the job took it


class LogLine(Base):
    """A line of a job's log: written once, never edited."""

    __tablename__ = "log_line"

    job_id: Mapped[str] = mapped_column(
        ForeignKey("job.job_id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[float]
    job_status: Mapped[str] = mapped_column(
        String(16)
    )  # the job's status when the line was written
    node_id: Mapped[str] = mapped_column(default="")
    is_failure: Mapped[bool] = mapped_column(default=False)
    text: Mapped[str]


TABLES: frozenset[str] = frozenset(Base.metadata.tables)


def columns(table: type[Base]) -> Table:
    """The Core table behind a class, for queries that need no objects."""
    return Base.metadata.tables[table.__tablename__]

"""Jobs in slices, each with a run of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "job_slice",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("slice_index", sa.Integer(), nullable=False),
        sa.Column("zone_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("enqueue_time", sa.Float(), nullable=True),
        sa.Column("start_time", sa.Float(), nullable=True),
        sa.Column("finish_time", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.job_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "slice_index"),
    )
    with op.batch_alter_table("job_slice", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_slice_lease_until"), ["lease_until"], unique=False)
        batch_op.create_index("job_slice_status", ["status", "zone_id"], unique=False)
    # What was under way goes on: its run is lost with the release before, and another takes it up.
    op.execute(
        "INSERT INTO job_slice (job_id, slice_index, zone_id, status, step_index, reason, message,"
        " attempt, worker, lease_until, enqueue_time, start_time, finish_time)"
        " SELECT job_id, 0, zone_id, CASE WHEN status IN ('successful', 'failed') THEN status"
        " WHEN worker IS NULL THEN 'waiting' ELSE 'running' END, 0, reason, message,"
        " attempt, worker, lease_until, enqueue_time, start_time, finish_time FROM job"
    )
    with op.batch_alter_table("job_node", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("slice_index", sa.Integer(), nullable=False, server_default="0")
        )
    with op.batch_alter_table("boot", schema=None) as batch_op:
        batch_op.add_column(sa.Column("zone_id", sa.String(), nullable=False, server_default=""))
    _add_slice_to_steps()
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index("ix_job_lease_until")
        for name in ("attempt", "worker", "lease_until", "enqueue_time"):
            batch_op.drop_column(name)


def _add_slice_to_steps() -> None:
    """A primary key cannot be changed on every database: a table with the new one takes the rows."""
    op.rename_table("job_step", "job_step_before")
    op.create_table(
        "job_step",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("slice_index", sa.Integer(), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("start_time", sa.Float(), nullable=True),
        sa.Column("finish_time", sa.Float(), nullable=True),
        sa.Column("deadline", sa.Float(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.job_id"], name="job_step_of_job", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "slice_index", "step_index", name="job_step_key"),
    )
    op.execute(
        "INSERT INTO job_step (job_id, slice_index, step_index, name, status, start_time,"
        " finish_time, deadline, error)"
        " SELECT job_id, 0, step_index, name, status, start_time, finish_time, deadline, error"
        " FROM job_step_before"
    )
    op.drop_table("job_step_before")

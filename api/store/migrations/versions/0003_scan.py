"""Scan, discovery and hardware of bare machines."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "bmc_login",
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("refused", sa.JSON(), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_table(
        "scan_result",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("address_order", sa.String(length=33), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("bmc_type", sa.String(), nullable=False),
        sa.Column("bmc_port", sa.Integer(), nullable=False),
        sa.Column("credential", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("serial_number", sa.String(), nullable=False),
        sa.Column("bmc_mac", sa.String(), nullable=False),
        sa.Column("boot_macs", sa.JSON(), nullable=False),
        sa.Column("power_state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("update_time", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.job_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "address"),
    )
    with op.batch_alter_table("bm_node", schema=None) as batch_op:
        batch_op.add_column(sa.Column("product", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(
            sa.Column("bmc_mac", sa.String(length=17), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("hardware", sa.Text(), nullable=False, server_default=""))
        batch_op.add_column(
            sa.Column("hardware_source", sa.String(length=16), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("hardware_time", sa.Float(), nullable=True))
        batch_op.create_index(batch_op.f("ix_bm_node_bmc_mac"), ["bmc_mac"], unique=False)

    with op.batch_alter_table("boot", schema=None) as batch_op:
        batch_op.alter_column("node_id", existing_type=sa.VARCHAR(), nullable=True)
        batch_op.alter_column("job_id", existing_type=sa.VARCHAR(), nullable=True)

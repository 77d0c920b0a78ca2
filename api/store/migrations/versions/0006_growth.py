"""Indexes for what grows; what was pruned, and whose turn it is to prune."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "turn",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("dry_run", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.add_column(
            sa.Column("has_log", sa.Boolean(), nullable=False, server_default=sa.true())
        )
        batch_op.create_index("job_create", ["create_time", "job_id"], unique=False)
        batch_op.create_index("job_finish", ["finish_time", "job_id"], unique=False)
        batch_op.create_index("job_log_finish", ["has_log", "finish_time"], unique=False)
    options, dry_run = sa.column("options", sa.JSON()), sa.column("dry_run", sa.Boolean())
    asked = sa.cast(options["dry_run"].as_string(), sa.Text())
    job = sa.table("job", options, dry_run)
    op.execute(sa.update(job).where(asked.in_(("1", "true"))).values(dry_run=True))
    with op.batch_alter_table("job_node", schema=None) as batch_op:
        batch_op.create_index("job_node_node", ["node_id", "job_id"], unique=False)
    _order_machines()
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index("ix_delivery_finish_time", ["finish_time"], unique=False)
    with op.batch_alter_table("log_line", schema=None) as batch_op:
        batch_op.create_index(
            "log_line_failure",
            ["job_id", "number"],
            unique=False,
            sqlite_where=sa.text("is_failure"),
            postgresql_where=sa.text("is_failure"),
        )
        batch_op.create_index("log_line_status", ["job_id", "job_status", "number"], unique=False)


def _order_machines() -> None:
    """Pages, filters and searches of machines are found without their hardware documents."""
    page = ["create_time", "node_id", "address"]
    with op.batch_alter_table("node", schema=None) as batch_op:
        batch_op.drop_index("node_status_id")
        batch_op.drop_index("ix_node_zone_id")
        batch_op.create_index("node_status_create", ["status", *page], unique=False)
        batch_op.create_index("node_zone_create", ["zone_id", *page], unique=False)
    with op.batch_alter_table("bm_node", schema=None) as batch_op:
        batch_op.drop_index("bm_node_status_id")
        batch_op.create_index("bm_node_create_id", page[:2], unique=False)
        batch_op.create_index("bm_node_status_create", ["status", *page[:2]], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        for table in ("node", "bm_node"):  # what is longer than that goes into a place of its own
            op.execute(f"ALTER TABLE {table} SET (toast_tuple_target = 128)")
        return
    others = [
        "role",
        "product_type",
        "product_name",
        "zone_id",
        "status",
        "pre_status",
        "sub_roles",
    ]
    searched = ["hostname", "serial_number", "description"]
    op.create_index("node_search", "node", [*page, *searched, *others], unique=False)
    addresses = [f"{net}_network_address" for net in ("ipmi", "mgmt", "public")]
    searched = ["hostname", "brand", "product", "serial_number", *addresses, "os_version"]
    searched += ["pxe_network_mac_addr", "bmc_mac", "status", "pre_status"]
    op.create_index("bm_node_search", "bm_node", [*page[:2], *searched], unique=False)

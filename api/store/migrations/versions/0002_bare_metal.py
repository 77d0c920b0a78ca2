"""bare metal."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "image",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("os_version", sa.String(), nullable=False),
        sa.Column("cpu_arch", sa.String(), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("directory", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_os_version"), ["os_version"], unique=False)

    op.create_table(
        "bm_node",
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("pre_status", sa.String(length=16), nullable=False),
        sa.Column("os_version", sa.String(), nullable=False),
        sa.Column("cpu_arch", sa.String(), nullable=False),
        sa.Column("hostname", sa.String(length=253), nullable=True),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("serial_number", sa.String(), nullable=True),
        sa.Column("image", sa.String(), nullable=False),
        sa.Column("bmc_type", sa.String(length=16), nullable=False),
        sa.Column("bmc_port", sa.Integer(), nullable=False),
        sa.Column("bmc_certificate", sa.String(), nullable=False),
        sa.Column("ipmi_network_address", sa.String(), nullable=True),
        sa.Column("ipmi_username", sa.String(), nullable=False),
        sa.Column("ipmi_password", sa.String(), nullable=False),
        sa.Column("pxe_network_mac_addr", sa.String(length=17), nullable=True),
        sa.Column("pxe_network_interface", sa.String(), nullable=False),
        sa.Column("pxe_network_address", sa.String(), nullable=False),
        sa.Column("boot_mode", sa.String(length=8), nullable=False),
        sa.Column("os_disk_name", sa.String(), nullable=False),
        sa.Column("is_mgmt_config_bond", sa.Integer(), nullable=False),
        sa.Column("is_mgmt_config_vlan", sa.Integer(), nullable=False),
        sa.Column("mgmt_network_address", sa.String(), nullable=True),
        sa.Column("mgmt_network_gateway", sa.String(), nullable=False),
        sa.Column("mgmt_network_netmask", sa.String(), nullable=False),
        sa.Column("mgmt_network_vlan_id", sa.Integer(), nullable=False),
        sa.Column("mgmt_bond_members", sa.JSON(), nullable=False),
        sa.Column("mgmt_bond_mode", sa.String(), nullable=False),
        sa.Column("is_public_config_bond", sa.Integer(), nullable=False),
        sa.Column("is_public_config_vlan", sa.Integer(), nullable=False),
        sa.Column("public_network_address", sa.String(), nullable=False),
        sa.Column("public_network_gateway", sa.String(), nullable=False),
        sa.Column("public_network_netmask", sa.String(), nullable=False),
        sa.Column("public_network_vlan_id", sa.Integer(), nullable=False),
        sa.Column("public_bond_members", sa.JSON(), nullable=False),
        sa.Column("public_bond_mode", sa.String(), nullable=False),
        sa.Column("protected", sa.Integer(), nullable=False),
        sa.Column("power_state", sa.String(length=8), nullable=False),
        sa.Column("power_time", sa.Float(), nullable=True),
        sa.Column("provision_id", sa.String(), nullable=False),
        sa.Column("written_disk", sa.String(), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("update_time", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["node.node_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node_id"),
        sa.UniqueConstraint("hostname"),
        sa.UniqueConstraint("ipmi_network_address"),
        sa.UniqueConstraint("mgmt_network_address"),
        sa.UniqueConstraint("pxe_network_mac_addr"),
        sa.UniqueConstraint("serial_number"),
    )
    with op.batch_alter_table("bm_node", schema=None) as batch_op:
        batch_op.create_index("bm_node_status_id", ["status", "node_id"], unique=False)

    op.create_table(
        "boot",
        sa.Column("boot_id", sa.String(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("provision_id", sa.String(), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("image", sa.String(), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("expire_time", sa.Float(), nullable=False),
        sa.Column("armed_time", sa.Float(), nullable=True),
        sa.Column("dhcp_time", sa.Float(), nullable=True),
        sa.Column("offer_time", sa.Float(), nullable=True),
        sa.Column("loader_time", sa.Float(), nullable=True),
        sa.Column("script_time", sa.Float(), nullable=True),
        sa.Column("kernel_time", sa.Float(), nullable=True),
        sa.Column("hello_time", sa.Float(), nullable=True),
        sa.Column("done_time", sa.Float(), nullable=True),
        sa.Column("again_time", sa.Float(), nullable=True),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("host_key", sa.String(), nullable=False),
        sa.Column("hello", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.job_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["node_id"], ["node.node_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("boot_id"),
    )
    with op.batch_alter_table("boot", schema=None) as batch_op:
        batch_op.create_index(
            "boot_active_mac",
            ["mac"],
            unique=True,
            sqlite_where=sa.text("state != 'closed'"),
            postgresql_where=sa.text("state != 'closed'"),
        )
        batch_op.create_index(batch_op.f("ix_boot_job_id"), ["job_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_boot_node_id"), ["node_id"], unique=False)

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("options", sa.JSON(), nullable=False, server_default="{}"))

    with op.batch_alter_table("node", schema=None) as batch_op:
        batch_op.drop_index("node_create_id")
        batch_op.drop_index("node_address_order")
        batch_op.create_index("node_create_id", ["create_time", "node_id", "address"], unique=False)
        batch_op.create_index(
            "node_address_order", ["address_order", "node_id", "address"], unique=False
        )

"""Pass over the nodes of earlier pages in an index that holds their order, ids included."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.drop_index("ix_node_create_time", table_name="node")
    op.create_index("node_create_id", "node", ["create_time", "node_id"])

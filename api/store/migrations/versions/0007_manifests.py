"""Images' manifests, for workers on hosts that have no images."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "image_manifest",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["name"], ["image.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name"),
    )

"""Webhooks, counters for metrics, an audit nobody can edit, and what ties a job to its request."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_SQLITE = (
    """CREATE TRIGGER audit_keeps_rows BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'rows of the audit are not changed'); END""",
    """CREATE TRIGGER audit_keeps_recent BEFORE DELETE ON audit
    WHEN old.time > CAST(strftime('%s', 'now') AS REAL) - 2592000
    BEGIN SELECT RAISE(ABORT, 'rows of the audit stay for 30 days'); END""",
    # INSERT OR REPLACE deletes without asking the trigger for that.
    """CREATE TRIGGER audit_replaces_none BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE number = new.number)
    BEGIN SELECT RAISE(ABORT, 'rows of the audit are not changed'); END""",
)
_POSTGRESQL = (
    """CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF old.time <= extract(epoch FROM now()) - 2592000 THEN
                RETURN old;
            END IF;
            RAISE EXCEPTION 'rows of the audit stay for 30 days';
        END IF;
        RAISE EXCEPTION 'rows of the audit are not changed';
    END $$""",
    """CREATE TRIGGER audit_keep BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_keep()""",
    """CREATE TRIGGER audit_keep_all BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_keep()""",
)


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_time", sa.Float(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("error_time", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("webhook_id"),
    )
    op.create_table(
        "delivery",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("next_time", sa.Float(), nullable=False),
        sa.Column("finish_time", sa.Float(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhook.webhook_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number"),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index("delivery_due", ["webhook_id", "status", "number"], unique=False)
    op.create_table(
        "tally",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels"),
    )
    op.create_table(
        "worker",
        sa.Column("worker_id", sa.String(), nullable=False),
        sa.Column("zones", sa.JSON(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("beat_time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id"),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default="5"))
        batch_op.add_column(sa.Column("request_id", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("trace", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.add_column(sa.Column("request_id", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("answers", sa.Integer(), nullable=True))
        batch_op.alter_column("ret_code", existing_type=sa.Integer(), nullable=True)
        batch_op.create_index(batch_op.f("ix_audit_answers"), ["answers"], unique=False)
    _keep_the_audit()


def _keep_the_audit() -> None:
    """Rows are added; those of 30 days ago may go; nothing is changed, whoever asks.

    SQLite: a later migration that makes the table anew (batch_alter_table) has to make these anew.
    """
    statements = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}[op.get_bind().dialect.name]
    for statement in statements:
        op.execute(statement)

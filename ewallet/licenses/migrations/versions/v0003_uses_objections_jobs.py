"""Uses, objections, bulk jobs and acts that wait for a second officer.

Uses and objections were made beside the migrations until now: where their tables stand already, they stay.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    known = sa.inspect(op.get_bind())
    if not known.has_table("shared_use"):
        _add_uses()
    if not known.has_table("objection_message"):
        op.create_table(
            "objection_message",
            sa.Column("case", sa.LargeBinary(16), nullable=False),
            sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("token", sa.LargeBinary(), nullable=False),
            sa.PrimaryKeyConstraint("case", "place", name=op.f("pk_objection_message")),
        )
    op.create_table(
        "bulk_job",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("again", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bulk_job")),
    )
    op.create_table(
        "confirmation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("type_code", sa.Text(), nullable=False),
        sa.Column("case_number", sa.Text(), nullable=False),
        sa.Column("live", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("images", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("confirmer", sa.Text(), nullable=False),
        sa.Column("second_operator", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("because", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_confirmation")),
        sa.UniqueConstraint("live", name=op.f("uq_confirmation_live")),
    )
    op.create_index("ix_confirmation_waiting", "confirmation", ["authority", "state", "proposed_at"])
    op.create_index("ix_confirmation_case", "confirmation", ["authority", "case_number"])


def _add_uses() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "shared_use",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("license", sa.String(255), nullable=False),
        sa.Column("identifier", sa.String(255), nullable=False),
        sa.Column("side", sa.String(16), nullable=False),
        sa.Column("code", sa.BigInteger(), nullable=False),
        sa.Column("recipient", sa.String(1024), nullable=False),
        sa.Column("organization", sa.String(1024), nullable=False),
        sa.Column("operator", sa.String(1024), nullable=False),
        sa.Column("position", sa.String(1024), nullable=False),
        sa.Column("matter", sa.String(1024), nullable=False),
        sa.Column("case", sa.String(1024), nullable=False),
        sa.Column("purpose", sa.String(1024), nullable=False),
        sa.Column("ground", sa.String(1024), nullable=False),
        sa.Column("until", sa.String(1024), nullable=False),
        sa.Column("trust_version", sa.BigInteger(), nullable=False),
        sa.Column("consent", sa.LargeBinary(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shared_use")),
    )
    for column in ("at", "license", "consent"):
        op.create_index(op.f(f"ix_shared_use_{column}"), "shared_use", [column])

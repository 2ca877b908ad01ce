"""Statements of a witness about what was signed.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "statement",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("license_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["license_id"], ["license.id"], name=op.f("fk_statement_license_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_statement")),
    )
    op.create_index(op.f("ix_statement_license_id"), "statement", ["license_id"])

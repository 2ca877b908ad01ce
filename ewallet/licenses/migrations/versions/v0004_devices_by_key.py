"""An index of devices by key: a supply code names its license by nothing else.

Revision: 0004, after 0003.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(op.f("ix_device_thumbprint"), "device", ["thumbprint"])

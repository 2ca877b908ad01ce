"""Tables of the register (SQLAlchemy Core): what stands in them, and what the database itself guarantees.

Moments are whole seconds since 1970, days are ISO text, digests are bytes. No column type goes beyond what
SQLite, PostgreSQL and the databases that speak PostgreSQL's protocol share.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NO_AUTOINCREMENT: Final = False
"""Numbers come from `counter`, in the transaction that uses them: a sequence would leave gaps in the feed."""

setting = Table(
    "setting",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

counter = Table(
    "counter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

license_ = Table(
    "license",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("type_code", Text, nullable=False),
    Column("type_key", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("serial", Text, nullable=False),
    Column("holder", Text, nullable=False),
    # Type and holder while the license lives and the type allows one only; NULL otherwise. Two live ones
    # collide here, whoever writes them.
    Column("sole", Text, nullable=True, unique=True),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # +1 with every event: the second of two officers finds another number than he read.
    Column("revision", Integer, nullable=False),
    Index("ix_license_type_number", "type_code", "number"),
    Index("ix_license_holder", "holder"),
)

version = Table(
    "version",
    metadata,
    Column("license_id", BigInteger, ForeignKey("license.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("identifier", Text, nullable=False, unique=True),
    Column("replaces", Text, nullable=True),
    Column("type_version", Integer, nullable=False),
    Column("authority_name", Text, nullable=False),
    Column("area", Text, nullable=False),
    Column("face", Text, nullable=False),
    Column("rest", Text, nullable=False),
    Column("holders", Text, nullable=False),
    Column("images", Text, nullable=True),
    Column("valid_from", Text, nullable=False),
    Column("valid_until", Text, nullable=True),
    Column("issued_on", Text, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("digest_name", Text, nullable=False),
    Column("face_digest", LargeBinary, nullable=False),
    Column("document", Text, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("shard", BigInteger, nullable=False),
    Column("idx", Integer, nullable=False),
)

event = Table(
    "event",
    metadata,
    # Without gaps and in the order of commits: the table is the outbox, read by number.
    Column("id", BigInteger, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("license_id", BigInteger, ForeignKey("license.id"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("second_operator", Text, nullable=False),
    Column("matter", Text, nullable=False),
    Column("case_number", Text, nullable=True),
    Column("case_key", Text, nullable=True, unique=True),
    Column("content", LargeBinary, nullable=False),
    Column("detail", Text, nullable=False),
)

shard = Table(
    "shard",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("authority", Text, nullable=False),
    Column("type_code", Text, nullable=False),
    Column("quarter", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("uri", Text, nullable=False, unique=True),
    Column("size", Integer, nullable=False),
    Column("seed", LargeBinary, nullable=False),
    Column("used", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("published_revision", BigInteger, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Index("uq_shard_of", "authority", "type_code", "quarter", "number", unique=True),
)

slot = Table(
    "slot",
    metadata,
    Column("shard", BigInteger, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("idx", Integer, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("license_id", BigInteger, ForeignKey("license.id"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ref", BigInteger, nullable=False),
    Column("value", Integer, nullable=False),
    # A list is mostly zeros: publishing reads the others only.
    Index(
        "ix_slot_changed",
        "shard",
        "idx",
        "value",
        sqlite_where=text("value <> 0"),
        postgresql_where=text("value <> 0"),
    ),
    sqlite_with_rowid=False,
)

copy = Table(
    "copy",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("license_id", BigInteger, ForeignKey("license.id"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("role", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("of", Integer, nullable=False),
    Column("stock", Text, nullable=True, unique=True),
    Column("state", Text, nullable=False),
    Column("seal", Text, nullable=False),
    Column("shard", BigInteger, nullable=False),
    Column("idx", Integer, nullable=False),
    Column("printed_at", BigInteger, nullable=True),
    Column("printer", Text, nullable=False),
)

device = Table(
    "device",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("license_id", BigInteger, ForeignKey("license.id"), nullable=False, index=True),
    Column("holder_index", Integer, nullable=False),
    Column("thumbprint", LargeBinary, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("bound_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    Column("ended_because", Text, nullable=False),
    # License, holder and key while the binding lives: one key is bound once.
    Column("live", Text, nullable=True, unique=True),
)

nonce = Table(
    "nonce",
    metadata,
    Column("nonce", LargeBinary, primary_key=True),
    Column("ends_at", BigInteger, nullable=False, index=True),
)

permit = Table(
    "permit",
    metadata,
    Column("license_id", BigInteger, ForeignKey("license.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("authority_name", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("identifier", Text, nullable=False),
    Column("valid_until", Text, nullable=True),
    Column("state", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("document", Text, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("job", Text, primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("license_id", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

consumer = Table(
    "consumer",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

stock_range = Table(
    "stock_range",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("prefix", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("office", Text, nullable=False),
    Column("handed_out_at", BigInteger, nullable=False),
    Column("operator", Text, nullable=False),
    Index("ix_stock_range_office", "office"),
)

stock_spoiled = Table(
    "stock_spoiled",
    metadata,
    Column("stock", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("operator", Text, nullable=False),
)

statement = Table(
    "statement",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("license_id", BigInteger, ForeignKey("license.id"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("statement", LargeBinary, nullable=False),
)

shared_use = Table(
    "shared_use",
    metadata,
    # The database's own sequence: nobody reads uses by number, so that a gap harms nothing.
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("license", String(255), nullable=False, index=True),
    Column("identifier", String(255), nullable=False),
    Column("side", String(16), nullable=False),
    Column("code", BigInteger, nullable=False),
    Column("recipient", String(1024), nullable=False),
    Column("organization", String(1024), nullable=False),
    Column("operator", String(1024), nullable=False),
    Column("position", String(1024), nullable=False),
    Column("matter", String(1024), nullable=False),
    Column("case", String(1024), nullable=False),
    Column("purpose", String(1024), nullable=False),
    Column("ground", String(1024), nullable=False),
    Column("until", String(1024), nullable=False),
    Column("trust_version", BigInteger, nullable=False),
    Column("consent", LargeBinary(64), nullable=True, index=True),
)

objection_message = Table(
    "objection_message",
    metadata,
    Column("case", LargeBinary(16), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=_NO_AUTOINCREMENT),
    Column("token", LargeBinary, nullable=False),
)

bulk_job = Table(
    "bulk_job",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("again", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    # Which machine has the files of results, and when the job last moved.
    Column("machine", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

confirmation = Table(
    "confirmation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("authority", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("type_code", Text, nullable=False),
    Column("case_number", Text, nullable=False),
    # Authority and case number while the act waits: one act waits under a case number. NULL afterwards.
    Column("live", Text, nullable=True, unique=True),
    # The whole call while it waits. NULL afterwards: who decided stays, personal data goes.
    Column("content", Text, nullable=True),
    Column("images", Text, nullable=True),
    Column("digest", LargeBinary, nullable=False),
    Column("partner", Text, nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("confirmer", Text, nullable=False),
    Column("second_operator", Text, nullable=False),
    Column("decided_at", BigInteger, nullable=True),
    Column("because", Text, nullable=False),
    Index("ix_confirmation_waiting", "authority", "state", "proposed_at"),
    Index("ix_confirmation_case", "authority", "case_number"),
)

HEAD: Final = "0004"
"""The migration that these tables correspond to."""

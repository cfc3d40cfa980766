"""The tables, as the newest migration leaves them. Times are seconds since the epoch, ids are those of the wire.

``number`` orders rows by their making; cursor pages walk along it.
"""

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself in INTEGER columns alone

FILES = Table(
    "files",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("filename", String(255), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("report", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, index=True),
    Column("job_id", String(64), index=True),  # what made it; null for uploads
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("request", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float, index=True),
    Column("result", JSON),
    Column("error", JSON),
    # Who runs it. Every write of a runner names the attempt it holds; a later attempt shuts it out.
    Column("attempt", Integer, nullable=False),
    Column("worker", String(200)),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False),
    Column("failures", Integer, nullable=False),  # attempts in a row that ended without progress
    Column("last_event", Integer, nullable=False),  # highest sequence number in `events`
    Column("tail", Integer, nullable=False),  # highest sequence number taken from the process's own event file
    Column("swept", Integer, nullable=False),  # 1: its folder is gone
    Index("ix_jobs_state_number", "state", "number"),
    Index("ix_jobs_kind_number", "kind", "number"),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("job_number", NUMBER, ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("created_at", Float, nullable=False),
    Column("level", String(8), nullable=False),
    Column("type", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON),
    Index("ix_events_job_number_type_sequence", "job_number", "type", "sequence"),
)

IDEMPOTENCY = Table(
    "idempotency",
    METADATA,
    Column("key", String(300), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("job_id", String(64), nullable=False),
    Column("created_at", Float, nullable=False, index=True),
)

FILE_USES = Table(
    "file_uses",
    METADATA,
    Column("file_id", String(64), primary_key=True),
    Column("job_id", String(64), primary_key=True, index=True),
)

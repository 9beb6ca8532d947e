"""The tables as SQLAlchemy knows them; `migrations` makes them, and a test holds the two together."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

#: A row, or what an event knows of it, by the names of columns.
Row = dict[str, Any]


class _SqliteMoment(TypeDecorator[datetime]):
    """A moment in SQLite, which has no type for it: text in UTC that sorts by time."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        # As a method of the class it refuses what is not a time, as PostgreSQL does.
        return value and datetime.astimezone(value, UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


_Moment = DateTime(timezone=True).with_variant(_SqliteMoment(), "sqlite")

metadata = MetaData()

#: One row a job. A job whose id is used again begins its row again.
jobs = Table(
    "_jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text),
    Column("queue", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("payload", Text),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("error_key", Text),
    Column("progress", Double),
    Column("message", Text),
    Column("result", Text),
    Column("log", Text),
    Column("enqueued_at", _Moment, nullable=False),
    Column("due_at", _Moment),
    Column("started_at", _Moment),
    Column("finished_at", _Moment),
    Column("worker", Text),
    Column("version", Text),
    Column("flow", Text),
    Column("parent", Text),
    Column("event", Text, nullable=False),
)

_NEWEST = (jobs.c.enqueued_at.desc(), jobs.c.id.desc())


def _where(condition: Any) -> dict[str, Any]:
    return {"postgresql_where": condition, "sqlite_where": condition}


Index("_jobs_newest", *_NEWEST)
Index("_jobs_tenant", jobs.c.tenant, *_NEWEST)
Index("_jobs_queue", jobs.c.queue, jobs.c.status, *_NEWEST)
Index("_jobs_name", jobs.c.name, *_NEWEST)
Index("_jobs_error", jobs.c.error_key, jobs.c.finished_at, **_where(text("status = 'FAILED'")))
Index("_jobs_finished", jobs.c.finished_at, **_where(jobs.c.finished_at.is_not(None)))
#: Few of many: what is looked for now and then, whether it has vanished.
Index("_jobs_unfinished", jobs.c.id, **_where(jobs.c.finished_at.is_(None)))
Index("_jobs_flow", jobs.c.flow, **_where(jobs.c.flow.is_not(None)))

#: How far a stream has been read into the table; `epoch` is that of the recorder which wrote last.
recorder = Table(
    "_recorder",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("last_id", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("updated_at", _Moment, nullable=False),
)

#: Rows that the database would not take, by the event with which each ended.
quarantine = Table(
    "_quarantine",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("position", Text, primary_key=True),
    Column("error", Text, nullable=False),
    Column("at", _Moment, nullable=False),
)

#: Who did what to which jobs, as the stream of actions says it; `position` sorts as that does.
actions = Table(
    "_actions",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("position", Text, primary_key=True),
    Column("at", _Moment, nullable=False),
    Column("action", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("by_id", Text, nullable=False),
    Column("by_name", Text, nullable=False),
    Column("tenant", Text),
    Column("target", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

Index("_actions_at", actions.c.at)
Index("_actions_tenant", actions.c.tenant, actions.c.stream, actions.c.position)

#: Jobs that were enqueued in an application's transaction. A row stays until its job is over. `key` is the row's own:
#: an id may be used again once its job is over. `due_ms` is since 1970, `delay_ms` counts from `created_at`.
outbox = Table(
    "_outbox",
    metadata,
    Column("key", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("terms", Text, nullable=False, server_default=text("''")),
    Column("unique_key", Text, nullable=False, server_default=text("''")),
    Column("on_taken", Text, nullable=False, server_default=text("'refuse'")),
    Column("due_ms", BigInteger),
    Column("delay_ms", BigInteger, nullable=False, server_default=text("0")),
    Column("tenant", Text),
    Column("created_at", _Moment, nullable=False, server_default=func.now()),
    # What the relay writes: when the row was sent last, how often, to which Redis, and its place among the records;
    # when it is looked at next; and why it will not be sent.
    Column("sent_at", _Moment),
    Column("sends", Integer, nullable=False, server_default=text("0")),
    Column("birth", Text),
    Column("place", Text),
    Column("look_at", _Moment),
    Column("refused", Text),
)

Index("_outbox_waiting", outbox.c.key, **_where(text("sent_at IS NULL AND refused IS NULL")))
Index("_outbox_sent", outbox.c.look_at, **_where(outbox.c.sent_at.is_not(None)))
Index("_outbox_id", outbox.c.id)

#: The migrations that were made.
versions = Table(
    "_rota_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", _Moment, nullable=False),
)

"""The fence row in SQLite and PostgreSQL, over a SQLAlchemy Core connection, for every SQL store.

All functions run inside the caller's transaction and commit nothing: the check belongs to the very
transaction that writes. On PostgreSQL the row is locked FOR SHARE, so that a promotion waits for a commit in
flight; on SQLite the transaction must have been begun IMMEDIATE (`begin_immediately` arranges it), which is
checked, since SQLite's driver would otherwise read outside of it. What this module does not promise: any
timeout. Set statement and idle-in-transaction timeouts below the lease's TTL on the engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from confkit.election.types import (
    ALLOWED,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    InstanceName,
    Permission,
    ProcessFacts,
)
from confkit.fence import (
    GENERATION_QUIET_MS,
    FenceCheck,
    FenceRow,
    RaiseCheck,
    check_write,
    may_raise,
    may_raise_generation,
    raised,
    raised_generation,
)

T = TypeVar("T")


def define_fence(metadata: sa.MetaData) -> sa.Table:
    """Add table `fence` to a store's own metadata; it never has more than one row."""
    return sa.Table(
        "fence",
        metadata,
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("mod_revision", sa.BigInteger, nullable=False),
        sa.Column("granted_ttl_s", sa.Double, nullable=False),
        sa.Column("etcd_identity", sa.Text, nullable=False),
        sa.Column("etcd_revision", sa.BigInteger, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("process_start_ticks", sa.BigInteger, nullable=False),
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("failsafe", sa.Boolean, nullable=False),
        sa.Column("history_id", sa.Text, nullable=False),
        sa.Column("raised_generation_ms", sa.BigInteger, nullable=False),
    )


FENCE = define_fence(sa.MetaData())
_READ = sa.select(FENCE)
_READ_SHARED = _READ.with_for_update(read=True)
_READ_EXCLUSIVE = _READ.with_for_update()


@dataclass(frozen=True, slots=True)
class Raise:
    """The outcome of `raise_fence`: `row` is the row as it stands now; it is ours only when `raised` is true."""

    check: RaiseCheck
    permission: Permission
    row: FenceRow | None
    was_failsafe: bool = False
    """The former holder wrote without etcd: wait a third of the TTL and the margin before opening."""

    @property
    def raised(self) -> bool:
        """True when the row holds the new token, once the caller commits."""
        return self.check is RaiseCheck.MAY and self.permission.allowed


def begin_immediately(engine: sa.Engine) -> None:
    """Make every transaction of a SQLite engine begin with BEGIN IMMEDIATE; other engines are left alone."""
    if engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(engine, "connect")
    def leave_transactions_to_us(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(conn: sa.Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE")


def read_fence(conn: sa.Connection) -> FenceRow | None:
    """Read the row without any lock."""
    return _row(conn.execute(_READ).mappings().first())


def check_fence(conn: sa.Connection, *, epoch: Epoch, history_id: str) -> FenceCheck:
    """Judge this transaction: first statement of every write. Keeps the row locked until the transaction
    ends.

    Raises RuntimeError on SQLite outside a transaction. B-50.
    """
    _require_transaction(conn)
    found = _row(conn.execute(_READ_SHARED).mappings().first())
    return check_write(found, epoch=epoch, history_id=history_id)


def raise_fence(
    conn: sa.Connection,
    *,
    epoch: Epoch,
    waited_s: float,
    facts: ProcessFacts,
    granted_ttl_s: float,
    identity: EtcdIdentity,
    etcd_revision: int,
    fresh_history_id: str,
    prior_revision: int | None = None,
    permit: Callable[[FenceRow | None], Permission] = lambda _: ALLOWED,
) -> Raise:
    """Put `epoch` into the row if it is greater and `permit` allows it (B-40: HA feature and instance on
    record).

    `permit` is called with the row locked, and may read the license by `conn`. `waited_s` is the time since
    the key was won. Nothing changes when the answer's `raised` is false.
    """
    _require_transaction(conn)
    found = _row(conn.execute(_READ_EXCLUSIVE).mappings().first())
    check = may_raise(found, epoch=epoch, waited_s=waited_s, identity=identity, prior_revision=prior_revision)
    if check is not RaiseCheck.MAY:
        return Raise(check, ALLOWED, found)
    permission = permit(found)
    if not permission.allowed:
        return Raise(check, permission, found)
    row = raised(
        found,
        epoch=epoch,
        facts=facts,
        granted_ttl_s=granted_ttl_s,
        identity=identity,
        etcd_revision=etcd_revision,
        fresh_history_id=fresh_history_id,
    )
    if not _store(conn, row, insert=found is None):
        return Raise(RaiseCheck.FENCED, ALLOWED, read_fence(conn))
    return Raise(check, permission, row, was_failsafe=found is not None and found.failsafe)


def raise_generation(
    conn: sa.Connection,
    *,
    expected: FenceRow,
    identity: EtcdIdentity,
    revision: int,
    now_ms: int,
    quiet_ms: int = GENERATION_QUIET_MS,
) -> GenerationRaise:
    """Record a rebuilt etcd, comparing the whole row with `expected`; `now_ms` and `quiet_ms` are wall time
    in milliseconds.
    """
    _require_transaction(conn)
    found = _row(conn.execute(_READ_EXCLUSIVE).mappings().first())
    if found != expected:
        return GenerationRaise.LOST
    if not may_raise_generation(found, now_ms=now_ms, quiet_ms=quiet_ms):
        return GenerationRaise.TOO_SOON
    _store(
        conn,
        raised_generation(found, identity=identity, revision=revision, now_ms=now_ms),
        insert=False,
    )
    return GenerationRaise.RAISED


def mark_failsafe(conn: sa.Connection, *, epoch: Epoch, history_id: str, marked: bool) -> FenceCheck:
    """Set or clear the mark of a primary that writes without etcd; only the holder may."""
    verdict = check_fence(conn, epoch=epoch, history_id=history_id)
    if verdict is FenceCheck.HOLDS:
        conn.execute(FENCE.update().values(failsafe=marked))
    return verdict


def renew_history(conn: sa.Connection, *, history_id: str) -> None:
    """Give the store a new history id, after a restore: nobody who served it before may go on (B-51)."""
    _require_transaction(conn)
    conn.execute(FENCE.update().values(history_id=history_id))


def past_blockers(engine: sa.Engine, work: Callable[[sa.Connection], T], *, patience_s: float = 0.2) -> T:
    """Run `work` in one transaction; on PostgreSQL, terminate the backends that block it for longer than
    `patience_s` seconds.

    For promotions: a holder that was stopped inside its transaction would otherwise block its successor until
    a timeout. Blocks the calling thread.
    """
    if engine.dialect.name != "postgresql":
        with engine.begin() as conn:
            return work(conn)
    done = threading.Event()
    with engine.begin() as conn:
        pid = conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        watcher = threading.Thread(
            target=_terminate_blockers,
            args=(engine, pid, done, patience_s),
            name="fence-blockers",
            daemon=True,
        )
        watcher.start()
        try:
            return work(conn)
        finally:
            done.set()
            watcher.join()


def _terminate_blockers(engine: sa.Engine, pid: int, done: threading.Event, patience_s: float) -> None:
    statement = sa.text("SELECT pg_terminate_backend(b) FROM unnest(pg_blocking_pids(:pid)) AS b")
    while not done.wait(patience_s):
        with engine.begin() as conn:
            conn.execute(statement, {"pid": pid})


def _require_transaction(conn: sa.Connection) -> None:
    if conn.dialect.name == "sqlite" and not getattr(
        conn.connection.dbapi_connection, "in_transaction", False
    ):
        raise RuntimeError("the fence must be read inside an immediate transaction: see begin_immediately")


def _row(found: Mapping[Any, Any] | None) -> FenceRow | None:
    if found is None:
        return None
    return FenceRow(
        token=Epoch(found["generation"], found["mod_revision"]),
        granted_ttl_s=found["granted_ttl_s"],
        etcd_identity=EtcdIdentity(found["etcd_identity"]),
        etcd_revision=found["etcd_revision"],
        instance=InstanceName(found["instance"]),
        host=found["host"],
        pid=found["pid"],
        process_start_ticks=found["process_start_ticks"],
        boot_id=found["boot_id"],
        failsafe=found["failsafe"],
        history_id=found["history_id"],
        raised_generation_ms=found["raised_generation_ms"],
    )


def _store(conn: sa.Connection, row: FenceRow, *, insert: bool) -> bool:
    values = {
        "id": 1,
        "generation": row.token.generation,
        "mod_revision": row.token.mod_revision,
        "granted_ttl_s": row.granted_ttl_s,
        "etcd_identity": row.etcd_identity,
        "etcd_revision": row.etcd_revision,
        "instance": row.instance,
        "host": row.host,
        "pid": row.pid,
        "process_start_ticks": row.process_start_ticks,
        "boot_id": row.boot_id,
        "failsafe": row.failsafe,
        "history_id": row.history_id,
        "raised_generation_ms": row.raised_generation_ms,
    }
    if not insert:
        conn.execute(FENCE.update().values(values))
        return True
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    written = conn.execute(dialect.insert(FENCE).values(values).on_conflict_do_nothing())
    return bool(written.rowcount)

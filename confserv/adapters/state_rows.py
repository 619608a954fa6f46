"""Rows of license, deployment and sessions, over a connection: shared by the stores and by a promotion's
snapshot.

Why beside `state_store.py`: a promotion reads stage, license and sessions in the very snapshot in which it
reads the change log (`ha.md`, Fencing in the database). All functions run inside the caller's transaction and
commit nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from confkit.fence import FenceCheck
from confkit.fence_sql import check_fence
from confserv.adapters.sql.schema import DEPLOYMENT, LICENSES, SESSIONS
from confserv.core.applications import ApplicationType
from confserv.core.compliance import Announced
from confserv.core.license import StoredLicense
from confserv.core.sessions import Holder, Session, SessionId
from confserv.core.stage import Stage
from confserv.state_ports import Deployment, DeploymentChange, Fenced, NewLicense, Tenure


def require_tenure(conn: sa.Connection, tenure: Tenure) -> None:
    """Go on only when the fence row holds the tenure; it is locked until the transaction ends. Raises
    Fenced."""
    check = check_fence(conn, epoch=tenure.epoch, history_id=tenure.history_id)
    if check is not FenceCheck.HOLDS:
        raise Fenced(check)


def read_deployment(conn: sa.Connection) -> Deployment:
    """Read the row of the deployment."""
    row = conn.execute(sa.select(DEPLOYMENT)).mappings().one()
    return Deployment(
        stage=Stage(row["stage"]),
        new_deployment=row["new_deployment"],
        lrm_away_since_ms=row["lrm_away_since_ms"] or 0,
        highest_clock_ms=row["highest_clock_ms"],
        announced=Announced(row["announced_revision"], frozenset(json.loads(row["raised_events"]))),
    )


def write_deployment(conn: sa.Connection, change: DeploymentChange) -> None:
    """Change the row of the deployment: the stage never goes back, nor does the clock (B-10, B-32)."""
    values: dict[str, Any] = {}
    if change.lrm_seen_ms is not None:
        values["stage"] = Stage.OPERATIONAL.value
        values["first_lrm_ms"] = sa.func.coalesce(DEPLOYMENT.c.first_lrm_ms, change.lrm_seen_ms)
    if change.served_ms is not None:
        values["new_deployment"] = False
        values["first_served_ms"] = sa.func.coalesce(DEPLOYMENT.c.first_served_ms, change.served_ms)
    if change.lrm_away_since_ms is not None:
        values["lrm_away_since_ms"] = change.lrm_away_since_ms or None
    if change.clock_ms is not None:
        later = DEPLOYMENT.c.highest_clock_ms < change.clock_ms
        values["highest_clock_ms"] = sa.case((later, change.clock_ms), else_=DEPLOYMENT.c.highest_clock_ms)
    if change.announced is not None:
        values["announced_revision"] = change.announced.revision
        values["raised_events"] = json.dumps(sorted(change.announced.raised))
    if values:
        conn.execute(DEPLOYMENT.update().values(values))


def read_license(conn: sa.Connection, revision: int | None = None) -> StoredLicense | None:
    """Read one license revision, the current one by default."""
    query = sa.select(LICENSES).order_by(LICENSES.c.revision.desc()).limit(1)
    if revision is not None:
        query = query.where(LICENSES.c.revision == revision)
    row = conn.execute(query).mappings().first()
    return None if row is None else _license(row, text=bytes(row["text"]))


def read_latest_license(conn: sa.Connection) -> tuple[int, str] | None:
    """Read revision and SHA-256 of the current license."""
    query = sa.select(LICENSES.c.revision, LICENSES.c.sha256).order_by(LICENSES.c.revision.desc()).limit(1)
    row = conn.execute(query).first()
    return None if row is None else (row.revision, row.sha256)


def read_license_list(conn: sa.Connection) -> tuple[StoredLicense, ...]:
    """Read all revisions without their texts, newest first."""
    columns = [column for column in LICENSES.c if column.name != "text"]
    rows = conn.execute(sa.select(*columns).order_by(LICENSES.c.revision.desc())).mappings()
    return tuple(_license(row, text=b"") for row in rows)


def lock_licenses(conn: sa.Connection) -> None:
    """Let one upload at a time decide; on SQLite the transaction is the only one that writes anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("LOCK TABLE licenses IN SHARE ROW EXCLUSIVE MODE"))


def insert_license(conn: sa.Connection, new: NewLicense, *, revision: int) -> StoredLicense:
    """Store a text as the given revision."""
    stored = StoredLicense(revision, new.sha256, new.text, new.stored_ms, new.stored_by)
    conn.execute(LICENSES.insert().values(asdict(stored)))
    return stored


def read_sessions(conn: sa.Connection) -> tuple[Session, ...]:
    """Read all sessions."""
    rows = conn.execute(
        sa.select(SESSIONS).order_by(SESSIONS.c.application, SESSIONS.c.session_id)
    ).mappings()
    return tuple(_session(row) for row in rows)


def remove_sessions(conn: sa.Connection, ids: Iterable[SessionId]) -> None:
    """Remove sessions; ids that are not there are no error."""
    gone = list(ids)
    if gone:
        conn.execute(SESSIONS.delete().where(SESSIONS.c.session_id.in_(gone)))


def insert_sessions(conn: sa.Connection, sessions: Iterable[Session], *, lease_ttl_ms: int) -> None:
    """Add sessions; `lease_ttl_ms` is how long each lives after it was last kept, in milliseconds."""
    rows = [_session_row(session, lease_ttl_ms) for session in sessions]
    if rows:
        conn.execute(SESSIONS.insert(), rows)


def _license(row: Any, *, text: bytes) -> StoredLicense:
    return StoredLicense(row["revision"], row["sha256"], text, row["stored_ms"], row["stored_by"])


def _session(row: Any) -> Session:
    return Session(
        session_id=SessionId(row["session_id"]),
        application=row["application"],
        application_type=ApplicationType(row["application_type"]),
        dbid=row["dbid"],
        certificate=row["principal"],
        holder=Holder(row["host"], row["boot_id"], row["pid"], row["start_time_ticks"]),
        peer=row["peer"],
        opened_ms=row["opened_ms"],
        endpoints=tuple(json.loads(row["endpoints"])),
        version=row["version"],
    )


def _session_row(session: Session, lease_ttl_ms: int) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "application": session.application,
        "application_type": session.application_type.value,
        "dbid": session.dbid,
        "principal": session.certificate,
        "exclusive": not session.application_type.has_many_sessions,
        "host": session.holder.host,
        "boot_id": session.holder.boot_id,
        "pid": session.holder.pid,
        "start_time_ticks": session.holder.start_time_ticks,
        "peer": session.peer,
        "version": session.version,
        "endpoints": json.dumps(session.endpoints),
        "opened_ms": session.opened_ms,
        "lease_ttl_ms": lease_ttl_ms,
    }

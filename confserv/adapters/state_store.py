"""License, deployment and sessions in the Configuration Database: the real store behind `state_ports`.

Blocking database work runs in two threads of the store's own: one that writes, in order, and one that reads,
so that the monitor's looks never wait behind a commit. What it does not promise: any order between reads and
writes that run at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa

from confserv.adapters import state_rows as rows
from confserv.adapters.sql.database import Database
from confserv.core.license import StoredLicense
from confserv.core.sessions import Session, SessionId
from confserv.state_ports import Deployment, DeploymentChange, NewLicense, Tenure

T = TypeVar("T")


class SqlState:
    """DeploymentStore, LicenseStore and SessionStore over an open database whose schema exists."""

    def __init__(self, database: Database, *, session_ttl_s: float = 10.0) -> None:
        """Use `database`; `session_ttl_s` is the lease of a session, kept beside each."""
        self._database = database
        self._session_ttl_ms = int(session_ttl_s * 1000)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="state-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="state-reader")

    async def deployment(self) -> Deployment:
        """Read the row of the deployment."""
        return await self._read(rows.read_deployment)

    async def change_deployment(self, tenure: Tenure, change: DeploymentChange) -> None:
        """Change it under a tenure."""
        await self._write(lambda conn: rows.write_deployment(conn, change), tenure)

    async def latest_license(self) -> tuple[int, str] | None:
        """Give revision and SHA-256 of the current license."""
        return await self._read(rows.read_latest_license)

    async def license_revision(self, revision: int | None = None) -> StoredLicense | None:
        """Read one revision, the current one by default."""
        return await self._read(lambda conn: rows.read_license(conn, revision))

    async def license_revisions(self) -> tuple[StoredLicense, ...]:
        """Read every revision without its text, newest first."""
        return await self._read(rows.read_license_list)

    async def store_license(
        self, decide: Callable[[StoredLicense | None], NewLicense | None]
    ) -> StoredLicense | None:
        """Store what `decide` makes of the current license, in one transaction (B-1, B-2)."""
        return await self._write(lambda conn: _store_license(conn, decide))

    async def sessions(self) -> tuple[Session, ...]:
        """Read all sessions."""
        return await self._read(rows.read_sessions)

    async def change_sessions(
        self, tenure: Tenure, *, add: Iterable[Session] = (), remove: Iterable[SessionId] = ()
    ) -> None:
        """Remove and add sessions under a tenure (B-17)."""
        added = tuple(add)
        gone = {*remove, *(session.session_id for session in added)}

        def work(conn: sa.Connection) -> None:
            rows.remove_sessions(conn, gone)
            rows.insert_sessions(conn, added, lease_ttl_ms=self._session_ttl_ms)

        await self._write(work, tenure)

    def close(self) -> None:
        """Let both threads finish what they have and end."""
        self._writer.shutdown()
        self._reader.shutdown()

    async def _read(self, work: Callable[[sa.Connection], T]) -> T:
        def run() -> T:
            with self._database.snapshot() as conn:
                return work(conn)

        return await asyncio.get_running_loop().run_in_executor(self._reader, run)

    async def _write(self, work: Callable[[sa.Connection], T], tenure: Tenure | None = None) -> T:
        def run() -> T:
            with self._database.write() as conn:
                if tenure is not None:
                    rows.require_tenure(conn, tenure)
                return work(conn)

        return await asyncio.get_running_loop().run_in_executor(self._writer, run)


def _store_license(
    conn: sa.Connection, decide: Callable[[StoredLicense | None], NewLicense | None]
) -> StoredLicense | None:
    rows.lock_licenses(conn)
    current = rows.read_license(conn)
    new = decide(current)
    if new is None:
        return current
    return rows.insert_license(conn, new, revision=1 if current is None else current.revision + 1)

"""The journal in SQLite (one host) or PostgreSQL.

Each append is one transaction that checks the fence row first and that the journal ends where the writer
believes, so that a License Manager that lost its role can grant nothing more (B-50), and a restored database
is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from confkit.database import Database, prepare_tables
from confkit.election.types import Epoch
from confkit.fence import FenceCheck
from confkit.fence_sql import check_fence
from confkit.fence_store import SqlFence
from confkit.license.pools import PoolId
from licman.adapters.schema import HOLDINGS, JOURNAL, LICENSE, METADATA, SCHEMA_LOCK, SCHEMA_VERSION
from licman.core.model import (
    Grant,
    Handle,
    Holding,
    HoldingKey,
    LicenseText,
    Owner,
    Record,
    Release,
    Wanted,
)
from licman.ports import Fenced, Journalled, WentBack

_LAST = sa.select(sa.func.max(JOURNAL.c.number))


class SqlJournal(SqlFence):
    """Records, holdings, license and fence row in one database.

    Raises DatabaseRefused when the database is another program's, StoreUnreachable when it does not answer.
    """

    def __init__(self, database: Database) -> None:
        """Make the tables in an empty database."""
        super().__init__(database)
        prepare_tables(database, METADATA, version=SCHEMA_VERSION, lock=SCHEMA_LOCK)

    def load(self) -> Journalled:
        """See the port."""
        with self._database.snapshot() as conn:
            last = conn.execute(_LAST).scalar() or 0
            holdings = tuple(
                _holding(row) for row in conn.execute(sa.select(HOLDINGS).order_by(HOLDINGS.c.number))
            )
            found = conn.execute(sa.select(LICENSE)).first()
        license_text = None if found is None else LicenseText(found.revision, found.sha256, found.text)
        return Journalled(holdings, license_text, last)

    def append(self, records: Sequence[Record], *, epoch: Epoch, history_id: str, first: int) -> None:
        """See the port."""
        if not records:
            return
        with self._database.write() as conn:
            check = check_fence(conn, epoch=epoch, history_id=history_id)
            if check is FenceCheck.FENCED:
                raise Fenced(f"the journal no longer holds token {epoch}")
            last = conn.execute(_LAST).scalar() or 0
            if check is FenceCheck.WENT_BACK or last != first - 1:
                raise WentBack(f"the journal ends at {last} and should end at {first - 1}", last=last)
            conn.execute(JOURNAL.insert(), [_entry(n, r, epoch) for n, r in enumerate(records, start=first)])
            _apply(conn, list(enumerate(records, start=first)))


def _apply(conn: sa.Connection, numbered: Iterable[tuple[int, Record]]) -> None:
    """Bring holdings and license to where the records lead; what is granted and released at once leaves no
    row.
    """
    final: dict[HoldingKey, dict[str, Any]] = {}
    gone = set[HoldingKey]()
    for number, record in numbered:
        match record:
            case Grant(holding):
                final[holding.key] = {"number": number, **_row(holding)}
            case Release(holding):
                if final.pop(holding.key, None) is None:
                    gone.add(holding.key)
            case LicenseText():
                conn.execute(LICENSE.delete())
                conn.execute(
                    LICENSE.insert(),
                    {"id": 1, "revision": record.revision, "sha256": record.sha256, "text": record.text},
                )
    if gone:
        where = sa.and_(HOLDINGS.c.owner == sa.bindparam("o"), HOLDINGS.c.handle == sa.bindparam("h"))
        conn.execute(HOLDINGS.delete().where(where), [{"o": owner, "h": handle} for owner, handle in gone])
    if final:
        conn.execute(HOLDINGS.insert(), list(final.values()))


def _entry(number: int, record: Record, epoch: Epoch) -> dict[str, Any]:
    common = {
        "number": number,
        "generation": epoch.generation,
        "mod_revision": epoch.mod_revision,
        "reason": "",
        "license_revision": 0,
    }
    match record:
        case Grant(holding):
            return {**common, "kind": "OUT", "at_ms": holding.granted_ms, **_row(holding)}
        case Release(holding, reason, at_ms):
            return {**common, "kind": "IN", "at_ms": at_ms, **_row(holding), "reason": reason.value}
        case LicenseText(revision):
            return {**common, "kind": "LICENSE", "at_ms": 0, **_NOBODY, "license_revision": revision}


def _row(holding: Holding) -> dict[str, Any]:
    wanted = holding.wanted
    return {
        "owner": wanted.owner,
        "handle": wanted.handle,
        "feature": wanted.feature,
        "version": wanted.version,
        "count": wanted.count,
        "user": wanted.user,
        "host": wanted.host,
        "display": wanted.display,
        "tenant": wanted.tenant,
        "pool_id": holding.pool_id,
        "is_counted": holding.is_counted,
        "is_overdraft": holding.is_overdraft,
        "granted_ms": holding.granted_ms,
    }


_NOBODY = _row(Holding(Wanted(Owner(""), Handle(""), "", "", 0), PoolId(""), 0))


def _holding(row: sa.Row[Any]) -> Holding:
    wanted = Wanted(
        Owner(row.owner),
        Handle(row.handle),
        row.feature,
        row.version,
        row._mapping["count"],
        row.user,
        row.host,
        row.display,
        row.tenant,
    )
    return Holding(wanted, PoolId(row.pool_id), row.granted_ms, row.is_counted, row.is_overdraft)

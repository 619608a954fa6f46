"""The usage store, open in a DuckDB file.

Commits are durable when they return: DuckDB syncs its log. One thread writes; reports read beside it from
cursors of their own, each seeing the store as it was when its query began.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from confkit.election.ports import StoreUnreachable
from confkit.election.types import History
from confkit.fence import FenceCheck, FenceRow, check_write
from lrm.adapters import duckdb_sql as sql
from lrm.adapters.duckdb_rows import (
    batch_table,
    entitlement_line,
    fact_table,
    id_order,
    line_values,
    stored_fact,
)
from lrm.adapters.fence_record import from_text, to_text
from lrm.core.entitlement import Entitlement, EntitlementHeader, EntitlementLine, EntitlementRevision
from lrm.core.ingest import Batch, BatchResult, Known, Plan, SessionKey, key_of, plan_commit
from lrm.core.intervals import DAY_S, Peak, Period, Steps, running_total
from lrm.core.report import SYSTEM, PeakQuery, PeakRow
from lrm.core.sessions import ItemName, SessionFact, SourceId, TenantName
from lrm.ports import StoreFenced, StoreWentBack

if TYPE_CHECKING:
    from collections.abc import Iterator


_INTERRUPT_AGAIN_S = 0.02
"""A query that has not begun yet does not notice that it was interrupted, so it is told again, in seconds."""


class DuckDbStore:
    """An open DuckDB file."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, row: FenceRow, *, session_timeout_ms: int
    ) -> None:
        self._connection = connection
        self._session_timeout_ms = session_timeout_ms
        self._row = row
        self._record = to_text(row)
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
        self._idle = threading.Condition()
        self._closed = False
        [(self._ingest_number,)] = connection.execute("select ingest_number from progress").fetchall()
        last = connection.execute("select source, max(sequence) from batch group by source").fetchall()
        self._last_sequences = {SourceId(source): sequence for source, sequence in last}
        clocks = connection.execute("select source, latest_ms from source").fetchall()
        self._clocks = {SourceId(source): latest_ms for source, latest_ms in clocks}

    def commit(self, batches: Sequence[Batch], *, received_ms: int) -> tuple[BatchResult, ...]:
        """Take batches in one transaction: look up, decide in the core, write columns."""
        with self._writing() as connection:
            rows, sessions = self._known_sessions(batches)
            known = Known(
                sessions=sessions,
                digests=self._known_digests(batches),
                last_sequences=self._last_sequences,
                ingest_number=self._ingest_number,
                clocks=self._clocks,
            )
            plan = plan_commit(batches, known, received_ms=received_ms)
            self._write(connection, plan, rows, received_ms=received_ms)
        self._ingest_number = plan.ingest_number
        self._clocks.update(plan.clocks)
        self._last_sequences.update({batch.source: batch.sequence for batch in plan.taken})
        return plan.results

    def _known_sessions(
        self, batches: Sequence[Batch]
    ) -> tuple[dict[SessionKey, int], dict[SessionKey, SessionFact]]:
        facts = [fact for batch in batches for fact in batch.facts]
        if not facts:
            return {}, {}
        ids = [fact.id for fact in facts]
        incoming = pa.table({"source": [fact.source for fact in facts], "id": ids})
        bounds = {"first": id_order(min(ids)), "last": id_order(max(ids))}
        with _registered(self._connection, "incoming", incoming):
            found = [row for (row,) in self._connection.execute(sql.KNOWN_ROWS, bounds).fetchall()]
        if not found:
            return {}, {}
        stored = self._connection.execute(sql.KNOWN_FACTS, {"rows": found}).fetchall()
        sessions = {key_of(fact): (row, fact) for row, fact in map(stored_fact, stored)}
        return {key: row for key, (row, _) in sessions.items()}, {
            key: fact for key, (_, fact) in sessions.items()
        }

    def _known_digests(self, batches: Sequence[Batch]) -> dict[tuple[SourceId, int], bytes]:
        repeated = [each for each in batches if each.sequence <= self._last_sequences.get(each.source, 0)]
        if not repeated:
            return {}
        found = self._connection.execute(
            "select b.source, b.sequence, b.digest from batch b "
            "where (b.source, b.sequence) in (select unnest($sources), unnest($sequences))",
            {
                "sources": [each.source for each in repeated],
                "sequences": [each.sequence for each in repeated],
            },
        ).fetchall()
        return {(SourceId(source), sequence): digest for source, sequence, digest in found}

    def _write(
        self,
        connection: duckdb.DuckDBPyConnection,
        plan: Plan,
        rows: dict[SessionKey, int],
        *,
        received_ms: int,
    ) -> None:
        changed = [rows[key] for stored in plan.stored if (key := key_of(stored.fact)) in rows]
        if changed:
            connection.execute("delete from fact where rowid in (select unnest($rows))", {"rows": changed})
        for statement, numbered in (
            (sql.INSERT_FACTS, [(each.ingest_number, each.fact) for each in plan.stored]),
            (sql.INSERT_REPLACED, [(each.replaced_by, each.fact) for each in plan.replaced]),
        ):
            if numbered:
                with _registered(connection, "outgoing", fact_table(numbered)):
                    connection.execute(statement)
        if plan.taken:
            taken = batch_table(plan, received_ms=received_ms)
            with _registered(connection, "outgoing", taken):
                connection.execute("insert into batch select * from outgoing")
        for source, latest_ms in plan.clocks.items():
            connection.execute("delete from source where source = ?", [source])
            connection.execute("insert into source values (?, ?)", [source, latest_ms])
        if plan.ingest_number != self._ingest_number:
            connection.execute("update progress set ingest_number = $number", {"number": plan.ingest_number})

    def save_entitlement(self, revision: EntitlementRevision) -> None:
        """Keep a revision with its lines."""
        number = {"number": revision.license_revision}
        header = revision.header
        with self._writing() as connection:
            connection.execute("delete from entitlement_line where license_revision = $number", number)
            connection.execute("delete from entitlement_revision where license_revision = $number", number)
            connection.execute(
                "insert into entitlement_revision values (?, ?, ?, ?, ?, ?)",
                [
                    revision.license_revision,
                    revision.license_sha256,
                    revision.effective_s,
                    header.customer,
                    header.site,
                    header.issued,
                ],
            )
            for position, line in enumerate(revision.lines):
                values = [revision.license_revision, position, *line_values(line)]
                connection.execute(
                    "insert into entitlement_line values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
                )

    def entitlement(self) -> Entitlement:
        """All revisions that are kept."""
        with self._reading() as cursor:
            found = cursor.execute(
                "select license_revision, item, quantity, burst, kind, unit, order_number, description, "
                "valid_from_s, valid_until_s from entitlement_line order by license_revision, position"
            ).fetchall()
            revisions = cursor.execute("from entitlement_revision").fetchall()
        lines: dict[int, list[EntitlementLine]] = {}
        for number, *values in found:
            lines.setdefault(number, []).append(entitlement_line(values))
        return Entitlement(
            tuple(
                EntitlementRevision(
                    number, sha256, effective_s, EntitlementHeader(*header), tuple(lines.get(number, ()))
                )
                for number, sha256, effective_s, *header in revisions
            )
        )

    def peaks(self, query: PeakQuery) -> list[PeakRow]:
        """Peaks by one query over the sessions that touch the days."""
        from_s = query.first_day * DAY_S
        until_s = min((query.last_day + 1) * DAY_S, query.as_of_s)
        if until_s <= from_s:
            return []
        with self._reading() as cursor:
            found = cursor.execute(
                sql.PEAKS, self._asked(from_s, until_s, tenant=query.tenant, item=query.item)
            ).fetchall()
        return [
            PeakRow(TenantName(tenant), ItemName(item), day, Peak(value, at_s, seconds), sessions)
            for tenant, item, day, value, at_s, seconds, sessions in found
        ]

    def use_of(self, tenant: TenantName, item: ItemName, period: Period) -> Steps:
        """Concurrency from what changes when, summed up in the core."""
        asked = self._asked(
            period.start_s, period.end_s, tenant=None if tenant == SYSTEM else tenant, item=item
        )
        with self._reading() as cursor:
            found = cursor.execute(sql.USE, asked).fetchall()
        return running_total(dict(found), period)

    def _asked(
        self, from_s: int, until_s: int, *, tenant: TenantName | None, item: ItemName | None
    ) -> dict[str, Any]:
        return {
            "from_s": from_s,
            "until_s": until_s,
            "tenant": tenant,
            "item": item,
            "timeout_ms": self._session_timeout_ms,
        }

    def check(self) -> FenceCheck:
        """Judge the row in the file by the rules of every store."""
        with self._reading() as cursor:
            row = fence_in(cursor)
        return check_write(row, epoch=self._row.token, history_id=self._row.history_id)

    def history(self) -> History:
        """The history id and the number of the last fact."""
        return History(self._row.history_id, self._ingest_number)

    def close(self) -> None:
        """Break off what still reads, write the log into the file and release the file's lock."""
        with self._idle:
            self._closed = True
            while self._cursors:
                for cursor in self._cursors:
                    cursor.interrupt()
                self._idle.wait(_INTERRUPT_AGAIN_S)
        self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            with transaction(self._connection):
                found = self._connection.execute(
                    "select record, ingest_number from fence, progress"
                ).fetchall()
                if found != [(self._record, self._ingest_number)]:
                    raise self._lost(found)
                yield self._connection
        except duckdb.Error as error:
            raise StoreUnreachable(f"the usage store did not take a write: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._idle:
            if self._closed:
                raise StoreUnreachable("the usage store was closed")
            cursor = self._connection.cursor()
            self._cursors.add(cursor)
        try:
            yield cursor
        except duckdb.Error as error:
            raise StoreUnreachable(f"the usage store could not be read: {error}") from error
        finally:
            cursor.close()
            with self._idle:
                self._cursors.discard(cursor)
                self._idle.notify_all()

    def _lost(self, found: list[Any]) -> Exception:
        row = from_text(found[0][0]) if found else None
        check = check_write(row, epoch=self._row.token, history_id=self._row.history_id)
        if check is FenceCheck.FENCED and row is not None:
            return StoreFenced(f"the usage store is held by {row.instance} under {row.token}")
        return StoreWentBack("the usage store is not as this process left it: it was replaced or restored")


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """One transaction: committed at the end of the block, rolled back by any exception."""
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


@contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[None]:
    connection.register(name, table)
    try:
        yield
    finally:
        connection.unregister(name)


def fence_in(connection: duckdb.DuckDBPyConnection) -> FenceRow | None:
    """The fence row in the file."""
    found = connection.execute("select record from fence").fetchall()
    return from_text(found[0][0]) if found else None


def set_fence(connection: duckdb.DuckDBPyConnection, row: FenceRow) -> None:
    """Put a row in the place of the one in the file, inside the caller's transaction."""
    connection.execute("delete from fence")
    connection.execute("insert into fence values (?)", [to_text(row)])

"""A DuckDB file as the place of the usage store, for one host.

A DuckDB file belongs to one process at a time, so the file's lock keeps a second writer out even before the
fence row does; the row is checked all the same, since the file may have been replaced under the process. A
copy of the row lies beside the file (`….fence`), because a backup has to read it while the primary has the
file open. The copy is written after the row: it may be behind it, never before it, and decides nothing.

Not promised: service over hosts, for which there is PostgreSQL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from confkit.election.ports import StoreUnreachable
from confkit.fence import FenceRow
from lrm.adapters import duckdb_sql as sql
from lrm.adapters.duckdb_store import DuckDbStore, fence_in, set_fence, transaction
from lrm.adapters.fence_record import from_text, to_text
from lrm.core.closing import DEFAULT_TIMEOUT_MS
from lrm.ports import StoreLocked

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK_REFUSED = "Could not set lock on file"
# A long report spills to disk beside the file rather than take the machine's memory.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "checkpoint_threshold": "256MB",
    "memory_limit": "2GB",
}
_HOLDER_PID = re.compile(r"PID (\d+)")


class DuckDbVault:
    """A DuckDB file and the copy of its fence row.

    `session_timeout_ms` is the silence after which a session that was never ended is over, in milliseconds.
    """

    def __init__(self, path: Path, *, session_timeout_ms: int = DEFAULT_TIMEOUT_MS) -> None:
        self._path = path
        self._session_timeout_ms = session_timeout_ms
        self._copy_path = path.with_name(path.name + ".fence")

    def read_fence(self) -> FenceRow | None:
        """The row as its copy has it; the file itself is asked only when there is no copy."""
        try:
            return from_text(self._copy_path.read_text())
        except FileNotFoundError:
            return self._read_fence_in_file() if self._path.exists() else None
        except (OSError, ValueError) as error:
            raise StoreUnreachable(f"cannot read {self._copy_path}: {error}") from error

    def _read_fence_in_file(self) -> FenceRow | None:
        try:
            with _connected(self._path) as connection:
                return fence_in(connection)
        except StoreLocked as error:
            raise StoreUnreachable(str(error)) from error

    def replace_fence(self, expected: FenceRow, replacement: FenceRow) -> bool:
        """Compare and set the row."""
        with _connected(self._path) as connection, transaction(connection):
            found = fence_in(connection)
            if found == expected:
                set_fence(connection, replacement)
        self._publish(replacement if found == expected else found)
        return found == expected

    def open(self, next_row: Callable[[FenceRow | None], FenceRow]) -> DuckDbStore:
        """Open the file, make what tables it lacks, raise the row."""
        connection = _connect(self._path)
        try:
            with transaction(connection):
                found = fence_in(connection)
                self._publish(found)
                row = next_row(found)
                set_fence(connection, row)
            self._publish(row)
            return DuckDbStore(connection, row, session_timeout_ms=self._session_timeout_ms)
        except BaseException:
            connection.close()
            raise

    def _copy_is(self, row: FenceRow) -> bool:
        try:
            return self._copy_path.read_text() == to_text(row)
        except OSError:
            return False

    def _publish(self, row: FenceRow | None) -> None:
        """Write the copy; also when a row was only found, because a crash may have left the copy behind it."""
        if row is None or self._copy_is(row):
            return
        new_path = self._copy_path.with_name(self._copy_path.name + ".new")
        try:
            with new_path.open("w") as file:
                file.write(to_text(row))
                file.flush()
                os.fsync(file.fileno())
            new_path.replace(self._copy_path)
        except OSError as error:
            raise StoreUnreachable(f"cannot write {self._copy_path}: {error}") from error


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(path), config=CONFIG)
    except duckdb.IOException as error:
        if _LOCK_REFUSED not in str(error):
            raise StoreUnreachable(f"cannot open {path}: {error}") from error
        holder = _HOLDER_PID.search(str(error))
        pid = int(holder[1]) if holder else None
        raise StoreLocked(f"{path} is open in another process (pid {pid})", holder_pid=pid) from error
    except duckdb.Error as error:
        raise StoreUnreachable(f"cannot open {path}: {error}") from error
    connection.execute(sql.SCHEMA)
    return connection


@contextmanager
def _connected(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = _connect(path)
    try:
        yield connection
    finally:
        connection.close()

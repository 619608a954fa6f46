"""`confserv -license FILE`: verifies a license and stores it in the Configuration Database, with no server's help.

It creates the schema in an empty database and never changes one that exists (B-2).
"""

from __future__ import annotations

import asyncio
import getpass
import pathlib
import socket
import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from confkit.clock import wall_ms
from confkit.election.ports import StoreUnreachable
from confkit.license.files import read_trust_set
from confkit.license.findings import LicenseError
from confkit.license.lines import MAX_FILE_BYTES
from confkit.process import ExitStatus
from confserv.adapters.sql.database import DatabaseRefused, prepare_schema
from confserv.adapters.state_store import SqlState
from confserv.app import open_configured_database
from confserv.service.upload import Loaded, Upload, UploadRefused, check_upload, load_license
from confserv.settings import UploadSettings


def upload(
    settings: UploadSettings, file: pathlib.Path, *, accept_expired: bool, accept_older: bool
) -> ExitStatus:
    """Load a license file, say what was stored, and give the exit status (B-1, B-3)."""
    try:
        loaded = asyncio.run(
            _upload(settings, file, accept_expired=accept_expired, accept_older=accept_older)
        )
    except (UploadRefused, LicenseError, DatabaseRefused) as error:
        return _fail(str(error), ExitStatus.REFUSED)
    except StoreUnreachable as error:
        why = " ".join(str(error).split())
        message = f"cannot reach the database: {why}; check `database` in the settings, and that it runs"
        return _fail(message, ExitStatus.FAILED)
    _print(loaded)
    return ExitStatus.DONE


async def _upload(
    settings: UploadSettings, file: pathlib.Path, *, accept_expired: bool, accept_older: bool
) -> Loaded:
    trust = read_trust_set(settings.trust)
    text, now = _read(file), datetime.now(UTC)
    wanted = Upload(text, str(file), _who(), accept_expired=accept_expired, accept_older=accept_older)
    check_upload(wanted, trust=trust, now=now)  # before an empty database gets its schema
    database = open_configured_database(settings)
    await asyncio.to_thread(prepare_schema, database, now_ms=wall_ms())
    state = SqlState(database)
    try:
        return await load_license(state, wanted, trust=trust, now=now)
    finally:
        state.close()
        database.close()


def _read(file: pathlib.Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = (
            f"{file}:1:1: error: cannot read the file: {reason} [UNREADABLE]; check the path and its rights"
        )
        raise UploadRefused(message, {"source": str(file), "reason": "UNREADABLE"}) from None


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except OSError:
        return f"unknown@{socket.gethostname()}"


def _fail(message: str, status: ExitStatus) -> ExitStatus:
    print(f"confserv: {message}", file=sys.stderr)  # noqa: T201 - a command answers
    return status


def _print(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        print(f"confserv: {warning}", file=sys.stderr)  # noqa: T201 - a command answers
    stored = loaded.stored
    what = "is now current" if loaded.changed else "was current already: nothing changed"
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"license revision {stored.revision} {what}")
    console.print(f"SHA-256 {stored.sha256}")
    table = Table("feature", "version", "count", "expires", "kind", box=None, pad_edge=False)
    for row in loaded.terms.rows():
        table.add_row(
            row.feature,
            row.version,
            "uncounted" if row.count is None else str(row.count),
            "permanent" if row.expires_on is None else row.expires_on.isoformat(),
            "sellable item" if row.is_item else "technical key",
        )
    console.print(table)

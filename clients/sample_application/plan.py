"""What the sample application is told to do, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from confapi.config.v1 import objects_pb2
from confclient.credentials import TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of the application.

    Attributes:
        endpoints: Configuration Servers, host:port.
        tls: certificate whose name is `application`.
        application: name of its Application object.
        application_type: type that it claims.
        spool_dir: where usage and log events wait; None: in memory.
        run_for_s: end after so many seconds; 0: when told to.
        session_timeout_s: how long to wait for a session, in seconds; None: as long as it takes.
        follow: print every transaction.
        write_every_s: write an own option each so many seconds; 0: never.
        tenant, item, seats: use `item` for `tenant` on so many seats while running; no item: none.
        feature, count: check so many licenses out while running; no feature: none.
        log_text: log one event with this text; empty: none.
    """

    endpoints: tuple[str, ...]
    tls: TlsFiles
    application: str
    application_type: objects_pb2.ApplicationType
    spool_dir: Path | None = None
    run_for_s: float = 0.0
    session_timeout_s: float | None = None
    follow: bool = False
    write_every_s: float = 0.0
    tenant: str = "Environment"
    item: str = ""
    seats: int = 1
    feature: str = ""
    count: int = 1
    log_text: str = ""

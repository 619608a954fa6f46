"""Settings of the License Reporting Manager."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from confkit.settings import ProcessSettings


class LrmSettings(ProcessSettings):
    """What a License Reporting Manager can be told, besides what every process can.

    Attributes:
        database: DuckDB file that both members of a pair can open; default: `usage.duckdb` in `data_dir`.
        trust: file of trusted vendor keys; without it the signatures of the license are left to the
        Configuration
            Server.
        several_hosts: the pair runs on several hosts, which a DuckDB file cannot serve: refused.
        license_check_s: how often its license copy is compared with the server's (`B-26`), in seconds.
        session_timeout_s: silence after which a session that was never ended is taken to be over, in seconds.
        longest_report_days: most days that one report may cover.
    """

    database: Path | None = None
    trust: Path | None = None
    several_hosts: bool = False
    license_check_s: float = Field(default=60.0, gt=0, le=3600)
    session_timeout_s: int = Field(default=900, ge=1)
    longest_report_days: int = Field(default=1100, ge=1)

    @property
    def store_file(self) -> Path:
        """Where the usage store is."""
        return self.database if self.database is not None else self.data_dir / "usage.duckdb"

"""Settings of a Configuration Server, beside those that every process has."""

from __future__ import annotations

import pathlib

from pydantic import BaseModel, ConfigDict, Field

from confkit.settings import ProcessSettings, TlsSettings
from confserv.core.binding import BindingRules
from confserv.core.compliance import ComplianceRules


class DatabaseTlsSettings(BaseModel):
    """PEM files for a PostgreSQL over TCP: its authority, and a client certificate if it asks for one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: pathlib.Path
    certificate: pathlib.Path | None = None
    key: pathlib.Path | None = None


class ConfservSettings(ProcessSettings):
    """What `confserv` can be told.

    Attributes:
        database: URL of the Configuration Database, sqlite:///FILE or postgresql://….
        database_tls: files for a PostgreSQL over TCP.
        trust: file of the vendor keys that are trusted (TOML).
        several_hosts: members of the pair run on several hosts, which SQLite cannot serve.
        session_ttl_s: how long a session lives after it was last kept.
        license_log_interval_s: how often an expired license is logged (B-30).
        license_poll_s: how often the database is asked for a new license revision (B-31).
        license_warning_days: how many days before an expiry it is warned of (B-32).
        lrm_connect_timeout_s: how long after becoming primary no LRM is normal (B-23).
        lrm_absence_warning_s: after what absence of LRM compliance warns (B-24).
        lrm_monitoring: whether connections of LRM are logged (B-21).
        handover_timeout_s: within what time a planned switchover must be ready, or is given up.
        obey_failpoints: whether the environment CONFSERV_FAILPOINTS is obeyed; for tests of faults.
    """

    database: str = Field(min_length=1)
    database_tls: DatabaseTlsSettings | None = None
    trust: pathlib.Path
    several_hosts: bool = False
    session_ttl_s: float = Field(default=10, ge=1, le=3600)
    license_log_interval_s: float = Field(default=60, gt=0)
    license_poll_s: float = Field(default=0.5, gt=0, le=5)
    license_warning_days: tuple[int, ...] = (30, 7, 1)
    lrm_connect_timeout_s: float = Field(default=30, ge=0)
    lrm_absence_warning_s: float = Field(default=86_400, gt=0)
    lrm_monitoring: bool = True
    handover_timeout_s: float = Field(default=5, gt=0, le=60)
    obey_failpoints: bool = False

    def compliance_rules(self) -> ComplianceRules:
        """The rules of the compliance monitor."""
        return ComplianceRules(
            log_interval_s=self.license_log_interval_s,
            warning_days=self.license_warning_days,
            absence_warning_s=self.lrm_absence_warning_s,
        )

    def binding_rules(self) -> BindingRules:
        """The rules of the bond with LRM."""
        return BindingRules(connect_timeout_s=self.lrm_connect_timeout_s, monitoring=self.lrm_monitoring)


class UploadSettings(ConfservSettings):
    """What `confserv -license` looks at: database and trusted keys; certificates are not needed (B-1)."""

    name: str = "confserv"
    tls: TlsSettings | None = None  # type: ignore[assignment]  # narrower on purpose: the upload talks to nobody

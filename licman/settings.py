"""Settings of a License Manager, beside those that every process has."""

from __future__ import annotations

from pydantic import Field

from confkit.store_settings import StoreSettings


class LicmanSettings(StoreSettings):
    """What `licman` can be told.

    Attributes:
        heartbeat_timeout_s: how long a holder may be silent, in seconds, before what it holds is freed.
    """

    heartbeat_timeout_s: float = Field(default=30, ge=1, le=86_400)

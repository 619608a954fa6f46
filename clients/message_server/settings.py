"""Settings of a Message Server: those of every server with a database, and no others yet."""

from __future__ import annotations

from confkit.store_settings import StoreSettings


class MessageServerSettings(StoreSettings):
    """What `message-server` can be told."""

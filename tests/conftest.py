"""Fixtures that any test may ask for."""

from __future__ import annotations

from tests.support.postgresql import postgresql_server

__all__ = ["postgresql_server"]

"""Free ports for servers that tests start."""

from __future__ import annotations

from confcluster.ports import free_ports

__all__ = ["free_ports"]

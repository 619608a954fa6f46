"""Leases and member keys in etcd, over one warm connection."""

from __future__ import annotations

from collections.abc import Sequence

from confkit.election.etcd import EtcdCoordination
from confkit.election.etcd_client import EtcdClient
from confkit.election.types import LeaseId, Member


class EtcdLeases:
    """Revokes leases and reads members of one cluster."""

    def __init__(self, client: EtcdClient, *, cluster: str) -> None:
        self._client = client
        self._cluster = cluster

    async def revoke(self, lease_id: int) -> None:
        """Revoke a lease."""
        await self._client.revoke(LeaseId(lease_id))

    async def members(self, component: str) -> Sequence[Member]:
        """Give the registered members of a component."""
        view = await EtcdCoordination(self._client, cluster=self._cluster, component=component).view()
        return view.members

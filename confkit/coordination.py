"""The etcd of a process's settings, as the election of one component needs it."""

from __future__ import annotations

import asyncio

import grpc

from confkit.clock import boottime
from confkit.election.etcd import EtcdCoordination
from confkit.election.etcd_client import EtcdClient
from confkit.election.ports import Coordination, CoordinationUnavailable
from confkit.election.timing import Timing
from confkit.settings import EtcdSettings, ProcessSettings, SettingsError

_RETRY_S = 0.2


def etcd_client(settings: EtcdSettings) -> EtcdClient:
    """Connect to etcd; inside the event loop that uses it. Close it there.

    Raises:
        SettingsError: a file that the settings name cannot be read, or some of the TLS files are missing.
    """
    return EtcdClient(
        settings.endpoints,
        credentials=_credentials(settings),
        timeout_s=Timing(lease_ttl_s=settings.lease_ttl_s).timeout_s,
        username=settings.username or None,
        password=_password(settings),
    )


def coordination(settings: ProcessSettings, client: EtcdClient, *, component: str) -> EtcdCoordination:
    """The election of `component` (confserv, lrm, …) in the cluster of the settings."""
    return EtcdCoordination(client, cluster=settings.cluster, component=component)


async def reach_etcd(coordination: Coordination, settings: EtcdSettings, *, patience_s: float = 10.0) -> None:
    """Return once etcd answers: a server that starts without it should say so, not wait in silence (B-60).

    Raises:
        CoordinationUnavailable: it has not answered for `patience_s` seconds.
        CoordinationRefused: it answers, and refuses this server.
    """
    deadline_s = boottime() + patience_s
    while True:
        try:
            await coordination.view()
        except CoordinationUnavailable as error:
            if boottime() >= deadline_s:
                where = ", ".join(settings.endpoints)
                raise CoordinationUnavailable(
                    f"cannot reach etcd at {where}: {error}; check etcd.endpoints, and that it runs"
                ) from None
            await asyncio.sleep(_RETRY_S)
        else:
            return


def _credentials(settings: EtcdSettings) -> grpc.ChannelCredentials | None:
    if settings.ca is None:
        return None
    if (settings.certificate is None) != (settings.key is None):
        raise SettingsError("etcd.certificate and etcd.key belong together: set both, or none")
    try:
        ca = settings.ca.read_bytes()
        key = settings.key.read_bytes() if settings.key is not None else None
        certificate = settings.certificate.read_bytes() if settings.certificate is not None else None
    except OSError as error:
        raise SettingsError(
            f"etcd: cannot read {error.filename}: {error.strerror}; check the paths"
        ) from None
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _password(settings: EtcdSettings) -> str | None:
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"etcd.password_file: cannot read {settings.password_file}: {error.strerror}"
        ) from None

"""TLS on every connection: certificates from files, both ends proved, no switch that turns it off."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import grpc.aio

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest message that is sent or accepted, in bytes."""

_CHANNEL_OPTIONS: Sequence[tuple[str, int | str]] = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),  # what may be repeated is decided by the library, not by the transport
    ("grpc.use_local_subchannel_pool", 1),
    # a proxy of the environment must never see, or answer for, a server of the cluster
    ("grpc.enable_http_proxy", 0),
)


class CredentialsError(Exception):
    """A certificate file is missing or unreadable; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: the authority that is trusted, and the own certificate with its key."""

    ca: pathlib.Path
    certificate: pathlib.Path
    key: pathlib.Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Contents of authority, certificate and key.

        Raises:
            CredentialsError: one of the files cannot be read.
        """
        return _read(self.ca), _read(self.certificate), _read(self.key)


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CredentialsError(
            f"cannot read the certificate file {path}: {error.strerror}; check the tls settings"
        ) from error


def channel_credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Credentials of a client: trusts the authority, proves itself with its certificate."""
    ca, certificate, key = tls.read()
    return grpc.ssl_channel_credentials(ca, key, certificate)


def server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Credentials of a server: a client without a certificate of the authority is refused."""
    ca, certificate, key = tls.read()
    return grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)


def open_channel(endpoint: str, tls: TlsFiles) -> grpc.aio.Channel:
    """A channel to one server, which connects at once, and again every 50 to 200 ms after a loss.

    Args:
        endpoint: host:port.
        tls: the client's files.
    """
    return grpc.aio.secure_channel(endpoint, channel_credentials(tls), options=list(_CHANNEL_OPTIONS))

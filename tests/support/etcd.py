"""A real etcd for tests, plain or with TLS both ways, with the verbs that faults need."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from confclient.credentials import channel_credentials
from confcluster.etcd import EtcdMember, EtcdTls, command, find_etcd, wait_ready
from confcluster.pki import CertificateAuthority
from tests.support.ports import free_ports

CLUSTER = "test"


@dataclass
class LocalEtcd:
    """One member; `credentials` are a client's, None for a plain one."""

    member: EtcdMember
    others: tuple[EtcdMember, ...] = ()
    credentials: grpc.ChannelCredentials | None = None
    strangers: grpc.ChannelCredentials | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        """host:port for clients."""
        return self.member.client_endpoint

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        wait_ready([self.endpoint], credentials=self.credentials)

    def launch(self) -> None:
        """Start it without waiting: it may need others."""
        self._process = subprocess.Popen(
            command(find_etcd(), self.member, [self.member, *self.others]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """Kill it; its data stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Lose all data and start anew."""
        self.kill()
        shutil.rmtree(self.member.data_dir)
        self.start()


@contextmanager
def running_etcd(directory: Path, *, tls: bool = False) -> Iterator[LocalEtcd]:
    """Run one member below `directory` for a while."""
    client_port, peer_port = free_ports(2)
    files = credentials = strangers = None
    if tls:
        authority = CertificateAuthority.create(directory / "pki")
        own = authority.issue("confserv", "etcd", cluster=CLUSTER)
        files = EtcdTls(own.ca, own.certificate, own.key)
        credentials = channel_credentials(authority.issue("confserv", "client", cluster=CLUSTER))
        other = CertificateAuthority.create(directory / "other")
        stranger = other.issue("confserv", "stranger", cluster=CLUSTER)
        strangers = grpc.ssl_channel_credentials(
            own.ca.read_bytes(), stranger.key.read_bytes(), stranger.certificate.read_bytes()
        )
    member = EtcdMember("etcd-1", directory / "data", client_port, peer_port, tls=files)
    etcd = LocalEtcd(member, (), credentials, strangers)
    try:
        etcd.start()
        yield etcd
    finally:
        etcd.kill()


@contextmanager
def running_cluster(directory: Path, *, size: int) -> Iterator[list[LocalEtcd]]:
    """Run a cluster of plain members below `directory` for a while."""
    ports = free_ports(2 * size)
    members = [
        EtcdMember(f"etcd-{n}", directory / f"data-{n}", ports[2 * n], ports[2 * n + 1]) for n in range(size)
    ]
    etcds = [LocalEtcd(one, tuple(other for other in members if other is not one)) for one in members]
    try:
        for etcd in etcds:
            etcd.launch()
        wait_ready([etcd.endpoint for etcd in etcds], timeout_s=60.0)
        yield etcds
    finally:
        for etcd in etcds:
            etcd.kill()

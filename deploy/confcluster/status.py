"""What each process of a local cluster is doing: whether it runs, and what it says of itself when asked.

The launcher's own view for people and scripts; `confctl status` is the operator's, and knows more. Nothing here
changes anything, and a process that does not answer within a second is shown as one that does not.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confclient.credentials import TlsFiles, channel_credentials
from confcluster.cluster import Cluster
from confcluster.process import ProcessHandle

_ANSWER_S = 1.0
_OPTIONS = (("grpc.enable_http_proxy", 0),)
_ELECTED = frozenset({"confserv", "lrm", "licman", "message-server", "solution-control"})


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process. `state` is running, paused or stopped; `role` and `token` are empty where there is none."""

    name: str
    component: str
    state: str
    pid: int | None
    role: str
    token: str
    endpoints: tuple[str, ...]
    log: str

    def to_json(self) -> dict[str, Any]:
        """The same for scripts."""
        return asdict(self)


def statuses(cluster: Cluster) -> list[ProcessStatus]:
    """The status of every process, in the order of start."""
    tls = cluster.tls("administrator")
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda handle: _status(handle, tls), cluster.handles.values()))


def _status(handle: ProcessHandle, tls: TlsFiles) -> ProcessStatus:
    state = _state(handle)
    role, token = "", ""
    if state == "running" and handle.config.component in _ELECTED:
        role, token = ask(handle.config.endpoints[0], tls)
    return ProcessStatus(
        name=handle.name,
        component=handle.config.component,
        state=state,
        pid=handle.key.pid if handle.key and state != "stopped" else None,
        role=role,
        token=token,
        endpoints=handle.config.endpoints,
        log=str(handle.config.log),
    )


def _state(handle: ProcessHandle) -> str:
    if handle.is_paused():
        return "paused"
    return "running" if handle.is_running() else "stopped"


def ask(endpoint: str, tls: TlsFiles) -> tuple[str, str]:
    """Role and token of the server at `endpoint`; "no answer" when it does not answer within a second.

    It blocks, so that it can be asked from any thread beside an event loop that has clients of its own.
    """
    with grpc.secure_channel(endpoint, channel_credentials(tls), options=_OPTIONS) as channel:
        try:
            answer = ha_pb2_grpc.MemberServiceStub(channel).GetStatus(
                ha_pb2.GetStatusRequest(), timeout=_ANSWER_S
            )
        except grpc.RpcError:
            return "no answer", ""
    role = ha_pb2.Role.Name(answer.self.role).removeprefix("ROLE_").lower()
    token = f"{answer.epoch.generation}.{answer.epoch.mod_revision}" if answer.HasField("epoch") else ""
    return role, token

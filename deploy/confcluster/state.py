"""What a local cluster remembers of itself: `cluster.json`, the file that tools read to find its parts.

It is written whole or not at all, so that a reader never meets half of it. Others may read `cluster`, `dir`,
`processes`, `endpoints`, `tls`, `etcd` and `database`; the rest is the launcher's own.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from confcluster.process import ProcessKey

FILE = "cluster.json"


class StateError(Exception):
    """There is no cluster in the directory, or its file cannot be read; says what to do."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process as `cluster.json` shows it; `key` is None before its first start."""

    component: str
    command: tuple[str, ...]
    log: str
    endpoints: tuple[str, ...] = ()
    key: ProcessKey | None = None


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A cluster as `cluster.json` shows it."""

    cluster: str
    directory: str
    processes: Mapping[str, ProcessRecord]
    endpoints: Mapping[str, tuple[str, ...]]
    tls: Mapping[str, Any]
    etcd: tuple[str, ...]
    database: str
    options: Mapping[str, Any] = field(default_factory=dict)
    ports: tuple[int, ...] = ()

    def with_process(self, name: str, key: ProcessKey) -> ClusterState:
        """The same with a process that was started as `key`."""
        record = replace(self.processes[name], key=key)
        return replace(self, processes={**self.processes, name: record})

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return {
            "cluster": self.cluster,
            "dir": self.directory,
            "processes": {name: _process_json(record) for name, record in self.processes.items()},
            "endpoints": {component: list(found) for component, found in self.endpoints.items()},
            "tls": dict(self.tls),
            "etcd": list(self.etcd),
            "database": self.database,
            "options": dict(self.options),
            "ports": list(self.ports),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ClusterState:
        """Read a document that `to_json` made."""
        return cls(
            cluster=document["cluster"],
            directory=document["dir"],
            processes={name: _process(record) for name, record in document["processes"].items()},
            endpoints={component: tuple(found) for component, found in document["endpoints"].items()},
            tls=document["tls"],
            etcd=tuple(document["etcd"]),
            database=document["database"],
            options=document["options"],
            ports=tuple(document["ports"]),
        )

    def save(self) -> None:
        """Write the file, whole or not at all."""
        directory = Path(self.directory)
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{FILE}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self.to_json(), file, indent=2)
            file.write("\n")
        os.replace(temporary, directory / FILE)

    @classmethod
    def load(cls, directory: Path) -> ClusterState:
        """Read the file of the cluster in `directory`; raises StateError when there is none, or it is broken."""
        path = directory / FILE
        try:
            return cls.from_json(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise StateError(
                f"there is no cluster in {directory}: start one with `confserv-cluster up --dir {directory}`"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"{path} is no cluster file ({error}); remove {directory} and start anew"
            ) from error


def _process_json(record: ProcessRecord) -> dict[str, Any]:
    return {
        "pid": record.key.pid if record.key else None,
        "start_time_ticks": record.key.start_time_ticks if record.key else None,
        "component": record.component,
        "endpoints": list(record.endpoints),
        "log": record.log,
        "command": list(record.command),
    }


def _process(document: Mapping[str, Any]) -> ProcessRecord:
    key = ProcessKey(document["pid"], document["start_time_ticks"]) if document["pid"] else None
    return ProcessRecord(
        component=document["component"],
        command=tuple(document["command"]),
        log=document["log"],
        endpoints=tuple(document["endpoints"]),
        key=key,
    )

"""Which processes a local cluster has, at which ports, with which settings, in which order they start.

Pure: options, a directory and free ports in, a plan out. One row of `COMPONENTS` is all that a kind of
process is here, so a new one is a new row. It reads and writes nothing, and promises nothing about whether
the plan can be carried out; `cluster` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTINGS_FILE = "cluster.toml"
TRUST_FILE = "trust.toml"

Value = str | int | float | bool | Sequence[str] | Mapping[str, Any]


class TopologyError(ValueError):
    """The options describe no cluster: says which option, and what it takes."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is wanted. Counts are of processes; `database` is sqlite, postgresql or an address."""

    cluster: str = "local"
    servers: int = 2
    lrm: int = 1
    licman: int = 1
    message_servers: int = 1
    solution_controls: int = 1
    agents: int = 1
    etcd: int = 1
    database: str = "sqlite"
    lease_ttl_s: int = 5
    extra: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Further settings by component or process name, which win; for tests and the demo."""
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further environment by component or process name; for tests."""

    def check(self) -> None:
        """Raise TopologyError when no such cluster can be planned."""
        if self.servers < 1:
            raise TopologyError(
                f"--servers {self.servers}: a cluster needs at least one Configuration Server"
            )
        if self.etcd < 1:
            raise TopologyError(f"--etcd {self.etcd}: a cluster needs at least one member of etcd")
        for name in ("lrm", "licman", "message_servers", "solution_controls", "agents"):
            if getattr(self, name) < 0:
                raise TopologyError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: a count is not negative"
                )
        if self.agents > 1:
            raise TopologyError(f"--agents {self.agents}: one host has one Local Control Agent")
        if self.database not in {"sqlite", "postgresql"} and "://" not in self.database:
            raise TopologyError(
                f"--database {self.database}: sqlite, postgresql, or an address as postgresql://host/database"
            )


@dataclass(frozen=True, slots=True)
class Component:
    """A kind of process. `option` is the field of Options that counts it; `settings` makes what is its own."""

    name: str
    option: str
    module: str
    application_type: str
    settings: Callable[[Places, str], Mapping[str, Value]]
    elected: bool = True


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie below the cluster's directory."""

    directory: Path
    database: str

    @property
    def settings(self) -> Path:
        """The settings file of all processes."""
        return self.directory / SETTINGS_FILE

    @property
    def trust(self) -> Path:
        """The trusted vendor keys."""
        return self.directory / "vendor" / TRUST_FILE

    @property
    def pki(self) -> Path:
        """The certificate authority and its certificates."""
        return self.directory / "pki"

    def data(self, name: str) -> Path:
        """The folder of one process, or of what several share."""
        return self.directory / "data" / name

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.directory / "logs" / f"{name}.log"

    def store(self, purpose: str) -> str:
        """SQLAlchemy address of the store for `purpose`: a file, or a database of its name on the server."""
        if self.database == "sqlite":
            return f"sqlite:///{self.data('shared') / purpose}.sqlite"
        return database_for(self.database, purpose)


def database_for(address: str, purpose: str) -> str:
    """Address of the database for `purpose` beside the one at `address`.

    Each store has a database of its own, since each has its own fence. `{database}` in the address stands for the
    purpose; without it the Configuration Database is the one that is named, and the others have its name and theirs.
    """
    if "{database}" in address:
        return address.replace("{database}", purpose)
    if purpose == "configuration":
        return address
    server, slash, rest = address.partition("://")[2].partition("/")
    name, question, query = rest.partition("?")
    scheme = address.partition("://")[0]
    return f"{scheme}://{server}{slash}{name}_{purpose}{question}{query}"


def _confserv(places: Places, name: str) -> dict[str, Value]:
    return {"database": places.store("configuration"), "trust": str(places.trust)}


def _message_server(places: Places, name: str) -> dict[str, Value]:
    return {"database": places.store("messages")}


def _licman(places: Places, name: str) -> dict[str, Value]:
    return {"database": places.store("licenses")}


def _lrm(places: Places, name: str) -> dict[str, Value]:
    return {"database": str(places.data("shared") / "usage.duckdb"), "trust": str(places.trust)}


def _plain(places: Places, name: str) -> dict[str, Value]:
    return {}


COMPONENTS = (
    Component("confserv", "servers", "confserv", "CONFIGURATION_SERVER", _confserv),
    Component("lca", "agents", "local_agent", "LOCAL_CONTROL_AGENT", _plain, elected=False),
    Component("message-server", "message_servers", "message_server", "MESSAGE_SERVER", _message_server),
    Component("solution-control", "solution_controls", "solution_control", "SOLUTION_CONTROL_SERVER", _plain),
    Component("lrm", "lrm", "lrm", "LICENSE_REPORTING_MANAGER", _lrm),
    Component("licman", "licman", "licman", "LICENSE_MANAGER", _licman),
)
"""Every kind of process of the system, in the order of start."""


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process of the system: what it is called, what it is, and where it serves."""

    name: str
    component: str
    module: str
    application_type: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class EtcdPlan:
    """One member of etcd."""

    name: str
    client_port: int
    peer_port: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The whole plan. `processes` are in the order of start; `settings` is the content of the settings file."""

    options: Options
    places: Places
    etcd: tuple[EtcdPlan, ...]
    processes: tuple[ProcessPlan, ...]
    settings: Mapping[str, Value]

    def of(self, component: str) -> tuple[ProcessPlan, ...]:
        """The processes of one component, in the order of start."""
        return tuple(process for process in self.processes if process.component == component)

    def command(self, process: ProcessPlan, *, python: str) -> tuple[str, ...]:
        """Command line of a process, run by the interpreter at `python`."""
        return (python, "-m", process.module, "-c", str(self.places.settings), "-s", process.name)


def ports_needed(options: Options) -> int:
    """How many ports `plan` takes."""
    return 2 * options.etcd + sum(_count(component, options) for component in COMPONENTS)


def plan(options: Options, places: Places, ports: Sequence[int], *, host: str = "127.0.0.1") -> Topology:
    """Lay out a cluster on `ports`, `ports_needed(options)` free ones; TopologyError for impossible options."""
    options.check()
    free = iter(ports)
    etcd = tuple(EtcdPlan(f"etcd-{number}", next(free), next(free)) for number in range(1, options.etcd + 1))
    processes = tuple(
        process for component in COMPONENTS for process in _processes(component, options, free, host)
    )
    settings = _settings(options, places, etcd, processes, host)
    return Topology(options, places, etcd, processes, settings)


def _count(component: Component, options: Options) -> int:
    return int(getattr(options, component.option))


def _processes(
    component: Component, options: Options, free: Iterator[int], host: str
) -> Iterator[ProcessPlan]:
    for number in range(1, _count(component, options) + 1):
        # a host has one agent, so that it needs no number
        name = component.name if component.option == "agents" else f"{component.name}-{number}"
        yield ProcessPlan(
            name, component.name, component.module, component.application_type, f"{host}:{next(free)}"
        )


def _settings(
    options: Options, places: Places, etcd: Sequence[EtcdPlan], processes: Sequence[ProcessPlan], host: str
) -> dict[str, Value]:
    agents = [process.endpoint for process in processes if process.component == "lca"]
    shared: dict[str, Value] = {
        "cluster": options.cluster,
        "config_servers": [process.endpoint for process in processes if process.component == "confserv"],
        "log": {"level": "info"},
        "tls": {"ca": str(places.pki / "ca.crt")},
        "etcd": {
            "endpoints": [f"{host}:{member.client_port}" for member in etcd],
            "lease_ttl_s": options.lease_ttl_s,
            "role_changes": 1000,  # a local cluster is there to be broken; nobody is to wait for it
            "ca": str(places.pki / "ca.crt"),
        },
    }
    if agents:
        shared["agent"] = agents[0]
    return {**shared, **{process.name: _own(options, places, process) for process in processes}}


def _own(options: Options, places: Places, process: ProcessPlan) -> dict[str, Value]:
    component = next(row for row in COMPONENTS if row.name == process.component)
    identity: dict[str, Value] = {
        "certificate": str(places.pki / f"{process.name}.crt"),
        "key": str(places.pki / f"{process.name}.key"),
    }
    own: dict[str, Value] = {
        "listen": process.endpoint,
        "data_dir": str(places.data(process.name)),
        **component.settings(places, process.name),
        **options.extra.get(process.component, {}),
        **options.extra.get(process.name, {}),
        "tls": identity,
        "etcd": identity,
    }
    if process.component == "lca":
        own["agent"] = ""
    return own


def to_toml(document: Mapping[str, Value]) -> str:
    """Write a document of texts, numbers, truth values, lists of texts and tables of the same."""
    return "".join(_table((), document)).lstrip("\n")


def _table(path: tuple[str, ...], table: Mapping[str, Value]) -> Iterator[str]:
    if path:
        yield f"\n[{'.'.join(_quoted(name) for name in path)}]\n"
    for name, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{_quoted(name)} = {_scalar(value)}\n"
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _table((*path, name), value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value, always=True)
    if isinstance(value, Sequence):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    raise TypeError(f"{value!r} has no TOML form here")


def _quoted(text: str, *, always: bool = False) -> str:
    if (
        not always
        and text
        and all((letter.isalnum() and letter.isascii()) or letter in "-_" for letter in text)
    ):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"'
        + "".join(letter if " " <= letter != "\x7f" else f"\\u{ord(letter):04x}" for letter in escaped)
        + '"'
    )

"""Bring a local cluster up, look at it, and take it down; the one place that joins plan, keys, and processes.

Everything that it makes lies below one directory. A cluster outlives the program that started it: whoever opens the
directory later finds the same processes. It keeps nothing running by itself: a process that dies stays dead until
somebody starts it, because that is what tests and operators want to see.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import fcntl
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles, channel_credentials
from confcluster import etcd, postgresql
from confcluster.pki import CertificateAuthority
from confcluster.ports import free_ports
from confcluster.postgresql import PostgresqlServer
from confcluster.process import ProcessConfig, ProcessHandle, ReadySocket
from confcluster.registration import WantedApplication, WantedHost, register
from confcluster.state import ClusterState, ProcessRecord
from confcluster.topology import Options, Places, Topology, plan, ports_needed, to_toml
from confcluster.vendor import Vendor, license_text

POSTGRESQL = "postgresql"
DATABASES = ("configuration", "messages", "licenses")
PEOPLE = ("administrator", "confctl")
LICENSE_FILE = "demo.lic"
_LICENSE_DAYS = 365
_READY_S = 45.0
_SETTLE_S = 0.05  # gRPC hands its last events to the loop shortly after a channel is closed

Say = Callable[[str], None]


class ClusterError(Exception):
    """The cluster did not do what was asked: says what, why, and what to do."""


class Cluster:
    """A local cluster in a directory."""

    def __init__(self, state: ClusterState, *, say: Say = lambda line: None) -> None:
        """Prefer `create`, `load` or `open`. `say` is told of each step, a line at a time."""
        self.state = state
        self.say = say
        self.directory = Path(state.directory)
        self.options = Options(**dict(state.options))
        self.places = Places(self.directory, _store_address(self.options, self.directory))
        self.topology: Topology = plan(self.options, self.places, state.ports)
        self.handles: dict[str, ProcessHandle] = {
            name: ProcessHandle(self._config(name, record), record.key)
            for name, record in state.processes.items()
        }

    # making and finding

    @classmethod
    def create(cls, directory: Path, options: Options, *, say: Say = lambda line: None) -> Cluster:
        """Plan a cluster in `directory` and make its keys, certificates, vendor and settings; nothing starts yet."""
        options.check()
        directory = directory.resolve()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        ports = free_ports(ports_needed(options))
        places = Places(directory, _store_address(options, directory))
        topology = plan(options, places, ports)
        _issue_certificates(topology)
        Vendor.open(directory / "vendor")
        _write_settings(topology)
        state = _state(topology, ports)
        state.save()
        return cls(state, say=say)

    @classmethod
    def load(cls, directory: Path, *, say: Say = lambda line: None) -> Cluster:
        """Find the cluster in `directory`; raises StateError when there is none."""
        return cls(ClusterState.load(directory.resolve()), say=say)

    @property
    def vendor(self) -> Vendor:
        """The cluster's own vendor."""
        return Vendor.open(self.directory / "vendor")

    @property
    def authority(self) -> CertificateAuthority:
        """The cluster's certificate authority."""
        return CertificateAuthority.load(self.places.pki)

    def tls(self, name: str) -> TlsFiles:
        """Certificate of a process, or of one of the tools of people."""
        pki = self.places.pki
        return TlsFiles(ca=pki / "ca.crt", certificate=pki / f"{name}.crt", key=pki / f"{name}.key")

    def endpoints(self, component: str) -> tuple[str, ...]:
        """Addresses of a component's processes."""
        return tuple(process.endpoint for process in self.topology.of(component))

    @property
    def database(self) -> PostgresqlServer:
        """The cluster's own PostgreSQL, if its options ask for one."""
        socket_dir = Path((self.directory / "socket.txt").read_text())
        return PostgresqlServer(data=self.places.data(POSTGRESQL), socket_dir=socket_dir)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other launchers off the directory; raises ClusterError when one is at work."""
        with (self.directory / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ClusterError(
                    f"another confserv-cluster is at work in {self.directory}; wait for it"
                ) from None
            yield

    # verbs

    def start_parts(self) -> None:
        """Start what the system stands on: etcd, and PostgreSQL if the options ask for it."""
        names = [member.name for member in self.topology.etcd]
        self.begin(*names)
        if POSTGRESQL in self.handles:
            program = postgresql.find_postgresql()
            postgresql.initialize(program, self.database)
            self.begin(POSTGRESQL)
            postgresql.wait_ready(self.database)
            for name in DATABASES:
                postgresql.create_database(self.database, name)
        elif "://" in self.options.database:
            postgresql.create_beside(
                self.places.store("configuration"), map(self.places.store, DATABASES[1:])
            )
        try:
            etcd.wait_ready(self.state.etcd, credentials=channel_credentials(self.tls("administrator")))
        except etcd.EtcdNotReady as error:
            raise ClusterError(f"{error}\n{self.handles[names[0]].log(lines=10)}") from error
        self.say(f"etcd {etcd.find_etcd().version_text} is ready at {', '.join(self.state.etcd)}")

    def load_license(self, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `confserv -license FILE`, with further `options`, and give what it said and its exit status."""
        server = self.topology.of("confserv")[0]
        command = [*self.topology.command(server, python=sys.executable), "-license", str(file), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def license_file(self, *, expires_in_days: int = _LICENSE_DAYS, name: str = LICENSE_FILE) -> Path:
        """Sign the license of a local cluster, and write it."""
        today = dt.datetime.now(dt.UTC).date()
        text = license_text(issued=today, expires=today + dt.timedelta(days=expires_in_days))
        return self.vendor.write_license(name, text)

    def start(self, *names: str, timeout_s: float = _READY_S) -> None:
        """Start processes at once and wait until each is ready."""
        waiting = self.begin(*names)
        for name, ready in waiting.items():
            with ready:
                self.handles[name].await_ready(ready, timeout_s=timeout_s)
            where = ", ".join(self.state.processes[name].endpoints)
            self.say(f"{name} is ready at {where}")

    def begin(self, *names: str) -> dict[str, ReadySocket]:
        """Start processes and return at once; what says when it is ready comes back with its socket."""
        waiting = {}
        for name in names:
            handle = self.handle(name)
            if handle.is_running():
                continue
            ready = handle.begin()
            if ready is not None:
                waiting[name] = ready
            if handle.key is not None:
                self.state = self.state.with_process(name, handle.key)
        self.state.save()
        return waiting

    def handle(self, name: str) -> ProcessHandle:
        """The handle of a process; raises ClusterError naming all when there is none of that name."""
        try:
            return self.handles[name]
        except KeyError:
            raise ClusterError(f"there is no process {name}; there are {', '.join(self.handles)}") from None

    def register(self, wanted: Sequence[WantedApplication] = (), *, timeout_s: float = 30.0) -> int:
        """Create the objects of the cluster's processes, or `wanted`; gives the number of objects written."""
        return asyncio.run(self.register_beside(wanted, timeout_s=timeout_s))

    async def register_beside(
        self, wanted: Sequence[WantedApplication] = (), *, timeout_s: float = 30.0
    ) -> int:
        """`register` inside a running event loop."""
        agents = self.endpoints("lca")
        port = int(agents[0].rpartition(":")[2]) if agents else 0
        host = WantedHost(socket.gethostname(), "127.0.0.1", port)
        channel = ServiceChannel(
            self.endpoints("confserv"), self.tls("administrator"), component="Configuration Server"
        )
        try:
            return await register(channel, wanted or self._own_applications(), host, timeout_s=timeout_s)
        finally:
            await channel.close()
            await asyncio.sleep(_SETTLE_S)

    def up(self) -> None:
        """Bring everything up that does not run, in order."""
        began = time.monotonic()
        self.start_parts()
        self._license_once()
        self.start(*(process.name for process in self.topology.of("confserv")))
        self.register()
        self.start(*(process.name for process in self.topology.of("lca")))
        self.start(
            *(
                process.name
                for process in self.topology.processes
                if process.component not in {"confserv", "lca"}
            )
        )
        self.say(f"the cluster is up after {time.monotonic() - began:.1f} s")

    def _license_once(self) -> None:
        """Load the license of a local cluster, unless it was; another one may have been loaded since."""
        if (self.vendor.directory / LICENSE_FILE).exists():
            return
        file = self.license_file(name=f"{LICENSE_FILE}.new")
        loaded = self.load_license(file)
        if loaded.returncode != 0:
            raise ClusterError(f"the license was refused:\n{loaded.stderr.strip() or loaded.stdout.strip()}")
        file.rename(self.vendor.directory / LICENSE_FILE)

    def down(self) -> None:
        """Stop everything that runs, what others stand on last; kill what does not listen."""
        order = [process.name for process in self.topology.processes]
        parts = [name for name in self.handles if name not in order]
        servers = [process.name for process in self.topology.of("confserv")]
        agents = [process.name for process in self.topology.of("lca")]
        others = [name for name in order if name not in {*servers, *agents}]
        for group in (others, agents, servers, parts):
            self._stop_together(group)

    def _stop_together(self, names: Sequence[str]) -> None:
        running = [self.handles[name] for name in names if self.handles[name].is_running()]
        for handle in running:
            handle.signal(handle.config.stop_signal)
            handle.resume()
        for handle in running:
            handle.stop()
            self.say(f"{handle.name} has stopped")

    # inside

    def _own_applications(self) -> list[WantedApplication]:
        return [
            WantedApplication(process.name, process.application_type, (process.endpoint,))
            for process in self.topology.processes
        ]

    def _config(self, name: str, record: ProcessRecord) -> ProcessConfig:
        part = record.component in {"etcd", POSTGRESQL}
        return ProcessConfig(
            name=name,
            component=record.component,
            command=record.command,
            log=Path(record.log),
            endpoints=record.endpoints,
            environment={
                **self.options.environment.get(record.component, {}),
                **self.options.environment.get(name, {}),
            },
            announces_ready=not part,
            stop_signal=2 if record.component == POSTGRESQL else 15,  # SIGINT is its "fast" shutdown
        )


def _store_address(options: Options, directory: Path) -> str:
    if options.database != POSTGRESQL:
        return options.database
    remembered = directory / "socket.txt"
    if not remembered.exists():
        remembered.write_text(str(postgresql.socket_directory(directory / "socket")))
    server = PostgresqlServer(data=directory, socket_dir=Path(remembered.read_text()))
    return server.url("{database}")


def _issue_certificates(topology: Topology) -> None:
    authority = CertificateAuthority.open(topology.places.pki)
    cluster = topology.options.cluster
    for process in topology.processes:
        authority.issue(process.component, process.name, cluster=cluster)
    for name in PEOPLE:
        authority.issue("administrator", name, cluster=cluster)
    authority.issue("itc", "itc", cluster=cluster)
    for member in topology.etcd:
        authority.issue("etcd", member.name, cluster=cluster)


def _write_settings(topology: Topology) -> None:
    for process in topology.processes:
        topology.places.data(process.name).mkdir(parents=True, exist_ok=True, mode=0o700)
    topology.places.data("shared").mkdir(parents=True, exist_ok=True, mode=0o700)
    topology.places.settings.write_text(to_toml(topology.settings))


def _state(topology: Topology, ports: Sequence[int]) -> ClusterState:
    places = topology.places
    endpoints: dict[str, tuple[str, ...]] = {}
    for process in topology.processes:
        endpoints[process.component] = (*endpoints.get(process.component, ()), process.endpoint)
    administrator = {
        "certificate": str(places.pki / "administrator.crt"),
        "key": str(places.pki / "administrator.key"),
    }
    return ClusterState(
        cluster=topology.options.cluster,
        directory=str(places.directory),
        processes={**_part_records(topology), **_process_records(topology)},
        endpoints=endpoints,
        tls={"ca": str(places.pki / "ca.crt"), "administrator": administrator},
        etcd=tuple(f"127.0.0.1:{member.client_port}" for member in topology.etcd),
        database=places.store("configuration"),
        options=dataclasses.asdict(topology.options),
        ports=tuple(ports),
    )


def _process_records(topology: Topology) -> Mapping[str, ProcessRecord]:
    return {
        process.name: ProcessRecord(
            component=process.component,
            command=topology.command(process, python=sys.executable),
            log=str(topology.places.log(process.name)),
            endpoints=(process.endpoint,),
        )
        for process in topology.processes
    }


def _part_records(topology: Topology) -> Mapping[str, ProcessRecord]:
    places, pki = topology.places, topology.places.pki
    program = etcd.find_etcd()
    members = [
        etcd.EtcdMember(
            name=member.name,
            data_dir=places.data(member.name),
            client_port=member.client_port,
            peer_port=member.peer_port,
            tls=etcd.EtcdTls(pki / "ca.crt", pki / f"{member.name}.crt", pki / f"{member.name}.key"),
        )
        for member in topology.etcd
    ]
    records = {
        member.name: ProcessRecord(
            component="etcd",
            command=tuple(etcd.command(program, member, members, cluster=topology.options.cluster)),
            log=str(places.log(member.name)),
            endpoints=(member.client_endpoint,),
        )
        for member in members
    }
    if topology.options.database == POSTGRESQL:
        server = PostgresqlServer(
            data=places.data(POSTGRESQL), socket_dir=Path((places.directory / "socket.txt").read_text())
        )
        command = postgresql.start_command(postgresql.find_postgresql(), server)
        records[POSTGRESQL] = ProcessRecord(
            component=POSTGRESQL,
            command=tuple(command),
            log=str(places.log(POSTGRESQL)),
            endpoints=(str(server.socket_dir),),
        )
    return records

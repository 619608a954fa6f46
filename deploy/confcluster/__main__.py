"""`confserv-cluster`: a whole local cluster with one command, on embedded parts, for people and for tests.

Exit statuses as everywhere: 0 done, 1 failed, 2 bad usage or refused input. The options are a contract (cli.md).
"""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from confcluster.cluster import Cluster, ClusterError
from confcluster.etcd import EtcdNotFound
from confcluster.pki import PkiError
from confcluster.postgresql import PostgresqlError
from confcluster.process import ProcessError
from confcluster.state import FILE, StateError
from confcluster.status import statuses
from confcluster.topology import Options, TopologyError

FAILED, REFUSED = 1, 2
_POLL_S = 0.2

app = typer.Typer(
    help="Start, look at and stop a local cluster; everything it makes lies below one directory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Directory = Annotated[Path, typer.Option("--dir", help="Directory of the cluster.")]
HERE = Path(".cluster")


class Output(StrEnum):
    """How `status` prints."""

    TABLE = "table"
    JSON = "json"


class SignalName(StrEnum):
    """Signals that `kill` sends."""

    KILL = "KILL"
    STOP = "STOP"
    CONT = "CONT"
    TERM = "TERM"


@app.command()
def up(
    directory: Directory = HERE,
    servers: Annotated[int, typer.Option(help="Configuration Servers.")] = 2,
    lrm: Annotated[int, typer.Option(help="License Reporting Managers.")] = 1,
    licman: Annotated[int, typer.Option(help="License Managers.")] = 1,
    message_servers: Annotated[int, typer.Option(help="Message Servers.")] = 1,
    solution_controls: Annotated[int, typer.Option(help="Solution Control Servers.")] = 1,
    etcd: Annotated[int, typer.Option(help="Members of etcd.")] = 1,
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or an address of a server.")] = "sqlite",
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
) -> None:
    """Start a cluster, or what of it does not run; without --detach it stops with this command."""
    options = Options(
        servers=servers,
        lrm=lrm,
        licman=licman,
        message_servers=message_servers,
        solution_controls=solution_controls,
        etcd=etcd,
        database=database,
    )
    signal.signal(signal.SIGTERM, _interrupt)
    cluster = _cluster_for(directory, options)
    with cluster.locked():
        try:
            cluster.up()
        except BaseException:
            cluster.down()
            raise
    _show_addresses(cluster)
    if not detach:
        _stay(cluster)


@app.command()
def status(
    directory: Directory = HERE,
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of the output.")] = Output.TABLE,
) -> None:
    """Show each process: whether it runs, its role, where it serves."""
    cluster = Cluster.load(directory)
    found = statuses(cluster)
    if output is Output.JSON:
        document = {
            "cluster": cluster.options.cluster,
            "dir": str(cluster.directory),
            "processes": [row.to_json() for row in found],
        }
        print(json.dumps(document))
        return
    table = Table("process", "state", "pid", "role", "token", "serves at")
    for row in found:
        table.add_row(row.name, row.state, str(row.pid or ""), row.role, row.token, ", ".join(row.endpoints))
    _console().print(table)


@app.command()
def kill(
    name: Annotated[str, typer.Argument(help="Name of the process.")],
    directory: Directory = HERE,
    signal_name: Annotated[SignalName, typer.Option("--signal", help="What is sent.")] = SignalName.KILL,
) -> None:
    """Send a signal to a process; after KILL and TERM, wait until it is gone."""
    handle = Cluster.load(directory).handle(name)
    if not handle.is_running():
        raise ClusterError(f"{name} does not run")
    handle.signal(getattr(signal, f"SIG{signal_name}"))
    if signal_name in {SignalName.KILL, SignalName.TERM}:
        handle.wait(timeout_s=30)
        print(f"{name} has ended")
    else:
        print(f"{name} is {'paused' if signal_name is SignalName.STOP else 'running on'}")


@app.command()
def start(
    name: Annotated[str, typer.Argument(help="Name of the process.")], directory: Directory = HERE
) -> None:
    """Start a process of the cluster that does not run, and wait until it is ready."""
    cluster = Cluster.load(directory, say=print)
    with cluster.locked():
        if cluster.handle(name).is_running():
            raise ClusterError(f"{name} already runs")
        cluster.start(name)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="Name of the process.")],
    directory: Directory = HERE,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until interrupted.")] = False,
) -> None:
    """Print what a process has logged."""
    path = Cluster.load(directory).handle(name).config.log
    if not path.exists():
        raise ClusterError(f"{name} has not been started, so it has no log at {path}")
    with path.open("r", encoding="utf-8", errors="replace") as file:
        while True:
            text = file.read()
            sys.stdout.write(text)
            sys.stdout.flush()
            if not follow:
                return
            if not text:
                time.sleep(_POLL_S)


@app.command()
def down(directory: Directory = HERE) -> None:
    """Stop every process of the cluster; its data stays."""
    cluster = Cluster.load(directory, say=print)
    with cluster.locked():
        cluster.down()
    print("the cluster is down")


@app.command()
def demo(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Directory of the cluster; default: a temporary one.")
    ] = None,
    database: Annotated[str, typer.Option(help="sqlite or postgresql.")] = "sqlite",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the directory there when all went well.")
    ] = False,
) -> None:
    """Play the main job from end to end, check each step, and stop; exit status 0 only if every step held."""
    from confcluster.demo import demo as play  # what only the demo needs is loaded for it alone

    signal.signal(signal.SIGTERM, _interrupt)
    raise typer.Exit(play(directory=directory, database=database, keep=keep))


def main() -> None:
    """Run the command; what can be expected to go wrong is one sentence on standard error and a status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # who reads it through a pipe wants progress, too
    try:
        app()
    except (TopologyError, StateError) as error:
        _fail(str(error), REFUSED)
    except (ClusterError, ProcessError, PostgresqlError, PkiError, EtcdNotFound) as error:
        _fail(str(error), FAILED)


def _fail(message: str, status: int) -> None:
    print(f"confserv-cluster: {message}", file=sys.stderr)
    raise SystemExit(status)


def _cluster_for(directory: Path, options: Options) -> Cluster:
    """The cluster that is there, if any, else a new one with `options`."""
    if not (directory / FILE).exists():
        return Cluster.create(directory, options, say=print)
    cluster = Cluster.load(directory, say=print)
    print(f"taking up the cluster in {directory}; remove the directory for one with other options")
    return cluster


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _show_addresses(cluster: Cluster) -> None:
    for component, endpoints in cluster.state.endpoints.items():
        print(f"  {component:<17} {' '.join(endpoints)}")
    print(f"look at it:  confctl --cluster {cluster.directory} status")
    print(f"stop it:     confserv-cluster down --dir {cluster.directory}")


def _stay(cluster: Cluster) -> None:
    """Stay until interrupted, say which processes end, then stop the rest."""
    running = {name for name, handle in cluster.handles.items() if handle.is_running()}
    try:
        while True:
            time.sleep(_POLL_S)
            now = {name for name in cluster.handles if cluster.handles[name].is_running()}
            for name in sorted(running - now):
                print(f"{name} has ended; its log is {cluster.handles[name].config.log}")
            running = now
    except KeyboardInterrupt:
        print("stopping")
        fresh = Cluster.load(cluster.directory, say=print)  # others may have started processes meanwhile
        with fresh.locked():
            fresh.down()


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=160)


if __name__ == "__main__":
    main()

"""A writer that is stopped at the worst moment, in a process of its own, while another takes over its database.

Whatever it does when it goes on: none of its late writes is committed, and what was committed before is found by its
request id (B-50, B-51; `ha.md`, Fencing in the database).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch, EtcdIdentity, InstanceName, ProcessFacts
from confkit.fence_sql import raise_fence
from confserv.adapters.failpoints import BEFORE_ANSWER, BEFORE_BEGIN, INSIDE_TRANSACTION, POINTS, failpoints
from confserv.adapters.sql.database import Database, open_database, prepare_schema
from confserv.adapters.sql.store import SqlStore
from confserv.core.effects import Outcome
from confserv.core.log import LogEntry, RequestKey
from tests.support.configurations import CODEC, EPOCH, HISTORY, NOW_MS, request_id

LATER = Epoch(1, 20)
OLD, NEW = "0191d3a0-0000-7000-8000-00000000000a", "0191d3a0-0000-7000-8000-00000000000b"
TTL_S = 2.0


def entry(revision: int, id: str, *, epoch: Epoch) -> LogEntry:
    """Make a transaction that changes nothing, which is recorded too."""
    return LogEntry(revision, epoch, NOW_MS, "administrator/ada", id, b"\x01", "", ())


def token(database: Database, epoch: Epoch) -> None:
    """Raise the fence row as a promotion does, ending what blocks it on PostgreSQL."""
    database.promote(
        lambda conn: raise_fence(
            conn,
            epoch=epoch,
            waited_s=0.0,
            facts=ProcessFacts(InstanceName("confserv-1")),
            granted_ttl_s=TTL_S,
            identity=EtcdIdentity("etcd-1"),
            etcd_revision=1,
            fresh_history_id=HISTORY,
        )
    )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database whose fence row holds EPOCH."""
    made = f"sqlite:///{tmp_path}/confserv.sqlite"
    if request.param == "postgresql":
        made = request.getfixturevalue("postgresql_server").fresh_database()
    database = open_database(made, ttl_s=TTL_S)
    prepare_schema(database, now_ms=NOW_MS)
    token(database, EPOCH)
    database.close()
    return made


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The same database, as the successor sees it."""
    opened = open_database(url, ttl_s=TTL_S)
    yield opened
    opened.close()


Stopped = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def stopped_at(url: str, tmp_path: Path) -> Iterator[Stopped]:
    """Start a writer that has stopped itself at a failpoint of its only commit."""
    started: list[subprocess.Popen[bytes]] = []

    def start(point: str) -> subprocess.Popen[bytes]:
        (tmp_path / f"failpoint-{point}").touch()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.confserv.test_paused_writer", url, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "CONFSERV_FAILPOINTS": ",".join(POINTS)},
        )
        started.append(process)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def gone_on(process: subprocess.Popen[bytes]) -> Outcome:
    """Let the writer go on, and give what it was told."""
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=30)
    return Outcome(json.loads(out)["outcome"])


def log_of(database: Database) -> list[tuple[int, Epoch, str]]:
    """Give the log as it is."""
    loaded = SqlStore(database, CODEC).load(recent=10)
    return [(one.revision, one.epoch, one.request_id) for one in loaded.recent]


def commit(database: Database, one: LogEntry) -> Outcome:
    """Commit as the successor."""
    return SqlStore(database, CODEC).commit([one], epoch=LATER, history_id=HISTORY).outcome


def test_a_writer_stopped_before_begin_is_fenced_when_it_goes_on(
    database: Database, stopped_at: Stopped
) -> None:
    # B-50
    process = stopped_at(BEFORE_BEGIN)
    token(database, LATER)
    assert Outcome.COMMITTED == commit(database, entry(1, NEW, epoch=LATER))
    assert Outcome.FENCED == gone_on(process)
    assert [(1, LATER, NEW)] == log_of(database)


@pytest.mark.postgresql
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_writer_stopped_inside_its_transaction_of_postgresql_does_not_hold_its_successor_up(
    database: Database, stopped_at: Stopped
) -> None:
    # ha.md: terminates the backends that block it
    process = stopped_at(INSIDE_TRANSACTION)
    token(database, LATER)
    assert Outcome.COMMITTED == commit(database, entry(1, NEW, epoch=LATER))
    assert gone_on(process) in (Outcome.UNKNOWN, Outcome.UNREACHABLE)
    assert [(1, LATER, NEW)] == log_of(database)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_writer_stopped_inside_its_transaction_of_sqlite_holds_its_successor_up_until_it_is_killed(
    database: Database, stopped_at: Stopped
) -> None:
    # ha.md: the promoter asks the local agent to kill the recorded process
    process = stopped_at(INSIDE_TRANSACTION)
    with pytest.raises(StoreUnreachable, match="locked"):
        token(database, LATER)
    process.kill()
    process.wait(10)
    token(database, LATER)
    assert Outcome.COMMITTED == commit(database, entry(1, NEW, epoch=LATER))
    assert [(1, LATER, NEW)] == log_of(database)


def test_what_was_committed_before_the_answer_is_found_by_its_request_id_and_never_written_again(
    database: Database, stopped_at: Stopped
) -> None:
    # B-51, I-2
    process = stopped_at(BEFORE_ANSWER)
    token(database, LATER)
    found = SqlStore(database, CODEC).find([RequestKey("administrator/ada", OLD)])
    assert (LATER, [1]) == (found.holder, [one.revision for one in found.entries.values()])
    assert Outcome.REJECTED == commit(database, entry(2, OLD, epoch=LATER))
    assert Outcome.COMMITTED == commit(database, entry(2, request_id(), epoch=LATER))
    assert Outcome.COMMITTED == gone_on(process)
    assert [(1, EPOCH), (2, LATER)] == [(revision, epoch) for revision, epoch, _ in log_of(database)]


def _write(url: str, directory: str) -> None:
    """The writer's own process: one commit under EPOCH."""
    failpoint = failpoints(enabled=True, directory=Path(directory), environment=os.environ)
    store = SqlStore(open_database(url, ttl_s=TTL_S), CODEC, failpoint=failpoint)
    result = store.commit([entry(1, OLD, epoch=EPOCH)], epoch=EPOCH, history_id=HISTORY)
    sys.stdout.write(json.dumps({"outcome": result.outcome.value}))


if __name__ == "__main__":
    _write(*sys.argv[1:])

"""What every store of the configuration promises: memory, SQLite and PostgreSQL under one suite."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from confkit.election.types import Epoch, EtcdIdentity, InstanceName, ProcessFacts
from confkit.fence_sql import raise_fence, renew_history
from confserv.adapters.memory import MemoryDatabase, MemoryStore
from confserv.adapters.sql.database import Database, open_database, prepare_schema
from confserv.adapters.sql.store import SqlStore
from confserv.core.configuration import Configuration
from confserv.core.effects import Outcome
from confserv.core.log import LogEntry, RequestKey
from confserv.core.operations import Operation
from confserv.core.writes import draft
from confserv.ports import ConfigurationStore
from tests.support.configurations import (
    CODEC,
    EPOCH,
    HISTORY,
    NOW_MS,
    RULES,
    an_object,
    create,
    delete,
    environment,
    request_id,
    update,
)

LATER = Epoch(1, 20)


@dataclass
class Subject:
    """A store, and how a promotion or a restore changes what lies under it."""

    store: ConfigurationStore
    another: Callable[[], ConfigurationStore]
    raise_token: Callable[[Epoch], None]
    restore: Callable[[str], None]


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """One empty store of each kind, whose fence row holds EPOCH."""
    if request.param == "memory":
        memory = MemoryDatabase()
        made = Subject(
            MemoryStore(memory),
            lambda: MemoryStore(memory),
            memory.raise_token,
            lambda history: memory.restore(revision=len(memory.entries), history_id=history),
        )
        made.raise_token(EPOCH)
        yield made
        return
    url = f"sqlite:///{tmp_path}/confserv.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server").fresh_database()
    database = open_database(url, ttl_s=5.0)
    prepare_schema(database, now_ms=NOW_MS)
    made = _sql_subject(database)
    made.raise_token(EPOCH)
    yield made
    database.close()


def _sql_subject(database: Database) -> Subject:
    def raise_token(epoch: Epoch) -> None:
        with database.write() as conn:
            raise_fence(
                conn,
                epoch=epoch,
                waited_s=0.0,
                facts=ProcessFacts(InstanceName("confserv-1")),
                granted_ttl_s=5.0,
                identity=EtcdIdentity("etcd-1"),
                etcd_revision=1,
                fresh_history_id=HISTORY,
            )

    def restore(history_id: str) -> None:
        with database.write() as conn:
            renew_history(conn, history_id=history_id)

    return Subject(SqlStore(database, CODEC), lambda: SqlStore(database, CODEC), raise_token, restore)


class Writer:
    """Makes entries as a primary would, one behind the other."""

    def __init__(self, store: ConfigurationStore, *, epoch: Epoch = EPOCH) -> None:
        self.store = store
        self.epoch = epoch
        self.memory = Configuration(RULES.scope_of)

    def entry(self, *operations: Operation, id: str | None = None) -> LogEntry:
        """Draft a transaction behind what memory has, and apply it to memory."""
        made = draft(self.memory, RULES, operations, revision=self.memory.revision + 1)
        entry = LogEntry(
            revision=self.memory.revision + 1,
            epoch=self.epoch,
            time_ms=NOW_MS + self.memory.revision,
            actor="administrator/ada",
            request_id=id or request_id(),
            content_hash=b"\x01" * 32,
            reason="because",
            changes=made.changes,
            results=made.results,
        )
        self.memory.apply(entry)
        return entry

    def commit(self, *entries: LogEntry, may_commit: bool = True) -> Outcome:
        """Commit a group; `may_commit` is what the lease guard says right before the commit."""
        return self.store.commit(
            entries, epoch=self.epoch, history_id=HISTORY, may_commit=lambda: may_commit
        ).outcome


@pytest.fixture
def writer(subject: Subject) -> Writer:
    """A primary under EPOCH."""
    return Writer(subject.store)


def test_a_new_store_is_empty_and_its_log_begins_at_revision_1(subject: Subject) -> None:
    loaded = subject.store.load(recent=10)
    assert (HISTORY, 0, [], {}, None, ()) == (
        loaded.history_id,
        loaded.revision,
        list(loaded.records),
        loaded.next_dbids,
        loaded.last,
        loaded.recent,
    )


def test_what_the_lease_guard_no_longer_covers_is_taken_back_right_before_the_commit(
    subject: Subject, writer: Writer
) -> None:
    # B-50
    first = writer.entry(environment())
    assert Outcome.LATE == writer.commit(first, may_commit=False)
    assert 0 == subject.store.load(recent=10).revision
    assert Outcome.COMMITTED == writer.commit(first)


def test_what_was_committed_is_loaded_again_byte_for_byte(subject: Subject, writer: Writer) -> None:
    # B-51
    entries = [
        writer.entry(environment()),
        writer.entry(create("Host", "rhea", address="10.0.0.1"), create("Host", "dione", address="10.0.0.2")),
        writer.entry(
            update("Host", "rhea", an_object("Host", operating_system="Linux"), "body.operating_system")
        ),
        writer.entry(delete("Host", "dione")),
    ]
    assert Outcome.COMMITTED == writer.commit(*entries[:2])
    assert Outcome.COMMITTED == writer.commit(*entries[2:])
    loaded = subject.another().load(recent=10)
    kept = sorted(loaded.records, key=lambda record: record.key)
    assert [*writer.memory.objects("Host"), *writer.memory.objects("Tenant")] == kept
    assert tuple(entries) == loaded.recent
    assert (4, entries[-1].identity) == (loaded.revision, loaded.last)
    assert {"Tenant": 2, "Host": 102} == loaded.next_dbids


def test_only_the_newest_entries_are_loaded_when_fewer_are_asked_for(
    subject: Subject, writer: Writer
) -> None:
    entries = [
        writer.entry(environment()),
        *(writer.entry(create("Host", f"h{n}", address="a")) for n in range(4)),
    ]
    writer.commit(*entries)
    assert tuple(entries[-2:]) == subject.store.load(recent=2).recent


def test_numbers_of_deleted_objects_are_remembered_so_that_they_are_never_used_again(
    subject: Subject, writer: Writer
) -> None:
    # architecture.md: dbid, never used again
    writer.commit(writer.entry(environment()), writer.entry(create("Host", "rhea", address="a")))
    writer.commit(writer.entry(delete("Host", "rhea")))
    loaded = subject.store.load(recent=0)
    assert 101 == loaded.next_dbids["Host"]
    assert ["Tenant"] == [record.key.type for record in loaded.records]


def test_a_write_under_a_token_that_the_row_does_not_hold_is_refused_and_writes_nothing(
    subject: Subject, writer: Writer
) -> None:
    # B-50
    writer.commit(writer.entry(environment()))
    subject.raise_token(LATER)
    assert Outcome.FENCED == writer.commit(writer.entry(create("Host", "late", address="a")))
    assert 1 == subject.store.load(recent=0).revision


def test_a_second_writer_goes_on_where_the_first_was_fenced(subject: Subject, writer: Writer) -> None:
    # B-50, I-1
    first = writer.entry(environment())
    writer.commit(first)
    subject.raise_token(LATER)
    successor = Writer(subject.another(), epoch=LATER)
    successor.memory.apply(first)
    assert Outcome.COMMITTED == successor.commit(successor.entry(create("Host", "new", address="a")))
    assert Outcome.FENCED == writer.commit(writer.entry(create("Host", "late", address="a")))
    epochs = [entry.epoch for entry in subject.store.load(recent=10).recent]
    assert [EPOCH, LATER] == epochs


def test_a_write_into_another_history_is_refused_as_gone_back(subject: Subject, writer: Writer) -> None:
    # B-51
    writer.commit(writer.entry(environment()))
    subject.restore("history-2")
    assert Outcome.WENT_BACK == writer.commit(writer.entry(create("Host", "rhea", address="a")))
    assert 1 == subject.store.load(recent=0).revision


@pytest.mark.parametrize("skipped", [pytest.param(1, id="a hole"), pytest.param(-1, id="a revision twice")])
def test_a_revision_that_is_not_the_next_is_refused_and_writes_nothing(
    subject: Subject, writer: Writer, skipped: int
) -> None:
    # I-3
    writer.commit(writer.entry(environment()), writer.entry(create("Host", "rhea", address="a")))
    entry = writer.entry(create("Host", "dione", address="a"))
    moved = dataclasses.replace(entry, revision=entry.revision + skipped)
    assert Outcome.MISPLACED == writer.commit(moved)
    assert 2 == subject.store.load(recent=0).revision


def test_a_request_id_is_committed_once_and_a_group_that_repeats_one_is_refused_whole(
    subject: Subject, writer: Writer
) -> None:
    # I-2
    writer.commit(writer.entry(environment(), id="0191d3a0-0000-7000-8000-000000000001"))
    fresh = writer.entry(create("Host", "rhea", address="a"))
    again = writer.entry(create("Host", "dione", address="a"), id="0191d3a0-0000-7000-8000-000000000001")
    assert Outcome.REJECTED == writer.commit(fresh, again)
    assert 1 == subject.store.load(recent=0).revision
    assert Outcome.COMMITTED == writer.commit(fresh)


def test_a_repeated_request_id_is_found_with_its_first_answer(subject: Subject, writer: Writer) -> None:
    # B-51
    writer.commit(writer.entry(environment()))
    entry = writer.entry(
        create("Host", "rhea", address="a"),
        update("Host", "rhea", an_object("Host", address="b"), "body.address"),
    )
    unchanged = writer.entry(update("Host", "rhea", an_object("Host", address="b"), "body.address"))
    writer.commit(entry, unchanged)
    asked = [entry.request, unchanged.request, RequestKey("administrator/bob", entry.request_id)]
    found = subject.another().find(asked)
    assert {entry.request: entry, unchanged.request: unchanged} == found.entries
    assert () == found.entries[unchanged.request].changes
    assert EPOCH == found.holder


def test_the_tail_is_everything_behind_a_revision_with_the_row_it_was_read_under(
    subject: Subject, writer: Writer
) -> None:
    # ha.md, Promotion
    entries = [
        writer.entry(environment()),
        *(writer.entry(create("Host", f"h{n}", address="a")) for n in range(3)),
    ]
    writer.commit(*entries)
    subject.raise_token(LATER)
    tail = subject.another().tail(after_revision=1, limit=10)
    assert (HISTORY, LATER, 4) == (tail.history_id, tail.holder, tail.last_revision)
    assert (entries[0].identity, tuple(entries[1:]), True) == (tail.at_start, tail.entries, tail.complete)


def test_a_long_tail_is_read_by_pages(subject: Subject, writer: Writer) -> None:
    entries = [
        writer.entry(environment()),
        *(writer.entry(create("Host", f"h{n}", address="a")) for n in range(3)),
    ]
    writer.commit(*entries)
    first = subject.store.tail(after_revision=0, limit=3)
    assert (tuple(entries[:3]), False, None) == (first.entries, first.complete, first.at_start)
    rest = subject.store.tail(after_revision=3, limit=3)
    assert (tuple(entries[3:]), True) == (rest.entries, rest.complete)


def test_a_tail_behind_the_end_says_where_the_log_ends(subject: Subject, writer: Writer) -> None:
    # B-51
    writer.commit(writer.entry(environment()))
    tail = subject.store.tail(after_revision=7, limit=10)
    assert (1, None, ()) == (tail.last_revision, tail.at_start, tail.entries)


def test_the_history_of_one_object_is_its_transactions_and_nothing_else(
    subject: Subject, writer: Writer
) -> None:
    writer.commit(writer.entry(environment()))
    made = writer.entry(create("Host", "rhea", address="a"))
    other = writer.entry(create("Host", "dione", address="a"))
    gone = writer.entry(delete("Host", "rhea"))
    writer.commit(made, other, gone)
    page = subject.store.history(key=made.changes[0].key, after_revision=0, limit=10)
    assert (made, gone) == page.entries
    assert (HISTORY, 4) == (page.history_id, page.through_revision)


def test_history_comes_by_pages_of_whole_transactions(subject: Subject, writer: Writer) -> None:
    first = writer.entry(environment())
    pair = writer.entry(create("Host", "rhea", address="a"), create("Host", "dione", address="a"))
    last = writer.entry(create("Host", "iapetus", address="a"))
    writer.commit(first, pair, last)
    page = subject.store.history(key=None, after_revision=0, limit=2)
    assert ((first, pair), 2) == (page.entries, page.through_revision)
    assert (last,) == subject.store.history(key=None, after_revision=2, limit=2).entries


def test_two_writers_at_once_never_both_commit_the_same_revision(subject: Subject) -> None:
    # B-50, I-3: the same token twice, as after an election that went wrong
    base = Writer(subject.store)
    first = base.entry(environment())
    base.commit(first)
    outcomes: list[Outcome] = []

    def race(store: ConfigurationStore, name: str) -> None:
        writer = Writer(store)
        writer.memory.apply(first)
        for number in range(10):
            entry = writer.entry(create("Host", f"{name}-{number}", address="a"))
            outcomes.append(writer.commit(entry))

    threads = [threading.Thread(target=race, args=(subject.another(), name)) for name in ("rhea", "dione")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    loaded = subject.store.load(recent=100)
    assert list(range(1, loaded.revision + 1)) == [entry.revision for entry in loaded.recent]
    assert loaded.revision - 1 == outcomes.count(Outcome.COMMITTED)
    assert 20 == len(outcomes)
    assert set(outcomes) <= {Outcome.COMMITTED, Outcome.MISPLACED, Outcome.REJECTED, Outcome.UNREACHABLE}

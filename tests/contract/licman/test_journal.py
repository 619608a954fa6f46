"""The journal's contract, for memory, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from confkit.database import open_database
from confkit.election.types import (
    ALLOWED,
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    InstanceName,
    Permission,
    ProcessFacts,
    Refusal,
    View,
)
from confkit.fence import RaiseCheck
from confkit.license.pools import PoolId
from licman.adapters.journal import SqlJournal
from licman.adapters.memory import MemoryJournal
from licman.core.model import (
    Grant,
    Handle,
    Holding,
    LicenseText,
    Owner,
    Record,
    Release,
    ReleaseReason,
    Wanted,
)
from licman.ports import Fenced, Journal, Journalled, WentBack

FIRST, SECOND = Epoch(1, 10), Epoch(1, 20)
GROUNDS = Grounds(EtcdIdentity("etcd-1"), 25, 2.0, 0.0, View(25))
FACTS = ProcessFacts(InstanceName("licman-1"), host="h", pid=7, process_start_ticks=8, boot_id="b")
LICENSE = LicenseText(3, "ab", b"FEATURE f v 1 permanent 1\n\xe9")


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    url = f"sqlite:///{tmp_path}/licman.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server").fresh_database()
    database = open_database(url, program="licman-test")
    yield SqlJournal(database)
    database.close()


def holding(handle: str, **changes: object) -> Holding:
    wanted = Wanted(Owner("application/ann"), Handle(handle), "f", "1.0", 2, "änne", "h", ":0", "t")
    return replace(Holding(wanted, PoolId("p1"), 1_000, True, False), **changes)  # type: ignore[arg-type]


def grant(handle: str, **changes: object) -> Grant:
    return Grant(holding(handle, **changes))


def release(handle: str) -> Release:
    return Release(holding(handle), ReleaseReason.CHECKED_IN, 2_000)


class Writer:
    """A License Manager's view of the journal: it holds a token and knows where the journal ends."""

    def __init__(self, journal: Journal, epoch: Epoch) -> None:
        self.journal, self.epoch = journal, epoch
        raised = journal.raise_fence(epoch, GROUNDS, facts=FACTS, permit=lambda _: ALLOWED)
        assert raised.raised
        assert raised.row is not None
        self.history_id = raised.row.history_id
        self.last = journal.load().last

    def append(self, *records: Record) -> None:
        self.journal.append(records, epoch=self.epoch, history_id=self.history_id, first=self.last + 1)
        self.last += len(records)


def test_an_empty_journal_holds_nothing(journal: Journal) -> None:
    assert Journalled((), None, 0) == journal.load()
    assert journal.read_fence() is None


def test_what_is_granted_is_held_oldest_first_until_it_is_released(journal: Journal) -> None:  # B-42
    writer = Writer(journal, FIRST)
    writer.append(grant("b"), grant("a", is_counted=False, is_overdraft=True), LICENSE)
    writer.append(grant("c"))
    held = (holding("b"), holding("a", is_counted=False, is_overdraft=True), holding("c"))
    assert Journalled(held, LICENSE, 4) == journal.load()
    writer.append(release("a"), release("c"))
    assert Journalled((holding("b"),), LICENSE, 6) == journal.load()


def test_a_handle_may_come_and_go_in_one_group(journal: Journal) -> None:
    writer = Writer(journal, FIRST)
    writer.append(grant("a"), release("a"), grant("b"))
    writer.append(release("b"), grant("b", granted_ms=5_000), grant("a"), release("a"))
    assert Journalled((holding("b", granted_ms=5_000),), None, 7) == journal.load()


def test_one_handle_of_two_owners_is_two(journal: Journal) -> None:
    writer = Writer(journal, FIRST)
    other = holding("a")
    other = replace(other, wanted=replace(other.wanted, owner=Owner("application/bob")))
    writer.append(grant("a"), Grant(other))
    writer.append(release("a"))
    assert (other,) == journal.load().holdings


def test_the_latest_license_counts(journal: Journal) -> None:
    writer = Writer(journal, FIRST)
    writer.append(LICENSE)
    writer.append(replace(LICENSE, revision=4, text=b""))
    assert LicenseText(4, "ab", b"") == journal.load().license


def test_nothing_to_write_writes_nothing(journal: Journal) -> None:
    Writer(journal, FIRST).append()
    assert 0 == journal.load().last


def test_a_server_with_a_former_token_grants_nothing(journal: Journal) -> None:  # B-50
    old = Writer(journal, FIRST)
    old.append(grant("a"))
    new = Writer(journal, SECOND)
    with pytest.raises(Fenced):
        old.append(grant("b"))
    new.append(grant("c"))
    assert ["a", "c"] == [one.wanted.handle for one in journal.load().holdings]


def test_a_journal_that_does_not_end_where_it_was_left_takes_nothing(journal: Journal) -> None:  # B-51
    writer = Writer(journal, FIRST)
    writer.append(grant("a"))
    writer.last = 7
    with pytest.raises(WentBack) as caught:
        writer.append(grant("b"))
    assert (1, 1) == (caught.value.last, journal.load().last)


def test_a_journal_of_another_history_takes_nothing(journal: Journal) -> None:  # B-51
    writer = Writer(journal, FIRST)
    writer.history_id = "another"
    with pytest.raises(WentBack):
        writer.append(grant("a"))
    assert () == journal.load().holdings


def test_only_a_greater_token_is_raised(journal: Journal) -> None:  # B-50
    Writer(journal, SECOND)
    for epoch in (SECOND, FIRST):
        again = journal.raise_fence(epoch, GROUNDS, facts=FACTS, permit=lambda _: ALLOWED)
        assert (RaiseCheck.FENCED, False) == (again.check, again.raised)


def test_a_token_that_is_not_permitted_changes_nothing(journal: Journal) -> None:  # B-40
    Writer(journal, FIRST)
    refused = journal.raise_fence(
        SECOND, GROUNDS, facts=FACTS, permit=lambda _: Permission(Refusal.NOT_LICENSED, "no ha_redundancy")
    )
    assert (False, Refusal.NOT_LICENSED) == (refused.raised, refused.permission.refusal)
    assert (Confirmation.HOLDS, Confirmation.FENCED) == (journal.confirm(FIRST), journal.confirm(SECOND))


def test_the_row_says_who_holds_the_role(journal: Journal) -> None:
    assert Confirmation.WENT_BACK == journal.confirm(FIRST)
    Writer(journal, FIRST)
    row = journal.read_fence()
    assert row is not None
    assert (FIRST, "licman-1", 7, 2.0) == (row.token, row.instance, row.pid, row.granted_ttl_s)


def test_a_rebuilt_etcd_raises_the_generation_once(journal: Journal) -> None:  # B-50
    Writer(journal, FIRST)
    row = journal.read_fence()
    assert row is not None
    again = [
        journal.raise_generation(row, identity=EtcdIdentity("etcd-2"), revision=3, now_ms=1_764_000_000_000)
        for _ in range(2)
    ]
    assert [GenerationRaise.RAISED, GenerationRaise.LOST] == again
    found = journal.read_fence()
    assert found is not None
    assert Epoch(2, 0) == found.token

"""One suite for every usage store: what is taken, what is kept, what is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from confkit.election.types import History
from confkit.fence import FenceCheck, FenceRow
from lrm.adapters.duckdb_vault import DuckDbVault
from lrm.adapters.memory_store import MemoryVault
from lrm.core.entitlement import EntitlementHeader, EntitlementLine, EntitlementRevision, ItemKind
from lrm.core.ingest import BatchResult, BatchVerdict
from lrm.core.intervals import DAY_S, Peak, Period, Step
from lrm.core.report import SYSTEM, PeakQuery, PeakRow
from lrm.core.sessions import ItemName, SessionFact, SessionId, TenantName
from lrm.ports import StoreFenced, UsageVault
from tests.support.usage_facts import ACME, DAY_MS, RECEIVED_MS, VOICE, batch, becoming, row, session

DAY = 20_000
DAY_START_S = DAY * DAY_S
DAY_START_MS = DAY * DAY_MS
ALL_DAY = PeakQuery(first_day=DAY, last_day=DAY, as_of_s=DAY_START_S + DAY_S)


def test_a_commit_is_answered_and_counted(vault: UsageVault) -> None:
    # B-25
    store = vault.open(becoming(row(1)))
    first = batch(
        1, session(1, DAY_START_MS + 5_000, DAY_START_MS + 9_000), session(2, DAY_START_MS + 6_500, None)
    )
    assert (BatchResult(BatchVerdict.TAKE, 2, stored=2),) == store.commit([first], received_ms=RECEIVED_MS)
    [ours, system] = sorted(store.peaks(ALL_DAY), key=lambda each: each.tenant == SYSTEM)
    assert PeakRow(ACME, VOICE, DAY, Peak(2, DAY_START_S + 6, 3), 2) == ours
    assert PeakRow(SYSTEM, VOICE, DAY, Peak(2, DAY_START_S + 6, 3), 2) == system
    assert History("history", 2) == store.history()
    store.close()


def test_what_was_taken_is_known_to_whoever_opens_the_store_next(vault: UsageVault) -> None:
    # B-51
    first = batch(1, session(1, DAY_START_MS, None))
    store = vault.open(becoming(row(1)))
    store.commit([first], received_ms=RECEIVED_MS)
    store.close()
    store = vault.open(becoming(row(2, instance="lrm-2")))
    other = batch(1, session(1, DAY_START_MS, DAY_START_MS + 1))
    expected = (
        BatchResult(BatchVerdict.REPEAT, 2, repeated=1),
        BatchResult(BatchVerdict.OUT_OF_SEQUENCE, 2),
        BatchResult(BatchVerdict.TAKE, 3, repeated=1),
    )
    assert expected == store.commit([first, other, batch(2, *first.facts)], received_ms=RECEIVED_MS)
    assert History("history", 1) == store.history()
    store.close()


def test_an_end_completes_a_session_and_a_correction_replaces_it(vault: UsageVault) -> None:
    # B-25
    store = vault.open(becoming(row(1)))
    noon_ms = DAY_START_MS + DAY_MS // 2
    store.commit([batch(1, session(1, DAY_START_MS, None))], received_ms=RECEIVED_MS)
    ended = batch(2, session(1, DAY_START_MS, noon_ms, version=2))
    assert [1] == [each.completed for each in store.commit([ended], received_ms=RECEIVED_MS)]
    later = batch(3, session(1, noon_ms, noon_ms + 10_000, version=3))
    assert [1] == [each.corrected for each in store.commit([later], received_ms=RECEIVED_MS)]
    noon_s = DAY_START_S + DAY_S // 2
    assert {Peak(1, noon_s, 10)} == {each.peak for each in store.peaks(ALL_DAY)}
    store.close()


def test_a_session_within_one_second_counts_as_a_session_and_not_as_concurrency(vault: UsageVault) -> None:
    # B-25
    store = vault.open(becoming(row(1)))
    store.commit([batch(1, session(1, DAY_START_MS + 100, DAY_START_MS + 900))], received_ms=RECEIVED_MS)
    assert {(Peak(0, None, DAY_S), 1)} == {(each.peak, each.sessions) for each in store.peaks(ALL_DAY)}
    store.close()


def test_a_session_across_midnight_counts_on_both_days(vault: UsageVault) -> None:
    # B-25
    store = vault.open(becoming(row(1)))
    around = session(1, DAY_START_MS - 5_000, DAY_START_MS + 5_000)
    store.commit([batch(1, around)], received_ms=RECEIVED_MS)
    query = PeakQuery(first_day=DAY - 2, last_day=DAY + 1, as_of_s=DAY_START_S + 9 * DAY_S, tenant=ACME)
    expected = [
        PeakRow(ACME, VOICE, DAY - 1, Peak(1, DAY_START_S - 5, 5), 1),
        PeakRow(ACME, VOICE, DAY, Peak(1, DAY_START_S, 5), 1),
    ]
    assert expected == sorted(store.peaks(query), key=lambda each: each.day)
    store.close()


def test_one_tenant_or_one_item_can_be_asked_for_alone(vault: UsageVault) -> None:
    # B-25
    store = vault.open(becoming(row(1)))
    chat = ItemName("seat_chat")
    other = TenantName("other")
    facts = [
        session(1, DAY_START_MS, None),
        session(2, DAY_START_MS, None, tenant=other),
        session(3, DAY_START_MS, None, item=chat),
    ]
    store.commit([batch(1, *facts)], received_ms=RECEIVED_MS)

    def rows(tenant: TenantName | None, item: ItemName | None) -> set[tuple[str, str]]:
        query = PeakQuery(DAY, DAY, DAY_START_S + DAY_S, tenant, item)
        return {(each.tenant, each.item) for each in store.peaks(query)}

    assert {(ACME, VOICE), (ACME, chat)} == rows(ACME, None)
    assert {(ACME, chat), (SYSTEM, chat)} == rows(None, chat)
    assert {(other, VOICE)} == rows(other, VOICE)
    store.close()


def test_a_day_that_is_not_over_is_counted_up_to_now(vault: UsageVault) -> None:
    # B-25
    store = vault.open(becoming(row(1)))
    store.commit([batch(1, session(1, DAY_START_MS, None))], received_ms=RECEIVED_MS)
    query = PeakQuery(DAY, DAY, DAY_START_S + 60, ACME)
    assert [PeakRow(ACME, VOICE, DAY, Peak(1, DAY_START_S, 60), 1)] == store.peaks(query)
    assert [] == store.peaks(PeakQuery(DAY, DAY, DAY_START_S, ACME))
    store.close()


def test_a_session_whose_end_never_came_is_over_once_its_source_has_gone_on(vault: UsageVault) -> None:
    # B-25
    store = vault.open(becoming(row(1)))
    store.commit([batch(1, session(1, DAY_START_MS, None))], received_ms=RECEIVED_MS + DAY_MS)
    assert {Peak(1, DAY_START_S, DAY_S)} == {each.peak for each in store.peaks(ALL_DAY)}
    alive = session(1, DAY_START_MS, None, version=2, last_seen_ms=DAY_START_MS + 100_000)
    later = session(2, DAY_START_MS + 2_000_000, DAY_START_MS + 2_000_000)
    store.commit([batch(2, alive, later)], received_ms=RECEIVED_MS + DAY_MS)
    assert {Peak(1, DAY_START_S, 1_000)} == {each.peak for each in store.peaks(ALL_DAY)}
    store.close()
    store = vault.open(becoming(row(2)))
    assert {Peak(1, DAY_START_S, 1_000)} == {each.peak for each in store.peaks(ALL_DAY)}
    ended = session(1, DAY_START_MS, DAY_START_MS + 3_000_000, version=3)
    store.commit([batch(3, ended)], received_ms=RECEIVED_MS + DAY_MS)
    assert {Peak(1, DAY_START_S, 3_000)} == {each.peak for each in store.peaks(ALL_DAY)}
    store.close()


def test_attributes_and_names_of_every_kind_come_back_as_they_were(vault: UsageVault) -> None:
    # B-51
    fact = session(
        1, DAY_START_MS, None, place="Plätz ' 7", person='"x"', attributes=(("a", "1"), ("b", "\u2028;"))
    )
    store = vault.open(becoming(row(1)))
    store.commit([batch(1, fact)], received_ms=RECEIVED_MS)
    store.close()
    store = vault.open(becoming(row(2)))
    assert [1] == [each.repeated for each in store.commit([batch(2, fact)], received_ms=RECEIVED_MS)]
    store.close()


def test_entitlement_revisions_are_kept_and_replaced(vault: UsageVault) -> None:
    # B-25, B-26
    line = EntitlementLine(
        VOICE, 5, "0001-2", "Voice", burst=2, kind=ItemKind.ENABLED, valid_from_s=10, valid_until_s=20
    )
    first = EntitlementRevision(1, "aa", 100, EntitlementHeader("Acme", "Berlin", "2026-01-01"), (line,))
    second = EntitlementRevision(2, "bb", 200)
    again = EntitlementRevision(1, "cc", 100, lines=(line, line))
    store = vault.open(becoming(row(1)))
    for revision in (second, first):
        store.save_entitlement(revision)
    store.close()
    store = vault.open(becoming(row(2)))
    assert (first, second) == store.entitlement().revisions
    store.save_entitlement(again)
    assert (again, second) == store.entitlement().revisions
    store.close()


def test_the_fence_row_is_raised_when_the_store_is_opened(vault: UsageVault) -> None:
    # B-50
    seen: list[FenceRow | None] = []
    assert None is vault.read_fence()
    for number in (1, 2):
        vault.open(lambda found, number=number: seen.append(found) or row(number)).close()
    assert [None, row(1)] == seen
    assert row(2) == vault.read_fence()


def test_a_refusal_to_raise_the_row_leaves_the_store_as_it_was(vault: UsageVault) -> None:
    # B-50
    vault.open(becoming(row(7))).close()

    def refuse(found: FenceRow | None) -> FenceRow:
        raise PermissionError(f"{found.token if found else None} is in force")

    with pytest.raises(PermissionError, match=r"1\.7 is in force"):
        vault.open(refuse)
    assert row(7) == vault.read_fence()
    vault.open(becoming(row(8))).close()


def test_the_row_is_replaced_only_as_it_was_read(vault: UsageVault) -> None:
    # B-50
    vault.open(becoming(row(7))).close()
    raised = row(0, generation=2)
    assert not vault.replace_fence(row(6), raised)
    assert vault.replace_fence(row(7), raised)
    assert raised == vault.read_fence()


def test_a_store_held_under_another_token_takes_nothing(vault: UsageVault) -> None:
    # B-50
    store = vault.open(becoming(row(1)))
    assert FenceCheck.HOLDS == store.check()
    _raise_behind_its_back(vault, row(2))
    assert FenceCheck.FENCED == store.check()
    with pytest.raises(StoreFenced):
        store.commit([batch(1, session(1, DAY_START_MS, None))], received_ms=RECEIVED_MS)
    with pytest.raises(StoreFenced):
        store.save_entitlement(EntitlementRevision(1, "aa", 100))
    assert [] == store.peaks(ALL_DAY)
    store.close()


def _raise_behind_its_back(vault: UsageVault, new: FenceRow) -> None:
    """As another machine with the same storage could: inside one process the file's own lock does not hold."""
    if isinstance(vault, MemoryVault):
        vault.fence = new
    else:
        vault.open(becoming(new)).close()


times_ms = st.integers(-90_000, 90_000).map(lambda seconds: seconds * 1_000 + 250)
sessions_drawn = st.builds(
    lambda number, seat, tenant, item, start_ms, length_ms, alive_ms: session(
        number,
        DAY_START_MS + start_ms,
        None if length_ms is None else DAY_START_MS + start_ms + length_ms,
        tenant=TenantName(tenant),
        item=ItemName(item),
        place=seat,
        last_seen_ms=None if alive_ms is None else DAY_START_MS + start_ms + alive_ms,
    ),
    st.integers(0, 30),
    st.sampled_from(["", "p1", "p2"]),
    st.sampled_from(["acme", "other"]),
    st.sampled_from(["seat_voice", "seat_chat"]),
    times_ms,
    st.none() | st.integers(0, 200_000) | st.integers(0, 100_000_000),
    st.none() | st.integers(0, 3_000_000),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(sessions_drawn, max_size=14), st.integers(-DAY_S, 2 * DAY_S))
def test_the_database_gives_the_figures_of_the_core(
    tmp_path_factory: pytest.TempPathFactory, facts: list[SessionFact], as_of_s: int
) -> None:
    # B-25
    query = PeakQuery(first_day=DAY - 2, last_day=DAY + 2, as_of_s=DAY_START_S + as_of_s)
    period = Period(DAY_START_S - 1_000, DAY_START_S + 2_000)
    numbered = [session_with(fact, number) for number, fact in enumerate(facts)]
    answers = []
    for vault in (MemoryVault(), DuckDbVault(tmp_path_factory.mktemp("usage") / "usage.duckdb")):
        store = vault.open(becoming(row(1)))
        store.commit([batch(1, *numbered)], received_ms=RECEIVED_MS + DAY_MS)
        peaks = sorted(store.peaks(query), key=lambda each: (each.tenant, each.item, each.day))
        answers.append((peaks, store.use_of(ACME, VOICE, period), store.use_of(SYSTEM, VOICE, period)))
        store.close()
    assert answers[0] == answers[1]


def session_with(fact: SessionFact, number: int) -> SessionFact:
    return replace(fact, id=SessionId(f"s-{number}"), device=f"d-{number}")


def test_concurrency_of_a_period_is_a_step_function_from_its_start(vault: UsageVault) -> None:
    # B-25
    store = vault.open(becoming(row(1)))
    store.commit([batch(1, session(1, DAY_START_MS - 5_000, DAY_START_MS + 9_000))], received_ms=RECEIVED_MS)
    period = Period(DAY_START_S, DAY_START_S + 60)
    assert (Step(DAY_START_S, 1), Step(DAY_START_S + 9, 0)) == store.use_of(ACME, VOICE, period)
    assert (Step(DAY_START_S, 0),) == store.use_of(TenantName("nobody"), VOICE, period)
    store.close()

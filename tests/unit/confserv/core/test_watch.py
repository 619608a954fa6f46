"""What a watcher sees of a transaction, and how it is told when it does not keep up."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from confserv.core.log import Change, LogEntry
from confserv.core.objects import Dbid, Key, Record, TypeName
from confserv.core.refusals import Reason, Refused
from confserv.core.watch import ChangeKind, Filter, select
from confserv.service.watchers import WatchHub
from tests.support.configurations import EPOCH

OPEN = Filter()


def host(name: str, *, tenant: int = 1, folder: int = 0) -> Record:
    """Make a host."""
    return Record(Key(TypeName("Host"), Dbid(100)), name, Dbid(tenant), Dbid(folder), 1, name.encode())


def entry(revision: int, before: Record | None, after: Record | None) -> LogEntry:
    """Make a transaction of one change."""
    return LogEntry(revision, EPOCH, 0, "a", f"{revision}", b"", "", (Change(before, after),))


INSIDE, OUTSIDE = host("inside"), host("outside")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(None, INSIDE, [(ChangeKind.ADDED, INSIDE)], id="is made inside the filter: added"),
        pytest.param(None, OUTSIDE, [], id="is made outside: nothing"),
        pytest.param(OUTSIDE, INSIDE, [(ChangeKind.ADDED, INSIDE)], id="comes in: added"),
        pytest.param(INSIDE, host("in"), [(ChangeKind.CHANGED, host("in"))], id="changes inside: changed"),
        pytest.param(
            INSIDE, OUTSIDE, [(ChangeKind.REMOVED, INSIDE)], id="leaves: removed, as the watcher knew it"
        ),
        pytest.param(INSIDE, None, [(ChangeKind.REMOVED, INSIDE)], id="is deleted inside: removed"),
        pytest.param(OUTSIDE, None, [], id="is deleted outside: nothing"),
    ],
)
def test_an_object_that(
    before: Record | None, after: Record | None, told: list[tuple[ChangeKind, Record]]
) -> None:
    # ha.md, The change log; I-4
    selected = select(entry(1, before, after), Filter(name_prefix="in"))
    assert told == [(one.kind, one.record) for one in selected]


@pytest.mark.parametrize(
    ("chosen", "passes"),
    [
        pytest.param(OPEN, True, id="nothing lets everything through"),
        pytest.param(
            Filter(types=frozenset({TypeName("Host"), TypeName("Person")})), True, id="its type among others"
        ),
        pytest.param(Filter(types=frozenset({TypeName("Person")})), False, id="another type"),
        pytest.param(Filter(tenant=Dbid(3)), True, id="its tenant"),
        pytest.param(Filter(tenant=Dbid(4)), False, id="another tenant"),
        pytest.param(Filter(folder=Dbid(7)), True, id="its folder"),
        pytest.param(Filter(folder=Dbid(8)), False, id="another folder"),
        pytest.param(
            Filter(tenant=Dbid(3), name_prefix="rh"), True, id="its tenant and the start of its name"
        ),
        pytest.param(Filter(tenant=Dbid(3), name_prefix="ea"), False, id="its tenant and another name"),
    ],
)
def test_a_filter_for(chosen: Filter, passes: bool) -> None:
    assert passes is chosen.passes(host("rhea", tenant=3, folder=7))


def render(made: list[int]) -> object:
    """Make a renderer that notes the revisions it was asked for."""

    def renders(one: LogEntry, selected: object, history_id: str) -> bytes:
        made.append(one.revision)
        return f"{history_id}:{one.revision}".encode()

    return renders


async def test_a_message_is_made_once_for_all_that_share_a_filter() -> None:
    # architecture.md: serialized once, the same bytes to every watcher
    made: list[int] = []
    hub = WatchHub(render(made))  # type: ignore[arg-type]
    watchers = [hub.subscribe(Filter(name_prefix="in"), revision=0) for _ in range(50)]
    other = hub.subscribe(OPEN, revision=0)
    hub.publish([entry(1, None, INSIDE), entry(2, None, OUTSIDE)], history_id="h")
    queued = [await watcher.messages(wait_s=0) for watcher in watchers]
    assert [[b"h:1"]] * 50 == queued
    assert 1 == len({id(messages[0]) for messages in queued})
    assert [b"h:1", b"h:2"] == await other.messages(wait_s=0)
    assert [1, 1, 2] == sorted(made)
    assert (2, 1) == (watchers[0].seen, watchers[0].delivered)


async def test_a_watcher_that_lags_gets_what_was_queued_and_then_the_revision_to_resume_behind() -> None:
    # B-52
    hub = WatchHub(render([]), max_queued=2)  # type: ignore[arg-type]
    slow, quick = hub.subscribe(OPEN, revision=0), hub.subscribe(OPEN, revision=0)
    for revision in range(1, 5):
        hub.publish([entry(revision, None, INSIDE)], history_id="h")
        await quick.messages(wait_s=0)
    assert [b"h:1", b"h:2"] == await slow.messages(wait_s=0)
    with pytest.raises(Refused) as caught:
        await slow.messages(wait_s=0)
    assert (Reason.LAGGED, 2) == (caught.value.reason, caught.value.facts["revision"])
    assert 4 == quick.delivered


async def test_who_has_left_is_told_nothing() -> None:
    hub = WatchHub(render([]))  # type: ignore[arg-type]
    watcher = hub.subscribe(OPEN, revision=0)
    hub.unsubscribe(OPEN, watcher)
    hub.publish([entry(1, None, INSIDE)], history_id="h")
    assert [] == await watcher.messages(wait_s=0)


@given(
    states=st.lists(st.sampled_from([None, host("in"), host("in two"), host("out")]), max_size=12),
    prefix=st.sampled_from(["", "in", "out", "none"]),
)
def test_what_a_watcher_pieces_together_is_the_filtered_state(
    states: list[Record | None], prefix: str
) -> None:
    # I-4: the filtered view of the log
    chosen = Filter(name_prefix=prefix)
    known: Record | None = None
    before: Record | None = None
    for revision, after in enumerate(states, start=1):
        if before is None and after is None:
            continue
        for one in select(entry(revision, before, after), chosen):
            assert (one.kind is ChangeKind.ADDED) == (known is None)
            known = None if one.kind is ChangeKind.REMOVED else one.record
        assert known == (after if after is not None and chosen.passes(after) else None)
        before = after

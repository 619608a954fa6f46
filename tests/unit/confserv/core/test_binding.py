"""What is logged of the License Reporting Manager, and when the stage moves: transcripts of events and effects."""

from __future__ import annotations

import pytest

from confkit.events import EVENTS
from confserv.core.binding import (
    Accept,
    Asked,
    Binding,
    BindingRules,
    Bond,
    CommitOperational,
    Demoted,
    Effect,
    Event,
    KeepAwaySince,
    LogEvent,
    Lost,
    Promoted,
    Refuse,
    StageCommitted,
    StageNotCommitted,
    Tick,
    deadline_s,
    step,
)
from confserv.core.stage import Stage

FIRST, OPERATIONAL = Stage.FIRST_STARTUP, Stage.OPERATIONAL
ONE, TWO, AGAIN = Bond("lrm-1", 1), Bond("lrm-2", 2), Bond("lrm-1", 3)
RULES = BindingRules(connect_timeout_s=30)
WALL_MS = 1_000_000

CONNECTED, GONE = LogEvent("21-25100", "lrm-1"), LogEvent("21-25102", "lrm-1")
NEVER_CAME = LogEvent("21-25102")


def play(
    events: list[tuple[float, Event]], rules: BindingRules = RULES, state: Binding | None = None
) -> tuple[Binding, list[tuple[Effect, ...]]]:
    state = state or Binding()
    seen = []
    for now_s, event in events:
        state, effects = step(state, event, now_s=now_s, now_ms=WALL_MS + int(now_s * 1000), rules=rules)
        seen.append(effects)
    return state, seen


@pytest.mark.parametrize(
    ("number", "text"),
    [
        # B-21, B-11, B-22
        ("21-25100", "LRM Server connected successfully, system operating normally"),
        ("21-25101", "Unable to accept connection: LRM Server has not been started"),
        ("21-25102", "LRM Server has disconnected"),
    ],
)
def test_the_fixed_texts_are_as_they_are(number: str, text: str) -> None:
    assert text == EVENTS[number].text


def test_the_stage_is_committed_before_the_first_lrm_is_announced_and_bound() -> None:
    # B-12
    state, seen = play([(0, Promoted(FIRST)), (1, Asked(ONE)), (2, StageCommitted())])
    assert [(), (CommitOperational(),), (CONNECTED, Accept(ONE))] == seen
    assert (OPERATIONAL, ("lrm-1",)) == (state.stage, state.instances)


def test_two_that_come_first_together_cause_one_commit_and_one_event() -> None:
    # B-12, B-21
    _, seen = play([(0, Promoted(FIRST)), (1, Asked(ONE)), (1, Asked(TWO)), (2, StageCommitted())])
    assert [(CommitOperational(),), (), (CONNECTED, Accept(ONE), Accept(TWO))] == seen[1:]


def test_a_stage_that_cannot_be_committed_binds_nobody() -> None:
    # B-12
    state, seen = play([(0, Promoted(FIRST)), (1, Asked(ONE)), (2, StageNotCommitted())])
    assert (Refuse(ONE),) == seen[-1]
    assert (FIRST, ()) == (state.stage, state.instances)


def test_who_leaves_before_the_commit_is_not_announced() -> None:
    # B-12, B-21
    state, seen = play([(0, Promoted(FIRST)), (1, Asked(ONE)), (1, Lost(ONE)), (2, StageCommitted())])
    assert () == seen[-1]
    assert OPERATIONAL is state.stage


def test_only_the_change_from_none_to_one_and_back_is_logged() -> None:
    # B-21, B-22
    events: list[Event] = [Promoted(OPERATIONAL), Asked(ONE), Asked(TWO), Lost(TWO), Lost(ONE), Asked(AGAIN)]
    _, seen = play([(float(number), event) for number, event in enumerate(events)])
    assert [
        (KeepAwaySince(WALL_MS),),
        (CONNECTED, Accept(ONE), KeepAwaySince(0)),
        (Accept(TWO),),
        (),
        (GONE, KeepAwaySince(WALL_MS + 4000)),
        (CONNECTED, Accept(AGAIN), KeepAwaySince(0)),
    ] == seen


def test_an_lrm_that_reconnects_before_its_old_stream_ends_was_never_away() -> None:
    # B-21, B-22
    _, seen = play([(0, Promoted(OPERATIONAL)), (1, Asked(ONE)), (2, Asked(AGAIN)), (3, Lost(ONE))])
    assert [(Accept(AGAIN),), ()] == seen[2:]


def test_a_server_that_leaves_the_role_logs_neither() -> None:
    # B-22
    state, seen = play([(0, Promoted(OPERATIONAL)), (1, Asked(ONE)), (2, Demoted()), (3, Lost(ONE))])
    assert [(), ()] == seen[2:]
    assert () == state.instances


def test_a_server_that_leaves_the_role_refuses_who_waits_for_the_stage() -> None:
    # B-20, B-22
    _, seen = play([(0, Promoted(FIRST)), (1, Asked(ONE)), (2, Demoted()), (3, StageCommitted())])
    assert [(Refuse(ONE),), ()] == seen[2:]


def test_a_server_that_is_not_primary_binds_nobody() -> None:
    # B-20
    assert [(Refuse(ONE),)] == play([(0, Asked(ONE))])[1]


def test_an_lrm_that_does_not_come_in_time_is_reported_once() -> None:
    # B-23
    events: list[tuple[float, Event]] = [
        (0, Promoted(OPERATIONAL)),
        (29.9, Tick()),
        (30, Tick()),
        (90, Tick()),
    ]
    _, seen = play(events)
    assert [(), (NEVER_CAME,), ()] == seen[1:]


def test_an_lrm_that_comes_late_clears_it() -> None:
    # B-23
    _, seen = play([(0, Promoted(OPERATIONAL)), (30, Tick()), (31, Asked(ONE))])
    assert (CONNECTED, Accept(ONE), KeepAwaySince(0)) == seen[-1]


def test_a_loss_within_the_timeout_is_not_reported_twice() -> None:
    # B-22, B-23
    _, seen = play([(0, Promoted(OPERATIONAL)), (1, Asked(ONE)), (2, Lost(ONE)), (40, Tick())])
    assert () == seen[-1]


def test_nobody_is_missed_before_the_first_lrm_was_seen() -> None:
    # B-23
    state, seen = play([(0, Promoted(FIRST)), (100, Tick())])
    assert [(), ()] == seen
    assert deadline_s(state, rules=RULES) is None


def test_the_successor_logs_the_connection_and_so_clears_what_the_former_primary_logged() -> None:
    # B-23
    _, seen = play([(50, Promoted(OPERATIONAL, away_since_ms=777)), (51, Asked(ONE))])
    assert [(), (CONNECTED, Accept(ONE), KeepAwaySince(0))] == seen


def test_how_long_it_has_been_away_survives_a_change_of_primary() -> None:
    # B-24
    state, seen = play([(50, Promoted(OPERATIONAL, away_since_ms=777))])
    assert 777 == state.away_since_ms
    assert [()] == seen


def test_without_monitoring_nothing_is_logged_and_all_else_is_the_same() -> None:
    # B-21
    rules = BindingRules(connect_timeout_s=30, monitoring=False)
    _, seen = play([(0, Promoted(FIRST)), (1, Asked(ONE)), (2, StageCommitted()), (3, Lost(ONE))], rules)
    assert [(CommitOperational(),), (Accept(ONE),), (KeepAwaySince(WALL_MS + 3000),)] == seen[1:]


@pytest.mark.parametrize("event", [Promoted(OPERATIONAL), Demoted()])
def test_the_stage_is_never_forgotten(event: Event) -> None:
    # B-10
    state, _ = play([(0, Promoted(OPERATIONAL)), (1, event)])
    assert OPERATIONAL is state.stage

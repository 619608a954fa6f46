"""Roles that change too often."""

from __future__ import annotations

from confkit.election.flapping import LONGEST_DELAY_S, Flapping
from confkit.election.types import InstanceName

A, B = InstanceName("a"), InstanceName("b")


def after(changes: int, *, every_s: float = 1.0, limit: int = 3) -> Flapping:
    flapping = Flapping(limit=limit, window_s=100.0).saw(A, 0.0)
    for change in range(changes):
        flapping = flapping.saw((B, A)[change % 2], (change + 1) * every_s)
    return flapping


def test_the_first_primary_and_the_same_again_are_no_changes() -> None:
    # ha.md, Switching over: flapping
    assert () == Flapping().saw(None, 1.0).saw(A, 2.0).saw(A, 3.0).saw(None, 4.0).saw(A, 5.0).changes_s


def test_planned_changes_do_not_count() -> None:
    # ha.md, Switching over: slow further automatic ones
    assert () == Flapping().saw(A, 0.0).saw(B, 1.0, planned=True).saw(A, 2.0, planned=True).changes_s


def test_as_many_changes_as_are_allowed_delay_nothing() -> None:
    # ha.md, Switching over: more than N changes in a window
    assert (0, 0.0) == (after(3).excess(10.0), after(3).delay_s(10.0, step_s=5.0))


def test_each_further_change_doubles_the_delay_up_to_a_minute() -> None:
    # ha.md, Switching over: slow further automatic ones
    delays_s = [after(3 + excess).delay_s(20.0, step_s=5.0) for excess in (1, 2, 3, 9)]
    assert [5.0, 10.0, 20.0, LONGEST_DELAY_S] == delays_s


def test_changes_outside_the_window_no_longer_count() -> None:
    # ha.md, Switching over: in a window
    assert 2 == after(5).excess(50.0)
    assert 0 == after(5).excess(200.0)
    assert 1 == len(after(5).saw(A if after(5).last == B else B, 200.0).changes_s)

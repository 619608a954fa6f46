"""The bond with the primary: whom LRM believes, and when it reads the license again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit.election.types import Epoch
from lrm.core.binding import (
    NO_LICENSE,
    AnnounceBound,
    AnnounceDifference,
    AnnounceLost,
    Answered,
    Bond,
    Effect,
    Fetch,
    Leave,
    LicenseId,
    Lost,
    Read,
    Remember,
    TakeText,
    step,
)

FIRST, SECOND, LATER = Epoch(1, 5), Epoch(1, 9), Epoch(2, 1)
ONE, TWO, FOUR = LicenseId(1, "a1"), LicenseId(2, "b2"), LicenseId(4, "d4")
ONE_ALTERED = LicenseId(1, "ff")
BOUND = Bond(highest=FIRST, bound=FIRST, held=ONE, server=ONE)

CASES = [
    pytest.param(
        Bond(),
        Answered(FIRST, ONE, has_text=True),
        (Remember(FIRST), AnnounceBound(FIRST), TakeText(ONE)),
        id="the first answer binds and brings the license",
    ),
    pytest.param(
        Bond(highest=FIRST, held=ONE),
        Answered(SECOND, ONE, has_text=False),
        (Remember(SECOND), AnnounceBound(SECOND)),
        id="a successor with the same license needs no text",
    ),
    pytest.param(
        Bond(highest=SECOND, held=ONE),
        Answered(SECOND, ONE, has_text=False),
        (AnnounceBound(SECOND),),
        id="binding again to the same tenure remembers nothing new",
    ),
    pytest.param(
        BOUND, Answered(FIRST, ONE, has_text=False), (), id="a check that finds nothing says nothing"
    ),
    pytest.param(
        BOUND, Answered(FIRST, TWO, has_text=True), (TakeText(TWO),), id="a new revision is no difference"
    ),
    pytest.param(
        BOUND,
        Answered(FIRST, FOUR, has_text=True),
        (TakeText(FOUR), Fetch(2), Fetch(3)),
        id="revisions between are read too, so that the past stays what it was",
    ),
    pytest.param(
        BOUND,
        Answered(FIRST, ONE_ALTERED, has_text=True),
        (AnnounceDifference(ONE, ONE_ALTERED), TakeText(ONE_ALTERED)),
        id="the same revision with another text is a difference, and the text is taken",
    ),
    pytest.param(
        Bond(highest=FIRST, bound=FIRST, held=TWO, server=TWO),
        Answered(FIRST, ONE, has_text=False),
        (AnnounceDifference(TWO, ONE), Fetch(1)),
        id="a server that has an older revision went back, and is read afresh",
    ),
    pytest.param(
        Bond(highest=FIRST, bound=FIRST, held=ONE, server=TWO),
        Answered(FIRST, TWO, has_text=False),
        (AnnounceDifference(ONE, TWO), Fetch(2)),
        id="a check that finds a revision announced before, and not taken, is a difference",
    ),
    pytest.param(
        Bond(highest=FIRST, bound=FIRST, held=FOUR, server=FOUR, missing=frozenset({2, 3})),
        Answered(FIRST, FOUR, has_text=False),
        (Fetch(2), Fetch(3)),
        id="revisions that could not be read are asked for with every check",
    ),
    pytest.param(
        Bond(),
        Answered(FIRST, NO_LICENSE, has_text=False),
        (Remember(FIRST), AnnounceBound(FIRST)),
        id="no license yet",
    ),
    pytest.param(
        Bond(highest=SECOND),
        Answered(FIRST, ONE, has_text=True),
        (Leave("it answers under token 1.5, and 1.9 was seen already"),),
        id="a server under a lower token is left, whatever it sends",
    ),
    pytest.param(
        Bond(highest=SECOND),
        Answered(None, ONE, has_text=True),
        (Leave("it answers under no token"),),
        id="no token",
    ),
    pytest.param(BOUND, Lost(), (AnnounceLost(),), id="a bond that is lost is announced"),
    pytest.param(Bond(highest=FIRST), Lost(), (), id="a stream that never bound is no loss"),
]


@pytest.mark.parametrize(("bond", "event", "expected"), CASES)
def test_what_follows(bond: Bond, event: Answered | Lost, expected: tuple[Effect, ...]) -> None:
    # B-20, B-26, I-7
    assert expected == step(bond, event)[1]


def test_a_license_counts_as_held_only_once_it_was_read() -> None:
    # B-26
    told, _ = step(BOUND, Answered(FIRST, TWO, has_text=True))
    assert ONE == told.held
    read, _ = step(told, Read(TWO))
    assert TWO == read.held


def test_reading_an_older_revision_late_does_not_replace_the_current_one() -> None:
    # B-25
    told, _ = step(BOUND, Answered(FIRST, FOUR, has_text=True))
    for revision in (FOUR, LicenseId(3, "c3"), TWO):
        told, _ = step(told, Read(revision))
    assert (FOUR, frozenset()) == (told.held, told.missing)


def test_a_bond_that_ends_keeps_the_highest_token() -> None:
    # I-7
    lost, _ = step(BOUND, Lost())
    assert (FIRST, None) == (lost.highest, lost.bound)


epochs = st.builds(Epoch, st.integers(1, 3), st.integers(1, 4))
events = st.one_of(
    st.builds(
        Answered,
        st.none() | epochs,
        st.builds(LicenseId, st.integers(0, 4), st.sampled_from("ab")),
        has_text=st.booleans(),
    ),
    st.just(Lost()),
)


@given(st.lists(events, max_size=20))
def test_nothing_is_ever_taken_under_a_token_lower_than_one_seen(said: list[Answered | Lost]) -> None:
    # I-7
    bond = Bond()
    highest: Epoch | None = None
    for event in said:
        bond, effects = step(bond, event)
        if not isinstance(event, Answered):
            continue
        lower = event.epoch is None or (highest is not None and event.epoch < highest)
        assert lower == any(isinstance(effect, Leave) for effect in effects)
        assert not lower or len(effects) == 1
        if not lower:
            highest = event.epoch
    assert highest == bond.highest

"""What a client believes, and what it does next."""

from __future__ import annotations

import pytest

from confclient import following
from confclient.following import Again, Epoch, GiveUp, Trouble, View, after_trouble, pause_s

OLD, NOW, NEW = Epoch(1, 4), Epoch(1, 7), Epoch(2, 0)
KNOWN = View(seeds=("a:1", "b:1"), primary="a:1", highest=NOW)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(
            following.hinted(KNOWN, by="a:1", endpoints=["b:1"], epoch=NEW),
            View(("a:1", "b:1"), primary="b:1", highest=NEW),
            id="a hint is followed",
        ),
        pytest.param(
            following.hinted(KNOWN, by="a:1", endpoints=["c:1"], epoch=NOW),
            View(("a:1", "b:1"), ("c:1",), primary="c:1", highest=NOW),
            id="a hint to an address that was not given is followed and remembered",
        ),
        pytest.param(
            following.hinted(KNOWN, by="a:1", endpoints=["b:1"], epoch=OLD),
            View(("a:1", "b:1"), highest=NOW),
            id="a hint from a tenure that is over only says who is not primary",
        ),
        pytest.param(
            following.hinted(KNOWN, by="a:1", endpoints=["a:1"], epoch=NOW),
            View(("a:1", "b:1"), highest=NOW),
            id="a server that refuses and names itself is not believed",
        ),
        pytest.param(
            following.hinted(KNOWN, by="b:1", endpoints=[], epoch=None),
            KNOWN,
            id="a refusal without a hint from another server than the primary changes nothing",
        ),
        pytest.param(
            following.declared(KNOWN, "b:1", OLD), KNOWN, id="who was primary once is not believed any more"
        ),
        pytest.param(
            following.declared(KNOWN, "b:1", NEW),
            View(("a:1", "b:1"), primary="b:1", highest=NEW),
            id="who says that it is primary under a later epoch is believed",
        ),
        pytest.param(
            following.declared(KNOWN, "b:1", NOW),
            KNOWN,
            id="a second address of the same tenure does not move anything",
        ),
        pytest.param(
            following.declared(following.lost(KNOWN, "a:1"), "a:1", NOW),
            KNOWN,
            id="a primary that was lost and still is primary is found again",
        ),
        pytest.param(
            following.announced(following.lost(KNOWN, "a:1"), endpoints=["a:1"], epoch=NOW),
            View(("a:1", "b:1"), highest=NOW),
            id="a backup that has not noticed the loss sends nobody back to the dead",
        ),
        pytest.param(
            following.announced(KNOWN, endpoints=["b:1"], epoch=NEW),
            View(("a:1", "b:1"), highest=NEW),
            id="a later tenure ends the belief in the former primary, and its own is still asked for",
        ),
        pytest.param(following.lost(KNOWN, "b:1"), KNOWN, id="the loss of a backup changes nothing"),
        pytest.param(
            following.reseeded(KNOWN, ["c:1", "c:1"]),
            View(("c:1",), primary="a:1", highest=NOW),
            id="given addresses can change while the primary stays",
        ),
    ],
)
def test_believes(view: View, expected: View) -> None:
    # B-20, B-52; ha.md, Clients
    assert expected == view


def test_remembers_a_bounded_number_of_addresses_and_the_given_ones_always() -> None:
    view = KNOWN
    for number in range(100):
        view = following.learned(view, [f"x:{number}", "a:1"])
    assert (following.MOST_LEARNED, "x:99") == (len(view.learned), view.learned[-1])
    assert ("a:1", "b:1") == view.endpoints[:2]


@pytest.mark.parametrize(
    ("epoch", "expected"), [(OLD, True), (NOW, False), (NEW, False), (None, False)], ids=str
)
def test_drops_what_comes_under_a_lower_epoch(epoch: Epoch | None, expected: bool) -> None:
    # B-20, I-7
    assert expected == following.is_old(KNOWN, epoch)


@pytest.mark.parametrize(
    ("trouble", "repeatable", "tries", "expected"),
    [
        pytest.param(
            Trouble.NOT_PRIMARY, False, 0, Again(0.0), id="what was refused is sent to the primary at once"
        ),
        pytest.param(
            Trouble.NOT_PRIMARY,
            False,
            3,
            Again(pause_s(3, draw=0.5)),
            id="servers that send each other are asked slower",
        ),
        pytest.param(Trouble.NO_PRIMARY, False, 0, Again(pause_s(0, draw=0.5)), id="nobody is primary: soon"),
        pytest.param(Trouble.NO_PRIMARY, True, 20, Again(0.1875), id="nobody is primary for long: slowly"),
        pytest.param(Trouble.BROKEN, True, 0, Again(0.0), id="a lost connection: at once"),
        pytest.param(Trouble.BROKEN, False, 0, GiveUp(), id="what must not be done twice is not repeated"),
        pytest.param(
            Trouble.OUTCOME_UNKNOWN, True, 0, Again(pause_s(0, draw=0.5)), id="repeated under the same id"
        ),
        pytest.param(Trouble.OUTCOME_UNKNOWN, False, 0, GiveUp(), id="an unknown outcome is told"),
        pytest.param(Trouble.OLD_EPOCH, False, 0, GiveUp(), id="an old answer to what must not be repeated"),
        pytest.param(Trouble.SUPERSEDED, True, 0, Again(0.0), id="called back: at once"),
    ],
)
def test_decides_after_trouble(
    trouble: Trouble, repeatable: bool, tries: int, expected: Again | GiveUp
) -> None:
    # B-51
    assert expected == after_trouble(trouble, repeatable=repeatable, tries=tries, draw=0.5)


def test_pauses_grow_from_milliseconds_to_a_quarter_of_a_second_and_stay_there() -> None:
    shortest = [pause_s(tries, draw=0.0) for tries in range(64)]
    longest = [pause_s(tries, draw=1.0) for tries in range(64)]
    assert (0.002, 0.004) == (shortest[0], longest[0])
    assert (0.125, 0.25) == (shortest[-1], longest[-1])
    assert sorted(longest) == longest

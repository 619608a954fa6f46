"""The entitlement as a function of time: revisions, and lines inside them."""

from __future__ import annotations

from lrm.core.entitlement import Entitlement, EntitlementLine, EntitlementRevision, ItemKind
from lrm.core.intervals import Period, Step
from lrm.core.sessions import ItemName

SEATS = ItemName("seat_voice")
PERIOD = Period(1000, 2000)


def line(
    quantity: int, *, burst: int = 0, start_s: int | None = None, end_s: int | None = None
) -> EntitlementLine:
    return EntitlementLine(SEATS, quantity, burst=burst, valid_from_s=start_s, valid_until_s=end_s)


def revision(number: int, effective_s: int, *lines: EntitlementLine) -> EntitlementRevision:
    return EntitlementRevision(number, f"sha-{number}", effective_s, lines=lines)


def test_nothing_is_entitled_before_the_first_revision() -> None:
    # B-25
    entitlement = Entitlement((revision(1, 1500, line(10)),))
    assert (Step(1000, 0), Step(1500, 10)) == entitlement.limits(SEATS, PERIOD).entitled


def test_a_revision_counts_from_the_second_it_was_loaded() -> None:
    # B-25
    entitlement = Entitlement((revision(2, 1200, line(3)), revision(1, 10, line(10, burst=5))))
    limits = entitlement.limits(SEATS, PERIOD)
    assert (Step(1000, 10), Step(1200, 3)) == limits.entitled
    assert (Step(1000, 15), Step(1200, 3)) == limits.with_burst


def test_lines_of_an_item_add_up_while_each_is_valid() -> None:
    # B-25
    entitlement = Entitlement((revision(1, 10, line(10), line(5, start_s=1100, end_s=1300)),))
    assert (Step(1000, 10), Step(1100, 15), Step(1300, 10)) == entitlement.limits(SEATS, PERIOD).entitled


def test_an_expired_line_entitles_to_nothing() -> None:
    # B-25
    entitlement = Entitlement((revision(1, 10, line(10, end_s=900)),))
    assert (Step(1000, 0),) == entitlement.limits(SEATS, PERIOD).entitled
    assert frozenset() == entitlement.items(PERIOD)


def test_of_two_revisions_loaded_in_one_second_the_later_one_counts() -> None:
    # B-25
    entitlement = Entitlement((revision(2, 1200, line(2)), revision(1, 1200, line(1))))
    assert (Step(1000, 0), Step(1200, 2)) == entitlement.limits(SEATS, PERIOD).entitled


def test_a_revision_read_again_replaces_what_was_known_of_it() -> None:
    # B-26
    entitlement = Entitlement((revision(1, 10, line(1)),)).with_revision(revision(1, 10, line(7)))
    assert (Step(1000, 7),) == entitlement.limits(SEATS, PERIOD).entitled
    assert revision(1, 10, line(7)) == entitlement.current


def test_enabled_items_entitle_to_no_concurrency() -> None:
    # B-25
    enabled = EntitlementLine(SEATS, 9, kind=ItemKind.ENABLED)
    entitlement = Entitlement((revision(1, 10, enabled),))
    assert (Step(1000, 0),) == entitlement.limits(SEATS, PERIOD).entitled
    assert (Step(1000, 9),) == entitlement.limits(SEATS, PERIOD, ItemKind.ENABLED).entitled

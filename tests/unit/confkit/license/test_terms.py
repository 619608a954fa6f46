"""What a license allows: the questions of Configuration Server, upload and LRM."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from confkit.license.inspection import inspect
from confkit.license.items import Item, ItemError, ItemType
from confkit.license.syntax import parse
from confkit.license.terms import ExpiredFeature, LicenseState, TechnicalKeys, Terms
from tests.support.licenses import LICENSE, NOW, TRUST, signed_file

RIGHT = "FEATURE config_server v 1 31-dec-2026 1"


def terms(*rows: str, keys: TechnicalKeys | None = None) -> Terms:
    return Terms(parse("\n".join(rows).encode(), source="a"), keys or TechnicalKeys())


def noon(day: int, month: int = 12, year: int = 2026) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rows", "now", "state", "expired"),
    [
        pytest.param((RIGHT,), noon(31), LicenseState.VALID, (), id="on the last day"),
        pytest.param(
            (RIGHT, "FEATURE f v 1 permanent 1"),
            noon(1, 1, 2027),
            LicenseState.EXPIRED,
            (ExpiredFeature("config_server", date(2026, 12, 31)),),
            id="the right to use is past its date",
        ),
        pytest.param(
            (RIGHT, "FEATURE f v 1 1-dec-2026 1"),
            noon(2),
            LicenseState.FEATURE_EXPIRED,
            (ExpiredFeature("f", date(2026, 12, 1)),),
            id="some line is past its date",
        ),
        pytest.param(
            (RIGHT, "INCREMENT config_server v 1 permanent 1"),
            noon(1, 1, 2027),
            LicenseState.FEATURE_EXPIRED,
            (ExpiredFeature("config_server", date(2026, 12, 31)),),
            id="another line renews the right to use",
        ),
        pytest.param(
            ("FEATURE f v 1 permanent 1",), noon(1), LicenseState.NO_RIGHT_TO_USE, (), id="no right to use"
        ),
    ],
)
def test_the_state_of_a_license_follows_its_dates(
    rows: tuple[str, ...], now: datetime, state: LicenseState, expired: tuple[ExpiredFeature, ...]
) -> None:
    status = terms(*rows).status(now)
    assert (state, expired) == (status.state, status.expired)  # B-30


def test_the_next_expiry_is_counted_in_days() -> None:
    status = terms(RIGHT, "FEATURE f v 1 1-jan-2027 1", "FEATURE g v 1 1-nov-2026 1").status(noon(1))
    assert (date(2026, 12, 31), 30) == (status.next_expiry, status.days_left(noon(1)))  # B-32
    assert terms("FEATURE f v 1 permanent 1").status(NOW).days_left(NOW) is None


@pytest.mark.parametrize(
    ("row", "now", "with_expired", "without"),
    [
        pytest.param("FEATURE f v 1 31-dec-2026 1", noon(31), True, True, id="valid"),
        pytest.param("FEATURE f v 1 30-dec-2026 1", noon(31), True, False, id="expired"),
        pytest.param("FEATURE f v 1 permanent 1 START=31-dec-2026", noon(30), False, False, id="not begun"),
        pytest.param("FEATURE g v 1 permanent 1", noon(30), False, False, id="not there"),
    ],
)
def test_expiry_takes_a_feature_away_only_where_it_is_asked_to(
    row: str, now: datetime, with_expired: bool, without: bool
) -> None:
    found = terms(row)
    assert with_expired == found.has_feature("f", now)  # B-30, B-40
    assert without == found.has_feature("f", now, include_expired=False)  # B-4


def test_the_right_to_use_has_a_name_that_a_vendor_can_map() -> None:
    found = terms("FEATURE core v 1 permanent 1", keys=TechnicalKeys(config_server="core"))
    assert found.right_to_use(NOW, include_expired=False)  # B-4
    assert not terms("FEATURE core v 1 permanent 1").right_to_use(NOW, include_expired=True)


def test_an_expired_right_to_use_lasts_where_the_database_has_served() -> None:
    assert not terms(RIGHT).right_to_use(noon(1, 1, 2027), include_expired=False)  # B-4
    assert terms(RIGHT).right_to_use(noon(1, 1, 2027), include_expired=True)  # B-5


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("INCREMENT confserv_proxy v 1 permanent 3\nINCREMENT confserv_proxy v 1 permanent 4", 7),
        ("FEATURE confserv_proxy v 1 permanent uncounted HOSTID=ANY", None),
        ("FEATURE f v 1 permanent 1", 0),
    ],
)
def test_features_are_counted(row: str, expected: int | None) -> None:
    assert expected == terms(row).count_of("confserv_proxy", NOW)  # B-41


def test_a_file_is_past_when_every_line_is() -> None:
    found = terms(RIGHT, "FEATURE f v 1 1-jan-2027 1")
    assert [False, True] == [
        found.every_line_expired(now) for now in (noon(1, 1, 2027), noon(2, 1, 2027))
    ]  # B-3
    assert not terms("# nothing").every_line_expired(NOW)


@pytest.mark.parametrize(
    ("new", "current", "expected"),
    [
        ("ISSUED=1-jan-2026", "ISSUED=2-jan-2026", True),
        ("ISSUED=2-jan-2026", "ISSUED=2-jan-2026", False),
        ("", "ISSUED=2-jan-2026", True),
        ("ISSUED=2-jan-2026", "", False),
        ("", "", False),
    ],
)
def test_an_older_file_is_told_by_its_days_of_issue(new: str, current: str, expected: bool) -> None:
    assert expected == terms(f"{RIGHT} {new}").is_older_than(terms(f"{RIGHT} {current}"))  # B-3


def test_the_sellable_items_of_the_sample() -> None:
    (item,) = Terms(signed_file(LICENSE)).items
    expected = Item(
        name="seat_voice",
        type=ItemType.CONCURRENT,
        unit="seat",
        quantity=500,
        burst=50,
        order_number="0001-2",
        description="Voice seats",
        vendor="acmed",
        starts_on=date(2026, 2, 1),
        expires_on=date(2027, 12, 31),
    )
    assert expected == item  # B-25
    assert (datetime(2026, 2, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)) == (item.start, item.end)
    assert [False, True, True, False] == [
        item.is_valid_on(day)
        for day in (date(2026, 1, 31), date(2026, 2, 1), date(2027, 12, 31), date(2028, 1, 1))
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item:type=daily", "type="),
        ("item:", "name=value"),
        ("item:type=concurrent:burst=x", "burst"),
        ("item:type=concurrent:burst=1:burst=2", "twice"),
        ("item:type=concurrent:price=2", "unknown: price"),
        ("item:type=concurrent:unit=", "name=value"),
    ],
)
def test_a_malformed_item_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ItemError, match=said):
        _ = terms(f'INCREMENT f v 1 permanent 1 VENDOR_STRING="{text}"').items  # B-60


def test_inspection_shows_what_a_file_grants() -> None:
    document = inspect(signed_file(LICENSE), trust=TRUST, now=NOW)
    assert (True, "VALID", "2026-01-15", "2027-12-31") == (
        document["verified"], document["state"], document["issued"], document["next_expiry"],
    )  # fmt: skip
    lines = document["lines"]
    assert isinstance(lines, list)
    assert [("config_server", 1), ("ha_redundancy", None), ("editor", 3), ("seat_voice", 500)] == [
        (line["feature"], line["count"]) for line in lines
    ]
    assert {"type": "concurrent", "unit": "seat", "quantity": 500, "burst": 50} == lines[3]["item"]
    assert inspect(signed_file(LICENSE), trust=None, now=NOW)["verified"] is None

"""Versions, dates, host ids, pools: what lines add up to, and on which day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit.license.dates import end_of
from confkit.license.hostids import parse_hostid
from confkit.license.pools import Pool, effective_lines, pools_of
from confkit.license.syntax import parse
from confkit.license.versions import Version
from tests.support.licenses import NOW


def pools(*rows: str) -> tuple[Pool, ...]:
    return pools_of(parse("\n".join(rows).encode(), source="a")).of("f")


def order(*rows: str, **options: bool) -> list[int]:
    file = parse("\n".join(rows).encode(), source="a")
    return [file.licensed.index(line) for line in effective_lines(file, **options)]


def capacity(day: date, *rows: str) -> int | None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return pools_of(parse("\n".join(rows).encode(), source="a")).capacity_at("f", noon)


@pytest.mark.parametrize(
    ("one", "relation", "other"),
    [
        ("1.10", "==", "1.1"),
        ("1.9", ">", "1.10"),
        ("2020.0111", "<", "2020.111"),
        ("10", ">", "9.9"),
        ("08.0", "==", "8"),
        ("1.0", "==", "1"),
        ("1.01", "<", "1.1"),
        ("0.0", "==", "0"),
    ],
)
def test_versions_compare_as_padded_decimals(one: str, relation: str, other: str) -> None:
    left, right = Version.parse(one), Version.parse(other)
    assert {"==": left == right, "<": left < right, ">": left > right}[relation]
    assert (left == right) == (hash(left) == hash(right))


@given(
    st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,5})?", fullmatch=True),
    st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,5})?", fullmatch=True),
)
def test_versions_compare_like_fractions(one: str, other: str) -> None:
    left, right = Version.parse(one), Version.parse(other)
    assert (Fraction(one) < Fraction(other)) == (left < right)
    assert (Fraction(one) == Fraction(other)) == (left == right)
    assert Version.parse(str(left)) == left


@pytest.mark.parametrize(
    ("hostid", "kind", "value", "expected"),
    [
        ("ANY", "ETHERNET", "0242ac110002", True),
        ("0242AC110002", "ETHERNET", "0242ac110002", True),
        ("0242ac110002", "ETHERNET", "0242ac110003", False),
        ("17007ea8", "LONG", "17007EA8", True),
        ("INTERNET=192.168.0.*", "INTERNET", "192.168.0.7", True),
        ("INTERNET=192.168.0.*", "INTERNET", "192.168.1.7", False),
        ("HOSTNAME=Lic1", "HOSTNAME", "lic1", True),
        ("USER=ann", "USER", "bob", False),
        ("USER=ann", "DISPLAY", "ann", False),
        ("ID=1234-5678", "ID", "12345678", True),
        ("FLEXID=7-b28520b9", "FLEXID", "7-b28520b9", False),
    ],
)
def test_host_ids_match_their_own_kind(hostid: str, kind: str, value: str, expected: bool) -> None:
    assert expected == parse_hostid(hostid).matches(kind, value)


def test_only_the_first_feature_of_a_name_counts() -> None:
    assert 5 == capacity(
        date(2026, 1, 1),
        "FEATURE f v 1 permanent 5",
        "FEATURE f v 1 permanent 7",
        "FEATURE g v 1 permanent 9",
    )


def test_increments_add_to_the_feature() -> None:
    rows = ("FEATURE f v 1 permanent 5", "INCREMENT f v 1 permanent 2", "INCREMENT f v 1 permanent 1")
    assert 8 == capacity(date(2026, 1, 1), *rows)
    assert [5, 3] == [pool.count_on(date(2026, 1, 1)) for pool in pools(*rows)]


@pytest.mark.parametrize(
    "attribute",
    [
        "BORROW=9", "DUP_GROUP=U", "FLOAT_OK", "HOST_BASED", "HOSTID=ANY", "PLATFORMS=x", "VM_PLATFORMS=x", "TZ=1",
        "USER_BASED", "OVERDRAFT=1", "VENDOR_STRING=x", 'VENDOR_STRING=""',
    ],
)  # fmt: skip
def test_increments_that_differ_in_a_pooling_attribute_stay_apart(attribute: str) -> None:
    found = pools("INCREMENT f v 1 permanent 2", f"INCREMENT f v 1 permanent 3 {attribute}")
    assert [2, 3] == [pool.count_on(date(2026, 1, 1)) for pool in found]
    assert 2 == len({pool.pool_id for pool in found})


@pytest.mark.parametrize(
    "attribute", ["SN=1", "NOTICE=x", "ISSUED=1-jan-2026", "sort=100", "ISSUER=x", "TS_OK"]
)
def test_increments_that_differ_in_anything_else_merge(attribute: str) -> None:
    (pool,) = pools("INCREMENT f v 1.0 permanent 2", f"INCREMENT f v 1 permanent 3 {attribute}")
    assert 5 == pool.count_on(date(2026, 1, 1))


def test_a_pool_keeps_its_name_when_a_new_file_changes_counts_and_dates() -> None:
    (old,) = pools("INCREMENT f v 1.0 31-dec-2026 2 HOSTID=0242AC110002")
    (new,) = pools("INCREMENT f v 1 31-dec-2027 9 HOSTID=0242ac110002 SN=2")
    assert old.pool_id == new.pool_id


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        pytest.param(date(2025, 12, 31), 10, id="before the second starts"),
        pytest.param(date(2026, 1, 1), 15, id="on its first day"),
        pytest.param(date(2026, 6, 30), 15, id="on the last day of the first"),
        pytest.param(date(2026, 7, 1), 5, id="the day after"),
        pytest.param(date(2027, 1, 1), 0, id="after the end of both"),
    ],
)
def test_capacity_comes_and_goes_on_the_right_day(day: date, expected: int) -> None:
    rows = ("INCREMENT f v 1 30-jun-2026 10", "INCREMENT f v 1 31-dec-2026 5 START=1-jan-2026")
    assert expected == capacity(day, *rows)
    assert 1 == len(pools(*rows))


def test_a_day_ends_at_midnight_in_utc_wherever_the_clock_is() -> None:
    found = pools_of(parse(b"INCREMENT f v 1 30-jun-2026 10", source="a"))
    last = datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)
    assert 10 == found.capacity_at("f", last)
    assert 0 == found.capacity_at("f", last + timedelta(seconds=1))
    assert 0 == found.capacity_at("f", datetime.fromisoformat("2026-06-30T20:00:00-05:00"))
    assert 0 == found.capacity_at("unknown", last)


def test_the_last_day_of_the_calendar_never_ends() -> None:
    assert 1 == capacity(date.max, "FEATURE f v 1 31-dec-9999 1")
    assert end_of(date.max) is None
    assert datetime(2026, 1, 1, tzinfo=UTC) == end_of(date(2025, 12, 31))


def test_the_slice_that_expires_last_comes_first() -> None:
    (pool,) = pools(
        "INCREMENT f v 1 1-jan-2026 1", "INCREMENT f v 1 permanent 2", "INCREMENT f v 1 1-jan-2027 3"
    )
    assert [2, 3, 1] == [one.count for one in pool.slices]


def test_an_uncounted_line_has_no_limit_while_it_is_valid() -> None:
    rows = ("FEATURE f v 1 30-jun-2026 uncounted HOSTID=ANY", "INCREMENT f v 1 permanent 3")
    assert capacity(date(2026, 6, 30), *rows) is None
    assert 3 == capacity(date(2026, 7, 1), *rows)


def test_overdraft_adds_up_with_its_lines() -> None:
    (pool,) = pools("INCREMENT f v 1 30-jun-2026 3 OVERDRAFT=2", "INCREMENT f v 1 permanent 3 OVERDRAFT=2")
    assert [4, 2] == [pool.overdraft_on(day) for day in (date(2026, 6, 30), date(2026, 7, 1))]


def test_lines_that_say_the_same_count_once() -> None:
    row = "INCREMENT f v 1.0 permanent 2"
    assert 2 == capacity(date(2026, 1, 1), row, row.replace("1.0", "1"), f"{row} sort=3 user_info=x")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            ("INCREMENT f v 1 permanent 1", "INCREMENT f v 1 permanent 2 sort=9"), [1, 0], id="sort"
        ),
        pytest.param(
            ("INCREMENT f v 1 permanent 1", "FEATURE f v 1 permanent 2"), [1, 0], id="FEATURE first"
        ),
        pytest.param(
            ("INCREMENT f v 1 permanent 1", "INCREMENT f v 1 permanent 0 HOSTID=ANY"),
            [1, 0],
            id="uncounted first",
        ),
        pytest.param(
            ("INCREMENT f v 2 permanent 1", "INCREMENT f v 1 permanent 2"), [1, 0], id="lower version first"
        ),
        pytest.param(
            (
                "INCREMENT f v 1 permanent 1 ISSUED=1-jan-2026",
                "INCREMENT f v 1 permanent 1 ISSUED=2-jan-2026",
            ),
            [1, 0],
            id="newer issue first",
        ),
        pytest.param(
            ("INCREMENT f v 1 permanent 1", "INCREMENT f v 1 permanent 2"), [0, 1], id="order of the file"
        ),
    ],
)
def test_lines_are_used_in_order(rows: tuple[str, ...], expected: list[int]) -> None:
    assert expected == order(*rows)


def test_a_setting_puts_higher_versions_first() -> None:
    rows = ("INCREMENT f v 1 permanent 1", "INCREMENT f v 2 permanent 2", "INCREMENT f v 2 permanent 3")
    assert [1, 2, 0] == order(*rows, higher_version_first=True)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            (
                "INCREMENT f v 1 permanent 1 ISSUED=1-jan-2026",
                "INCREMENT f v 1 permanent 2 ISSUED=2-jan-2026 SUPERSEDE",
            ),
            [1],
            id="an earlier issue of the feature",
        ),
        pytest.param(
            ("INCREMENT f v 1 permanent 1", 'INCREMENT g v 1 permanent 2 ISSUED=2-jan-2026 SUPERSEDE="f h"'),
            [1],
            id="a named one without a day of issue",
        ),
        pytest.param(
            (
                "INCREMENT f v 1 permanent 1 ISSUED=2-jan-2026",
                "INCREMENT f v 1 permanent 2 ISSUED=2-jan-2026 SUPERSEDE",
            ),
            [0, 1],
            id="not one of the same day",
        ),
        pytest.param(
            ("INCREMENT f w 1 permanent 1", "INCREMENT f v 1 permanent 2 ISSUED=2-jan-2026 SUPERSEDE"),
            [1, 0],
            id="not one of another vendor",
        ),
    ],
)
def test_supersede_makes_earlier_lines_ineffective(rows: tuple[str, ...], expected: list[int]) -> None:
    assert expected == order(*rows)


def test_lines_of_other_clusters_are_left_out() -> None:
    file = parse(
        b"INCREMENT f v 1 permanent 1 HOSTID=ID=1234-56\nINCREMENT f v 1 permanent 2 HOSTID=ID=99\n"
        b"INCREMENT f v 1 permanent 4",
        source="a",
    )
    assert 5 == pools_of(file, cluster_id="12-3456").capacity_at("f", NOW)
    assert 7 == pools_of(file).capacity_at("f", NOW)


DAYS = st.dates(date(2026, 1, 1), date(2026, 1, 20))


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.none() | DAYS, st.none() | DAYS, st.sampled_from("ab")), max_size=12
    ),
    DAYS,
)
def test_capacity_is_the_sum_of_the_lines_valid_on_the_day(
    lines: list[tuple[int, date | None, date | None, str]], day: date
) -> None:
    def written(one: date) -> str:
        return one.strftime("%d-%b-%Y")

    rows = [
        f"INCREMENT f v 1 {'permanent' if expiry is None else written(expiry)} {count} VENDOR_STRING={kind} SN={n}"
        + ("" if start is None else f" START={written(start)}")
        for n, (count, start, expiry, kind) in enumerate(lines)
    ]
    valid = [c for c, start, expiry, _ in lines if (start or date.min) <= day <= (expiry or date.max)]
    assert sum(valid) == capacity(day, *rows)

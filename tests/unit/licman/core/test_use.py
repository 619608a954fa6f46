"""Who uses what: rows for the API, and the layout that readers of lmstat know."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from confkit.license.pools import pools_of
from confkit.license.syntax import parse
from licman.core.ledger import Ledger
from licman.core.model import Handle, Moment, Owner, Wanted
from licman.core.use import Place, PoolUse, print_stat, use_of

NOW = datetime(2026, 11, 24, 9, 5, tzinfo=UTC)
MOMENT = Moment(int(NOW.timestamp() * 1000), 0.0)
PLACE = Place("lic1", 7260, "0.1.0")
POOLS = pools_of(
    parse(
        b"INCREMENT editor acmed 2.0 31-dec-2027 3\nINCREMENT editor acmed 2.0 31-dec-2026 2 SN=2\n"
        b"FEATURE old acmed 1 1-jan-2020 4\nFEATURE free acmed 1 permanent 0 HOSTID=ANY\n"
        b'INCREMENT seat acmed 1 permanent 9 VENDOR_STRING="item:type=concurrent"\n',
        source="a",
    )
)


def rows(*wanted: Wanted, feature: str = "") -> tuple[PoolUse, ...]:
    ledger = Ledger(POOLS, heartbeat_timeout_s=10, now=MOMENT)
    for one in wanted:
        ledger.check_out(one, MOMENT)
    return use_of(POOLS, ledger.holdings, day=MOMENT.day, feature=feature)


ANN = Wanted(
    Owner("application/a"), Handle("1"), "editor", "1.5", 2, user="ann smith", host="pc1", display=":0"
)
FREE = Wanted(Owner("application/b"), Handle("2"), "free", "", 1)


def test_each_pool_of_technical_keys_has_a_row_and_sellable_items_have_none() -> None:
    expected = [("editor", 5, 2, False, True), ("free", 0, 1, True, True), ("old", 0, 0, False, False)]
    found = rows(ANN, FREE)
    assert expected == [(row.feature, row.issued, row.used, row.is_uncounted, row.is_valid) for row in found]
    assert [date(2026, 12, 31), None, date(2020, 1, 1)] == [row.expires_on for row in found]


def test_one_feature_can_be_asked_for() -> None:
    assert ["free"] == [row.feature for row in rows(ANN, FREE, feature="free")]


def test_what_is_held_of_a_vanished_pool_has_a_row_of_its_own() -> None:
    ledger = Ledger(POOLS, heartbeat_timeout_s=10, now=MOMENT)
    ledger.check_out(ANN, MOMENT)
    (row,) = use_of(None, ledger.holdings, day=MOMENT.day)
    assert ("editor", 0, 2) == (row.feature, row.issued, row.used)


def test_the_layout_is_the_one_that_readers_of_lmstat_know() -> None:
    text = print_stat(rows(ANN, FREE), place=PLACE, now=NOW)
    users = re.search(
        r"^Users of (\w+):  \(Total of (\d+) licenses? issued;  Total of (\d+) licenses? in use\)$",
        text,
        re.M,
    )
    assert users is not None
    assert ("editor", "5", "2") == users.groups()
    assert "\nUsers of free:  (Uncounted, node-locked)\n" in text
    assert '\n  "editor" v2.0, vendor: acmed, expiry: 31-dec-2026\n' in text
    holder = re.search(
        r"^    (\S+) (\S+) (\S+) \(v([\d.]+)\) \((\S+)/(\d+) (\d+)\), start (\w+ \d+/\d+ \d+:\d\d), (\d+) licenses$",
        text,
        re.M,
    )
    assert holder is not None
    assert ("ann_smith", "pc1", ":0", "1.5", "lic1", "7260") == holder.groups()[:6]
    assert ("Tue 11/24 9:05", "2") == holder.groups()[7:]
    assert "License server status: 7260@lic1" in text
    assert "lic1: license server UP (MASTER) v0.1.0" in text
    assert "     acmed: UP v0.1.0" in text

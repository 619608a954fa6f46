"""License texts as entitlement descriptions."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from lrm.core.binding import LicenseId
from lrm.core.entitlement import UNLIMITED, EntitlementLine, ItemKind
from lrm.core.licenses import UnusableLicense, fits, read_license
from tests.support.licenses import LICENSE, NOW, OTHER_KEY, TRUST, signed

STORED_MS = 1_790_000_000_500


def named(text: bytes, revision: int = 3) -> LicenseId:
    return LicenseId(revision, hashlib.sha256(text).hexdigest())


def seconds(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def test_sellable_items_become_lines_and_technical_keys_do_not() -> None:
    # B-25
    text = signed(LICENSE)
    copy = read_license(text, named(text), stored_ms=STORED_MS, trust=TRUST, now=NOW)
    expected = EntitlementLine(
        item="seat_voice",
        quantity=500,
        order_number="0001-2",
        description="Voice seats",
        burst=50,
        kind=ItemKind.CONCURRENT,
        unit="seat",
        valid_from_s=seconds(2026, 2, 1),
        valid_until_s=seconds(2028, 1, 1),
    )
    assert (expected,) == copy.entitlement.lines
    assert (3, STORED_MS // 1000) == (copy.entitlement.license_revision, copy.entitlement.effective_s)
    assert "2026-01-15" == copy.entitlement.header.issued
    assert copy.terms.has_feature("ha_redundancy", NOW)


def test_an_uncounted_item_is_entitled_without_limit() -> None:
    # B-25
    text = signed(
        "VENDOR acmed\nINCREMENT chat acmed 1.0 permanent uncounted HOSTID=ANY ISSUED=15-jan-2026 "
        'VENDOR_STRING="item:type=enabled"\n'
    )
    [line] = read_license(text, named(text), stored_ms=STORED_MS, trust=TRUST, now=NOW).entitlement.lines
    assert (UNLIMITED, ItemKind.ENABLED, None) == (line.quantity, line.kind, line.valid_until_s)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(b"FEATURE\n", "license revision 3:1", id="text that does not parse"),
        pytest.param(signed(LICENSE, key=OTHER_KEY), "SIGNATURE_MISMATCH", id="signatures by another key"),
        pytest.param(
            signed(LICENSE).replace(b" 500 ", b" 900 "), "SIGNATURE_MISMATCH", id="an altered quantity"
        ),
    ],
)
def test_a_text_that_cannot_be_trusted_entitles_to_nothing(text: bytes, says: str) -> None:
    # B-26
    with pytest.raises(UnusableLicense, match=says):
        read_license(text, named(text), stored_ms=STORED_MS, trust=TRUST, now=NOW)


def test_a_text_is_compared_with_its_hash() -> None:
    # B-26
    text = signed(LICENSE)
    assert fits(text, named(text))
    assert not fits(text + b"#", named(text))

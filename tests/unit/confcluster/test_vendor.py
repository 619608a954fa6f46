"""Licenses of the local vendor pass the verification of the servers, and nothing that was changed does."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from confcluster.vendor import DEMO_ITEMS, SellableItem, TechnicalKey, Vendor, license_text
from confkit.license.findings import errors_of
from confkit.license.signing import verify
from confkit.license.syntax import parse
from confkit.license.terms import LicenseState, Terms

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
TODAY = NOW.date()


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    return Vendor.open(tmp_path / "vendor")


def _terms(data: bytes) -> Terms:
    return Terms(parse(data, source="demo.lic"))


def test_a_signed_license_is_accepted_without_a_remark(vendor: Vendor) -> None:
    # B-1
    data = vendor.sign(license_text(issued=TODAY, expires=TODAY + dt.timedelta(days=90)))
    assert () == verify(parse(data, source="demo.lic"), trust=vendor.trust, now=NOW)
    assert LicenseState.VALID == _terms(data).status(NOW).state


def test_it_grants_the_right_to_use_high_availability_and_items(vendor: Vendor) -> None:
    terms = _terms(vendor.sign(license_text(issued=TODAY, expires=None)))
    assert {"config_server", "ha_redundancy"} <= terms.feature_names
    found = {(item.name, item.quantity, item.burst, item.order_number) for item in terms.items}
    assert {(item.name, item.quantity, item.burst, item.order_number) for item in DEMO_ITEMS} == found


def test_a_license_dated_yesterday_has_expired(vendor: Vendor) -> None:
    # B-30
    data = vendor.sign(license_text(issued=TODAY, expires=TODAY - dt.timedelta(days=1)))
    assert LicenseState.EXPIRED == _terms(data).status(NOW).state


def test_a_changed_count_is_found_out(vendor: Vendor) -> None:
    # B-3
    items = [SellableItem("voice_seat", quantity=3)]
    data = vendor.sign(license_text(issued=TODAY, expires=None, items=items))
    changed = data.replace(b"permanent 3 ", b"permanent 9 ")
    assert data != changed
    findings = errors_of(verify(parse(changed, source="demo.lic"), trust=vendor.trust, now=NOW))
    assert ["SIGNATURE_MISMATCH"] == [str(finding.reason) for finding in findings]


def test_a_license_of_another_vendor_is_not_trusted(vendor: Vendor, tmp_path: Path) -> None:
    # B-3
    other = Vendor.open(tmp_path / "other")
    data = other.sign(
        license_text(issued=TODAY, expires=None, keys=[TechnicalKey("config_server")], items=[])
    )
    assert errors_of(verify(parse(data, source="x"), trust=vendor.trust, now=NOW))


def test_the_key_is_made_once(vendor: Vendor) -> None:
    again = Vendor.open(vendor.directory)
    data = again.sign(license_text(issued=TODAY, expires=None))
    assert () == verify(parse(data, source="demo.lic"), trust=vendor.trust, now=NOW)
    assert 0o600 == (vendor.directory / "vendor.key").stat().st_mode & 0o777

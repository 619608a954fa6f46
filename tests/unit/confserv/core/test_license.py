"""May a server start, may a text replace another, what is in it: all without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from confkit.license.findings import LicenseError
from confkit.license.terms import LicenseState
from confserv.core.license import (
    CheckedLicense,
    StoredLicense,
    UploadRefusal,
    UploadVerdict,
    check_stored,
    facts_of,
    judge_start,
    judge_upload,
    read_license,
)
from tests.support.licenses import NOW, OTHER_KEY, TRUST, signed

SERVER = "VENDOR acmed\nFEATURE config_server acmed 1.0 {expiry} 1 ISSUED={issued}\n"
KEY = "FEATURE ha_redundancy acmed 1.0 {expiry} uncounted HOSTID=ANY ISSUED={issued}\n"
YESTERDAY, TODAY, NEXT_YEAR = "23-nov-2026", "24-nov-2026", "31-dec-2027"


def text(
    *, server: str | None = NEXT_YEAR, key: str | None = NEXT_YEAR, issued: str = "15-jan-2026"
) -> bytes:
    lines = "" if server is None else SERVER.format(expiry=server, issued=issued)
    lines += "" if key is None else KEY.format(expiry=key, issued=issued)
    return signed(lines)


def stored(data: bytes, *, revision: int = 1) -> StoredLicense:
    sha256 = read_license(data, source="test.lic", trust=TRUST, now=NOW)[0].license_file.sha256
    return StoredLicense(revision, sha256, data, 1000, "test")


def checked(data: bytes) -> CheckedLicense:
    return check_stored(stored(data), trust=TRUST, now=NOW)


def test_a_genuine_stored_text_has_no_problem() -> None:
    # B-32
    assert "" == checked(text()).problem
    assert checked(text()).has_ha(NOW)


@pytest.mark.parametrize(
    "altered",
    [
        pytest.param(lambda one: replace(one, text=one.text.replace(b"2027", b"2028")), id="an altered byte"),
        pytest.param(lambda one: replace(one, text=b"\x00"), id="rubbish"),
        pytest.param(lambda one: replace(one, text=text(issued="16-jan-2026")), id="another genuine text"),
        pytest.param(
            lambda one: replace(
                one, text=signed(SERVER.format(expiry=NEXT_YEAR, issued=TODAY), key=OTHER_KEY)
            ),
            id="a text signed by another key",
        ),
    ],
)
def test_an_altered_stored_text_is_noticed_and_grants_nothing(altered: object) -> None:
    # B-32
    found = check_stored(altered(stored(text())), trust=TRUST, now=NOW)  # type: ignore[operator]
    assert "" != found.problem
    assert not found.has_ha(NOW)
    assert () == found.rows


@pytest.mark.parametrize(
    ("license_", "new_deployment", "expected"),
    [
        # B-4
        pytest.param(None, True, "the database holds no license", id="refuses without a license"),
        pytest.param(text(server=None), True, "lacks config_server", id="refuses without the right to use"),
        pytest.param(text(server=YESTERDAY), True, "has expired", id="refuses with an expired right to use"),
        pytest.param(text(server=TODAY), True, None, id="starts on the last valid day"),
        pytest.param(text(key=YESTERDAY), True, None, id="starts although another feature has expired"),
        # B-5
        pytest.param(
            text(server=YESTERDAY), False, None, id="starts where it already served, though expired"
        ),
        pytest.param(None, False, None, id="starts where it already served, whatever is stored"),
    ],
)
def test_start(license_: bytes | None, new_deployment: bool, expected: str | None) -> None:
    decision = judge_start(
        None if license_ is None else checked(license_), new_deployment=new_deployment, now=NOW
    )
    assert (expected is None) == decision.may_start
    if expected is not None:
        assert expected in decision.message
        assert "confserv -license FILE" in decision.message


def test_an_altered_license_does_not_start_a_new_deployment() -> None:
    # B-4
    altered = check_stored(replace(stored(text()), text=b"\x00"), trust=TRUST, now=NOW)
    assert not judge_start(altered, new_deployment=True, now=NOW).may_start


@pytest.mark.parametrize(
    ("new", "current", "accepts", "expected"),
    [
        # B-3
        pytest.param(text(), None, {}, UploadVerdict.STORE, id="stores the first"),
        pytest.param(text(), text(), {}, UploadVerdict.UNCHANGED, id="leaves the same text alone"),
        pytest.param(text(issued="16-jan-2026"), text(), {}, UploadVerdict.STORE, id="stores a newer one"),
        pytest.param(
            text(issued="14-jan-2026"),
            text(),
            {},
            UploadRefusal.OLDER_THAN_CURRENT,
            id="refuses an older one",
        ),
        pytest.param(
            text(issued="14-jan-2026"),
            text(),
            {"accept_older": True},
            UploadVerdict.STORE,
            id="stores an older one on request",
        ),
        pytest.param(
            text(server=YESTERDAY, key=YESTERDAY),
            None,
            {},
            UploadRefusal.EVERY_LINE_EXPIRED,
            id="refuses one whose every line has expired",
        ),
        pytest.param(
            text(server=YESTERDAY, key=YESTERDAY),
            None,
            {"accept_expired": True},
            UploadVerdict.STORE,
            id="stores an expired one on request",
        ),
        pytest.param(
            text(server=YESTERDAY),
            None,
            {},
            UploadVerdict.STORE,
            id="stores one of which some line has expired",
        ),
    ],
)
def test_upload(
    new: bytes, current: bytes | None, accepts: dict[str, bool], expected: UploadVerdict | UploadRefusal
) -> None:
    terms, _ = read_license(new, source="new.lic", trust=TRUST, now=NOW)
    decision = judge_upload(terms, None if current is None else checked(current), now=NOW, **accepts)
    assert expected == (decision.refusal or decision.verdict)


def test_the_same_text_repairs_an_altered_record() -> None:
    # B-3, B-32
    terms, _ = read_license(text(), source="new.lic", trust=TRUST, now=NOW)
    altered = check_stored(replace(stored(text()), text=b"\x00"), trust=TRUST, now=NOW)
    assert UploadVerdict.STORE is judge_upload(terms, altered, now=NOW).verdict


def test_a_text_of_a_stranger_is_refused_with_its_place() -> None:
    # B-3
    with pytest.raises(LicenseError, match=r"new\.lic:2:9: error: .*config_server"):
        read_license(text().replace(b"2027", b"2028"), source="new.lic", trust=TRUST, now=NOW)


@pytest.mark.parametrize(
    ("data", "state", "features", "since"),
    [
        # B-30
        pytest.param(text(), LicenseState.VALID, None, None, id="valid"),
        pytest.param(
            text(server=YESTERDAY),
            LicenseState.EXPIRED,
            ("config_server",),
            datetime(2026, 11, 24, tzinfo=UTC),
            id="the right to use is past its date",
        ),
        pytest.param(
            text(key=YESTERDAY),
            LicenseState.FEATURE_EXPIRED,
            ("ha_redundancy",),
            datetime(2026, 11, 24, tzinfo=UTC),
            id="another line is past its date",
        ),
    ],
)
def test_facts(
    data: bytes, state: LicenseState, features: tuple[str, ...] | None, since: datetime | None
) -> None:
    facts = facts_of(checked(data), now=NOW)
    assert state is facts.state
    assert (features, since) == (
        (facts.expiry.features, facts.expiry.since) if facts.expiry else (None, None)
    )


def test_an_expired_feature_is_still_contained() -> None:
    # B-30, B-40
    assert checked(text(key=YESTERDAY)).has_ha(NOW + timedelta(days=900))


def test_what_expires_next_is_known_by_name_and_days() -> None:
    # B-32
    facts = facts_of(checked(text(key="01-dec-2026")), now=NOW)
    assert (7, ("ha_redundancy",)) == (facts.days_left, facts.expiring)

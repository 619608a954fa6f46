"""Signatures: every change to what is signed is noticed, every edit that is permitted is not."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confkit.license.editing import sign_file
from confkit.license.findings import LicenseError, Reason, Severity, errors_of
from confkit.license.normal import signed_bytes
from confkit.license.signing import Signature, verify
from confkit.license.syntax import parse
from confkit.license.trust import KeyId, TrustSet
from tests.support.licenses import (
    KEY_ID,
    LICENSE,
    NOW,
    OTHER_KEY,
    PRIVATE_KEY,
    TRUST,
    signed,
    signed_file,
)

LINE = "INCREMENT seat acmed 1.0 31-dec-2027 5"
SIGNED = signed(LICENSE)


def reasons(data: bytes, *, trust: TrustSet = TRUST, now: datetime = NOW) -> list[Reason]:
    try:
        file = parse(data, source="a.lic")
    except LicenseError as error:
        return [finding.reason for finding in error.findings]
    return [finding.reason for finding in errors_of(verify(file, trust=trust, now=now))]


def trusting(**changes: object) -> TrustSet:
    return TrustSet.of([replace(TRUST.keys[KeyId(KEY_ID)], **changes)])  # type: ignore[arg-type]


def test_a_signed_file_verifies_and_keeps_its_layout() -> None:
    assert [] == reasons(SIGNED)  # B-1
    without = [row for row in SIGNED.split(b"\n") if b"SIGN=" not in row]
    original = LICENSE.encode().split(b"\n")
    assert len(original) == len(without)
    assert [row.rstrip(b" \\") for row in original] == [row.rstrip(b" \\") for row in without]


def test_signing_again_changes_nothing() -> None:
    assert SIGNED == sign_file(parse(SIGNED, source="a.lic"), key_id=KEY_ID, key=PRIVATE_KEY)


def test_a_file_with_windows_line_ends_and_a_byte_order_mark_is_signed_in_kind() -> None:
    data = signed(b"\xef\xbb\xbf" + LICENSE.replace("\n", "\r\n").encode())
    assert [] == reasons(data)
    assert data.count(b"\n") == data.count(b"\r\n")
    assert data.startswith(b"\xef\xbb\xbf#")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("seat_voice", "seat_video", id="the feature"),
        pytest.param("INCREMENT editor", "FEATURE editor", id="the kind of line"),
        pytest.param(" 8.0 ", " 8.1 ", id="the version"),
        pytest.param("31-dec-2027 500", "31-dec-2028 500", id="the expiry"),
        pytest.param("permanent uncounted", "31-dec-2030 uncounted", id="never to some day"),
        pytest.param(" 500 ", " 501 ", id="the count"),
        pytest.param("uncounted", "1", id="uncounted to one"),
        pytest.param("burst=50", "burst=51", id="a byte of an attribute"),
        pytest.param("burst=50", "burst=50 ", id="a blank in an attribute"),
        pytest.param("START=01-feb-2026", "START=02-feb-2026", id="the start"),
        pytest.param("START=01-feb-2026 ", "", id="an attribute taken away"),
        pytest.param("SN=0001-2", "SN=0001-2 OVERDRAFT=9", id="an attribute added"),
        pytest.param("SN=0001-2", "SN=0001-2 UNKNOWN=9", id="an unknown attribute of the publisher added"),
        pytest.param("SN=0001-2", "SN=0001-2 TS_OK", id="a bare attribute added"),
        pytest.param("HOSTID=ANY", "HOSTID=0242ac110002", id="the host id of a line"),
        pytest.param("0242ac110002", "0242ac110003", id="the host id of the server"),
        pytest.param("SERVER lic1 0242ac110002 7260\n", "", id="a server taken away"),
        pytest.param("VENDOR acmed", "SERVER lic2 ANY\nVENDOR acmed", id="a server added"),
        pytest.param("NOTICE=", "ISSUER=", id="the name of an attribute"),
    ],
)
def test_a_change_to_what_is_signed_is_refused(before: str, after: str) -> None:
    data = SIGNED.decode()
    assert before in data
    changed = data.replace(before, after).encode()
    assert {Reason.SIGNATURE_MISMATCH} == set(reasons(changed))  # B-3


def test_another_vendor_name_is_refused() -> None:
    assert {Reason.KEY_NOT_FOR_VENDOR, Reason.SIGNATURE_MISMATCH} >= set(
        reasons(SIGNED.replace(b" acmed ", b" other "))
    )  # B-3
    assert {Reason.KEY_NOT_FOR_VENDOR} == set(reasons(signed(LICENSE.replace("acmed", "other"))))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("# Issued", "# Changed", id="a comment"),
        pytest.param("lic1", "license-host", id="the host name"),
        pytest.param("7260", "7999", id="the port"),
        pytest.param("7260", "7260 PRIMARY_IS_MASTER HEARTBEAT_INTERVAL=9", id="options of the server"),
        pytest.param("VENDOR acmed", "DAEMON acmed /opt/d OPTIONS=/opt/o PORT=9", id="paths"),
        pytest.param("USE_SERVER\n", "", id="USE_SERVER"),
        pytest.param("cost centre 42", "cost centre 43", id="the administrator's attribute"),
        pytest.param("SN=0001-2", "SN=0001-2 sort=1 user_info=x ck=1", id="more of them"),
        pytest.param("SN=0001-2", "SN=0001-2 overdraft=1000", id="a lowercase name without effect"),
        pytest.param(" 500 ", " 500 3A49ADFD5761 ", id="the legacy key"),
        pytest.param("ISSUED=15-jan-2026", "ISSUED=15-JAN-2026", id="the case of a date"),
        pytest.param("01-feb-2026", "1-Feb-2026", id="the digits of a day"),
        pytest.param("permanent", "1-jan-0", id="another never"),
        pytest.param("uncounted", "0", id="another uncounted"),
        pytest.param(" 8.0 ", " 8.000 ", id="zeros of a version"),
        pytest.param("0242ac110002", "0242AC110002", id="the case of a host id"),
        pytest.param("FEATURE", "feature", id="the case of a keyword"),
        pytest.param("SN=0001-2", 'SN="0001-2"', id="quotes"),
        pytest.param("\n", "\r\n", id="line ends"),
        pytest.param(" ISSUED", " \\\n\t ISSUED", id="wrapping"),
        pytest.param('SIGN="test-2026 ', 'SIGN="  test-2026 \\\n   ', id="wrapping of the signature"),
    ],
)
def test_an_edit_that_is_permitted_is_accepted(before: str, after: str) -> None:
    data = SIGNED.decode()
    assert before in data
    assert [] == reasons(data.replace(before, after).encode())


NAMES = ("SN", "NOTICE", "VENDOR_STRING", "ISSUER", "ODD_ONE")
VALUES = st.text(
    st.characters(codec="latin-1", exclude_characters='"\\', categories=("L", "N", "P", "S")), max_size=8
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(NAMES), VALUES.filter(lambda text: "item:" not in text), max_size=4
)


@st.composite
def lines(draw: st.DrawFn) -> dict[str, object]:
    return {
        "keyword": draw(st.sampled_from(["FEATURE", "INCREMENT"])),
        "feature": draw(st.sampled_from(["f", "g", "f1"])),
        "version": draw(st.sampled_from(["1", "1.1", "11", "1.01"])),
        "expiry": draw(st.sampled_from(["permanent", "1-jan-2027", "11-jan-2027"])),
        "count": draw(st.integers(1, 12)),
        "attributes": draw(ATTRIBUTES),
        "hostid": draw(st.sampled_from(["ANY", "0242ac110002", "ID=12"])),
    }


def text_of(line: dict[str, object], *, sign: str = "") -> bytes:
    attributes = line["attributes"]
    assert isinstance(attributes, dict)
    words = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    text = (
        f"SERVER h {line['hostid']}\n{line['keyword']} {line['feature']} acmed {line['version']} "
        f"{line['expiry']} {line['count']} {words} {sign}\n"
    )
    return text.encode("latin-1")


@settings(max_examples=300, deadline=None)
@given(lines(), lines())
def test_a_signature_is_good_for_its_own_line_and_for_no_other(
    one: dict[str, object], other: dict[str, object]
) -> None:
    sign = parse(signed(text_of(one)), source="a.lic").licensed[0].text("SIGN")
    moved = reasons(text_of(other, sign=f'SIGN="{sign}"'))
    assert ([] if one == other else [Reason.SIGNATURE_MISMATCH]) == moved  # B-3


LAYOUT_SEPARATORS = (" ", "  ", "\t", " \\\n    ", "\\\n", " \\ \n\t\\\n ")


def laid_out(data: st.DataObject, line: dict[str, object], *, sign: str) -> bytes:
    """Write a line in one of all the ways in which an administrator may write it."""
    draw = data.draw
    attributes = line["attributes"]
    assert isinstance(attributes, dict)
    words = [f'{name}="{value}"' for name, value in attributes.items()]
    words += draw(
        st.lists(st.sampled_from(["sort=3", 'user_info="a b"', "ck=1", "overdraft=9"]), unique=True)
    )
    keyword = draw(st.sampled_from([str(line["keyword"]), str(line["keyword"]).lower()]))
    version = str(line["version"])
    version = draw(
        st.sampled_from([version, f"0{version}", f"{version}0" if "." in version else f"{version}.0"])
    )
    expiry = str(line["expiry"])
    expiry = draw(
        st.sampled_from([expiry.upper(), "01-jan-0000" if expiry == "permanent" else expiry.rjust(11, "0")])
    )
    key = draw(st.sampled_from(["", "3A49ADFD5761"]))
    head = [
        keyword,
        str(line["feature"]),
        "acmed",
        version,
        expiry,
        str(line["count"]),
        *([key] if key else []),
    ]
    tail = draw(st.permutations([*words, sign]))
    text = head[0]
    for word in [*head[1:], *tail]:
        text += draw(st.sampled_from(LAYOUT_SEPARATORS)) + word
    hostid = draw(st.sampled_from([str(line["hostid"]), str(line["hostid"]).upper()]))
    server = (
        draw(st.sampled_from(["SERVER h", "server other.example"]))
        + f" {hostid} "
        + draw(st.sampled_from(["", "7260"]))
    )
    rows = [draw(st.sampled_from(["# comment \\", ""])), server, text, ""]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return "\n".join(rows).replace("\n", newline).encode("latin-1")


@settings(max_examples=200, deadline=None)
@given(lines(), st.data())
def test_a_signature_is_good_for_its_line_in_every_layout(
    line: dict[str, object], data: st.DataObject
) -> None:
    value = parse(signed(text_of(line)), source="a.lic").licensed[0].text("SIGN")
    assert value is not None
    key_id, _, encoded = value.partition(" ")
    cut = data.draw(st.integers(0, len(encoded)))
    blank = data.draw(st.sampled_from(["", " ", " \\\n   "]))
    sign = f'SIGN="{key_id} {encoded[:cut]}{blank}{encoded[cut:]}"'
    assert [] == reasons(laid_out(data, line, sign=sign))  # licensing.md: what may be edited


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_byte_changed_anywhere_is_refused_or_has_no_meaning(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(SIGNED) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = SIGNED[:index] + bytes([byte]) + SIGNED[index + 1 :]
    if not reasons(changed):
        assert set(_meaning(changed)) <= set(_meaning(SIGNED))  # B-3: at most a line became a comment


def _meaning(data: bytes) -> list[bytes]:
    file = parse(data, source="a.lic")
    return [signed_bytes(line, key_id="", server_hostids=file.server_hostids) for line in file.licensed]


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=64, max_size=64), st.integers(0, 87), st.sampled_from("ABab09+/="))
def test_a_signature_has_one_spelling(value: bytes, index: int, letter: str) -> None:
    encoded = base64.b64encode(value).decode()
    changed = encoded[:index] + letter + encoded[index + 1 :]
    try:
        assert (changed == encoded) == (value == Signature.parse(f"k {changed}").value)  # B-3
    except ValueError:
        assert changed != encoded


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(LINE, Reason.UNSIGNED, id="no signature"),
        pytest.param(f"{LINE} 3A49ADFD5761", Reason.FLEXNET_SIGNATURE, id="a legacy key"),
        pytest.param(f'{LINE} SIGN="1A0F EECF 00AB"', Reason.FLEXNET_SIGNATURE, id="a hexadecimal signature"),
        pytest.param(f'{LINE} SIGN="1A0F" SIGN2="0F"', Reason.FLEXNET_SIGNATURE, id="two of them"),
        pytest.param(f"{LINE} AUTH=x", Reason.FLEXNET_SIGNATURE, id="AUTH"),
        pytest.param(f'{LINE} SIGN="k xyz!"', Reason.SIGNATURE_MALFORMED, id="no base64"),
        pytest.param(f'{LINE} SIGN="k {"A" * 84}=="', Reason.SIGNATURE_MALFORMED, id="too short"),
        pytest.param(f'{LINE} SIGN="k {"A" * 86}=="', Reason.UNKNOWN_KEY, id="an unknown key"),
        pytest.param(f'{LINE} SIGN="{KEY_ID} {"A" * 86}=="', Reason.SIGNATURE_MISMATCH, id="zeros"),
        pytest.param("# nothing\n", Reason.NOTHING_LICENSED, id="a file that licenses nothing"),
        pytest.param("", Reason.NOTHING_LICENSED, id="an empty file"),
    ],
)
def test_what_cannot_be_verified_is_refused_with_its_reason(text: str, reason: Reason) -> None:
    assert [reason] == reasons(text.encode())  # B-3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("UPGRADE seat acmed 1.0 2.0 permanent 5", Reason.NOT_SUPPORTED, id="UPGRADE"),
        pytest.param('PACKAGE p acmed COMPONENTS="a b"', Reason.NOT_SUPPORTED, id="PACKAGE"),
        pytest.param(
            f'{LINE} VENDOR_STRING="item:unit=seat"', Reason.ITEM_MALFORMED, id="an item without type"
        ),
        pytest.param(
            'FEATURE f acmed 1 permanent 5 VENDOR_STRING="item:type=enabled"',
            Reason.ITEM_MALFORMED,
            id="an item on a FEATURE line",
        ),
    ],
)
def test_genuine_lines_that_would_grant_nothing_are_refused(text: str, reason: Reason) -> None:
    assert [reason] == reasons(signed(text))  # B-3, B-60


def test_a_signature_by_another_key_under_the_same_id_is_refused() -> None:
    assert {Reason.SIGNATURE_MISMATCH} == set(reasons(signed(LICENSE, key=OTHER_KEY)))


@pytest.mark.parametrize(
    ("trust", "text", "expected"),
    [
        pytest.param(
            trusting(last_issue=date(2026, 1, 1)), f"{LINE} ISSUED=1-jan-2026", [], id="on the last day"
        ),
        pytest.param(
            trusting(last_issue=date(2026, 1, 1)),
            f"{LINE} ISSUED=2-jan-2026",
            [Reason.ISSUED_AFTER_LAST_ISSUE],
            id="after the last day",
        ),
        pytest.param(
            trusting(last_issue=date(2026, 1, 1)), LINE, [Reason.ISSUED_REQUIRED], id="without a day of issue"
        ),
        pytest.param(
            trusting(revoked_from=NOW.date()), LINE, [Reason.KEY_REVOKED], id="revoked from today on"
        ),
        pytest.param(trusting(revoked_from=date(2026, 11, 25)), LINE, [], id="revoked from tomorrow on"),
    ],
)
def test_a_key_has_its_limits_in_time(trust: TrustSet, text: str, expected: list[Reason]) -> None:
    assert expected == reasons(signed(text), trust=trust)


def test_a_key_is_revoked_by_the_day_in_utc() -> None:
    trust = trusting(revoked_from=date(2026, 11, 24))
    before = datetime.fromisoformat("2026-11-24T01:30:00+02:00")
    assert [] == reasons(signed(LINE), trust=trust, now=before)
    assert [Reason.KEY_REVOKED] == reasons(
        signed(LINE), trust=trust, now=before.astimezone(UTC).replace(day=24)
    )


def test_a_line_that_stands_twice_is_warned_about() -> None:
    file = signed_file(f"{LINE}\n{LINE} sort=1\n")
    found = verify(file, trust=TRUST, now=NOW)
    assert [(Reason.DUPLICATE_LINE, Severity.WARNING, 3)] == [
        (finding.reason, finding.severity, finding.position.line) for finding in found
    ]


def test_findings_point_at_the_line() -> None:
    changed = SIGNED.replace(b" 500 ", b" 501 ")
    (finding,) = verify(parse(changed, source="a.lic"), trust=TRUST, now=NOW)
    line = changed[: changed.index(b"INCREMENT seat_voice")].count(b"\n") + 1
    assert (line, 11, "seat_voice") == (
        finding.position.line,
        finding.position.column,
        finding.excerpt,
    )  # B-3


def test_a_large_file_verifies_in_linear_time() -> None:
    rows = "".join(f"INCREMENT f{n} acmed 1.0 permanent 1\n" for n in range(3_000))
    assert [] == reasons(signed(rows))

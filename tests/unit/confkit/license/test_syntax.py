"""The syntax of license files: what is accepted, what is refused, and where the finger points."""

from __future__ import annotations

import time
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confkit.license.attributes import Owner, owner_of
from confkit.license.findings import Finding, LicenseSyntaxError, Reason
from confkit.license.inspection import inspect
from confkit.license.lines import MAX_FILE_BYTES, MAX_LINES
from confkit.license.model import Keyword, LicensedLine, LicenseFile, ServerLine, VendorLine
from confkit.license.syntax import parse
from tests.support.licenses import LICENSE, NOW, TRUST

LINE = "INCREMENT seat acmed 1.0 31-dec-2027 5"


def parsed(text: str | bytes) -> LicenseFile:
    return parse(text.encode("latin-1") if isinstance(text, str) else text, source="a.lic")


def only(text: str | bytes) -> LicensedLine:
    (line,) = parsed(text).licensed
    return line


def refusal(text: str | bytes) -> tuple[Reason, int, int]:
    with pytest.raises(LicenseSyntaxError) as caught:
        parsed(text)
    first = caught.value.findings[0]
    assert "a.lic" == first.source
    assert first.cure
    assert f"a.lic:{first.position.line}:{first.position.column}: error: " in str(caught.value)
    return first.reason, first.position.line, first.position.column


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(LICENSE.encode(), id="the sample"),
        pytest.param(LICENSE.replace("\n", "\r\n").encode(), id="with the line ends of Windows"),
        pytest.param(b"\xef\xbb\xbf" + LICENSE.encode(), id="with a byte order mark"),
        pytest.param(LICENSE.encode().rstrip(b"\n"), id="without a last line end"),
        pytest.param(b"# caf\xe9\nFEATURE f v 1 permanent 1 NOTICE=caf\xe9\n", id="in Latin-1"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\n\n  \n\t\n", id="blank"),
        pytest.param(b"feature f v 1 permanent 1 \\\n\n", id="with a continuation that leads nowhere"),
        pytest.param(b"feature f v 1 permanent 1 \\", id="that ends in a continuation"),
    ],
)
def test_an_unmodified_file_prints_the_same_bytes(data: bytes) -> None:
    assert data == parsed(data).print()  # B-3


def test_lines_of_all_kinds_are_read() -> None:
    file = parsed(
        "server lic1 0242AC110002 7260 PRIMARY_IS_MASTER HEARTBEAT_INTERVAL=20 PLAT=3\n"
        "DAEMON acmed /opt/acmed OPTIONS=/opt/acmed.opt PORT=7261\n"
        "use_server\n"
        "FEATURE f acmed 1.10 Permanent UNCOUNTED 3A49ADFD5761 HOSTID=any\n"
        "UPGRADE f acmed 1.0 2.0 1-jan-2027 3\n"
        'PACKAGE p acmed 1.0 COMPONENTS="a:1 b:2" OPTIONS=SUITE\n'
    )
    span = file.servers[0].span
    assert ServerLine(span, "lic1", file.servers[0].hostid, 7260, True, 20) == file.servers[0]
    assert "0242ac110002" == str(file.servers[0].hostid)
    assert VendorLine(file.vendors[0].span, "acmed", "/opt/acmed", "/opt/acmed.opt", 7261) == file.vendors[0]
    feature, upgrade, package = file.licensed
    assert ("1.1", None, 0, "3A49ADFD5761") == (
        str(feature.version),
        feature.expiry,
        feature.count,
        feature.legacy_key,
    )
    assert (Keyword.UPGRADE, "1", "2", 3) == (
        upgrade.keyword,
        str(upgrade.from_version),
        str(upgrade.version),
        upgrade.count,
    )
    assert (Keyword.PACKAGE, "a:1 b:2") == (package.keyword, package.text("COMPONENTS"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"{LINE} SN=1", "1", id="bare"),
        pytest.param(f'{LINE} SN="a b"', "a b", id="quoted"),
        pytest.param(f"{LINE} SN=a=b:c=d:", "a=b:c=d:", id="split at the first equals sign"),
        pytest.param(f'{LINE} SN="x # y"', "x # y", id="a number sign in quotes is no comment"),
        pytest.param(f"{LINE} SN=", "", id="empty"),
        pytest.param(f'{LINE} SN="a \\\n     b"', "a b", id="a wrap in quotes is one blank"),
        pytest.param(f'{LINE} \\  \r\n\t\\\n SN="a\\\n\\\nb"', "a b", id="several wraps are one blank"),
        pytest.param(f'{LINE} SN="é"'.encode(), "é", id="UTF-8"),
        pytest.param(f'{LINE} SN="é"'.encode("latin-1"), "é", id="Latin-1"),
    ],
)
def test_values_are_unquoted(text: str | bytes, expected: str) -> None:
    assert expected == only(text).text("SN")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("31-dec-2027", date(2027, 12, 31), id="a date"),
        pytest.param("1-JAN-2027", date(2027, 1, 1), id="one digit and capitals"),
        pytest.param("PERMANENT", None, id="permanent in capitals"),
        pytest.param("1-jan-0", None, id="year 0"),
        pytest.param("01-jan-0000", None, id="year 0000"),
        pytest.param("00-000-0000", None, id="the normal form of never"),
        pytest.param("31-dec-9999", date.max, id="the last day that can be written"),
    ],
)
def test_expiry_dates_are_read(text: str, expected: date | None) -> None:
    assert expected == only(f"FEATURE f v 1 {text} 1").expiry


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("FOO a b", (Reason.UNKNOWN_KEYWORD, 1, 1), id="an unknown keyword"),
        pytest.param('"FEATURE" f v 1 permanent 1', (Reason.UNKNOWN_KEYWORD, 1, 1), id="a quoted keyword"),
        pytest.param("\n\nFEATURE f v", (Reason.MISSING_FIELD, 3, 11), id="a line that is cut off"),
        pytest.param("FEATURE", (Reason.MISSING_FIELD, 1, 1), id="a keyword alone"),
        pytest.param("FEATURE f v 1.2.3 permanent 1", (Reason.MALFORMED_FIELD, 1, 13), id="two points"),
        pytest.param("FEATURE f v 1. permanent 1", (Reason.MALFORMED_FIELD, 1, 13), id="a point at the end"),
        pytest.param("FEATURE f v ² permanent 1", (Reason.MALFORMED_FIELD, 1, 13), id="a raised digit"),
        pytest.param("FEATURE f v 1 31-feb-2027 1", (Reason.MALFORMED_FIELD, 1, 15), id="no such day"),
        pytest.param("FEATURE f v 1 31-dec-27 1", (Reason.MALFORMED_FIELD, 1, 15), id="two digits of year"),
        pytest.param("FEATURE f v 1 permanent -1", (Reason.MALFORMED_FIELD, 1, 25), id="a negative count"),
        pytest.param("FEATURE f v 1 permanent ³", (Reason.MALFORMED_FIELD, 1, 25), id="a raised count"),
        pytest.param(
            "FEATURE f v 1 permanent 2147483648", (Reason.MALFORMED_FIELD, 1, 25), id="a huge count"
        ),
        pytest.param(
            "FEATURE f v 1 permanent " + "9" * 5000, (Reason.MALFORMED_FIELD, 1, 25), id="5,000 digits"
        ),
        pytest.param("FEATURE f=g v 1 permanent 1", (Reason.MALFORMED_FIELD, 1, 9), id="a name with ="),
        pytest.param(
            f"FEATURE {'f' * 256} v 1 permanent 1", (Reason.MALFORMED_FIELD, 1, 9), id="a long name"
        ),
        pytest.param("FEATURE f v 1 permanent 0", (Reason.HOSTID_REQUIRED, 1, 25), id="uncounted, unbound"),
        pytest.param(f"{LINE} HOSTID=DEMO", (Reason.HOSTID_NOT_ALLOWED, 1, 40), id="DEMO on a counted line"),
        pytest.param("SERVER h DEMO", (Reason.MALFORMED_FIELD, 1, 10), id="DEMO on a server"),
        pytest.param("SERVER h ANY 70000", (Reason.MALFORMED_FIELD, 1, 14), id="no such port"),
        pytest.param("SERVER h ANY 1 2", (Reason.UNEXPECTED_TEXT, 1, 16), id="two ports"),
        pytest.param("SERVER h ANY\n" * 4, (Reason.TOO_MANY_SERVERS, 4, 1), id="four servers"),
        pytest.param("USE_SERVER now", (Reason.UNEXPECTED_TEXT, 1, 12), id="text after USE_SERVER"),
        pytest.param(f"{LINE} # five", (Reason.UNEXPECTED_TEXT, 1, 40), id="a comment behind a line"),
        pytest.param(f"{LINE} SN=1 SN=2", (Reason.ATTRIBUTE_TWICE, 1, 45), id="an attribute twice"),
        pytest.param(f"{LINE} Sort=1", (Reason.ATTRIBUTE_MIXED_CASE, 1, 40), id="mixed case"),
        pytest.param(f"{LINE} OVERDRAFT=x", (Reason.MALFORMED_ATTRIBUTE, 1, 40), id="a number that is none"),
        pytest.param(
            f"{LINE} START=permanent", (Reason.MALFORMED_ATTRIBUTE, 1, 40), id="a date that is none"
        ),
        pytest.param(f"{LINE} SN", (Reason.MALFORMED_ATTRIBUTE, 1, 40), id="a value that is missing"),
        pytest.param(f"{LINE} TS_OK=1", (Reason.MALFORMED_ATTRIBUTE, 1, 40), id="a value that is too much"),
        pytest.param(
            f"{LINE} HOSTID=INTERNET=1.2", (Reason.MALFORMED_ATTRIBUTE, 1, 40), id="half an address"
        ),
        pytest.param(f"{LINE} =1", (Reason.UNEXPECTED_TEXT, 1, 40), id="a value without a name"),
        pytest.param(f'{LINE} "x"', (Reason.UNEXPECTED_TEXT, 1, 40), id="a quotation without a name"),
        pytest.param(f'{LINE} SN="1"x', (Reason.UNEXPECTED_TEXT, 1, 46), id="text against a quotation"),
        pytest.param(f'{LINE} \\\n  SIGN="abc', (Reason.TRUNCATED, 2, 8), id="a quotation cut off"),
        pytest.param(f"{LINE}\n\x00\x01", (Reason.CONTROL_CHARACTER, 2, 1), id="a NUL"),
        pytest.param("FEATURE\rf", (Reason.CONTROL_CHARACTER, 1, 8), id="a lone carriage return"),
        pytest.param(b"# \x85\xe9", (Reason.CONTROL_CHARACTER, 1, 3), id="a Latin-1 control character"),
        pytest.param("é # \x85".encode(), (Reason.CONTROL_CHARACTER, 1, 5), id="a UTF-8 control character"),
        pytest.param(LICENSE.encode("utf-16"), (Reason.CONTROL_CHARACTER, 1, 4), id="UTF-16"),
        pytest.param(b"\x7fELF\x02\x01", (Reason.CONTROL_CHARACTER, 1, 1), id="a binary"),
        pytest.param("\n" * MAX_LINES + "#", (Reason.TOO_MANY_LINES, MAX_LINES + 1, 1), id="too many lines"),
        pytest.param("#" * 8193, (Reason.LINE_TOO_LONG, 1, 1), id="a line that is too long"),
        pytest.param(f"{LINE} \\\n" * 250, (Reason.LINE_TOO_LONG, 1, 1), id="joined lines that are too long"),
        pytest.param(b"#" * (5 * 1024 * 1024), (Reason.TOO_LARGE, 1, 1), id="5 MB"),
        pytest.param("é FEATURE".encode(), (Reason.UNKNOWN_KEYWORD, 1, 1), id="an accent before a keyword"),
        pytest.param(
            'FEATURE é v 1 permanent "'.encode(), (Reason.TRUNCATED, 1, 25), id="columns in characters"
        ),
        pytest.param(b"\xef\xbb\xbfFOO", (Reason.UNKNOWN_KEYWORD, 1, 1), id="columns without the mark"),
    ],
)
def test_what_is_malformed_is_refused_with_its_place(
    text: str | bytes, expected: tuple[Reason, int, int]
) -> None:
    assert expected == refusal(text)  # B-3, B-60


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(LicenseSyntaxError) as caught:
        parsed(f"FOO\n{LINE} SN=1 SN=2 Mixed=1\nBAR")
    expected = [
        (1, "UNKNOWN_KEYWORD"),
        (2, "ATTRIBUTE_TWICE"),
        (2, "ATTRIBUTE_MIXED_CASE"),
        (3, "UNKNOWN_KEYWORD"),
    ]
    assert expected == [(one.position.line, one.reason.value) for one in caught.value.findings]  # B-60


def test_a_file_of_nonsense_ends_after_fifty_findings() -> None:
    with pytest.raises(LicenseSyntaxError) as caught:
        parsed("FOO\n" * 40_000)
    assert 50 == len(caught.value.findings)  # B-60


def test_limits_are_exact() -> None:
    assert 8192 == len(parsed("#" + "é" * 8191).source.decode(parsed("#" + "é" * 8191).print()))
    assert MAX_LINES == len(parsed("\n" * MAX_LINES).lines)
    rows = b"#" * 8191 + b"\n"
    assert MAX_FILE_BYTES == len(parsed(rows * (MAX_FILE_BYTES // 8192)).print())


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        pytest.param("overdraft=1000", Reason.ATTRIBUTE_WITHOUT_EFFECT, id="a publisher's in lowercase"),
        pytest.param("FUTURE=1", Reason.ATTRIBUTE_UNKNOWN, id="an unknown one of a publisher"),
        pytest.param("HOSTID=FLEXID=7-b28520b9", Reason.HOSTID_UNKNOWN, id="an unknown kind of host id"),
    ],
)
def test_what_has_no_effect_is_kept_and_warned_about(attribute: str, reason: Reason) -> None:
    file = parsed(f"{LINE} {attribute}")
    assert [reason] == [finding.reason for finding in file.warnings]
    assert 0 == file.licensed[0].overdraft
    assert attribute.partition("=")[0] == file.licensed[0].attributes[0].name


def test_a_line_of_an_undeclared_vendor_is_warned_about() -> None:
    file = parsed(f"VENDOR other\n{LINE}")
    assert [Reason.VENDOR_NOT_DECLARED] == [finding.reason for finding in file.warnings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 100), ("sort=7", 7), ("sort=999", 255), ("sort=x", 100), ("sort", 100)],
)
def test_sort_is_clamped_and_nonsense_ignored(text: str, expected: int) -> None:
    assert expected == only(f"{LINE} {text}").sort


def test_ownership_goes_by_spelling() -> None:
    names = ("OVERDRAFT", "sort", "overdraft", "Overdraft", "ÉTAT", "9X")
    expected = [Owner.PUBLISHER, Owner.ADMINISTRATOR, Owner.NOBODY, Owner.MIXED, Owner.MIXED, Owner.MIXED]
    assert expected == [owner_of(name) for name in names]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    b"FEATURE f v 1.0 permanent 1",
                    b"INCREMENT f v 1 1-jan-2027 2 SN=1 \\",
                    b'  NOTICE="a \\',
                    b'  b" sort=3',
                    b"SERVER h ANY",
                    b"# note \\",
                    b"",
                    b"\\",
                    b" \\ \t",
                ]
            ),
            st.binary(max_size=12),
        ),
        max_size=12,
    ),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_whatever_parses_prints_the_same_bytes_and_whatever_does_not_is_refused_with_a_place(
    rows: list[bytes], newline: bytes
) -> None:
    data = newline.join(rows)
    findings, printed = outcome(data)
    assert (data if not findings else None) == printed  # B-3
    assert findings or judged(data) == "NO_RIGHT_TO_USE"
    for finding in findings:
        assert finding.position.line <= data.count(b"\n") + 1
        assert finding.position.column >= 1


def outcome(data: bytes) -> tuple[tuple[Finding, ...], bytes | None]:
    try:
        file = parsed(data)
    except LicenseSyntaxError as error:
        return error.findings, None
    return (), file.print()


def judged(data: bytes) -> object:
    """Ask everything that can be asked of a file that parses."""
    return inspect(parsed(data), trust=TRUST, now=NOW)["state"]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(b'INCREMENT f v 1.0 permanent 1 SN=1 NOTICE="a b" sort=4\n', id="plain lines"),
        pytest.param(b"\\\n", id="continuations of nothing"),
        pytest.param(b'F "" "" \\\n', id="empty quotations"),
        pytest.param(b"# " + b"x" * 60 + b"\n", id="comments"),
    ],
)
def test_time_grows_with_the_size_and_not_faster(row: bytes) -> None:
    def seconds(rows: int) -> float:
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            outcome(row * rows)
            best = min(best, time.process_time() - began)
        return best

    small, large = seconds(2_000), seconds(16_000)
    assert large < 8 * 4 * max(small, 0.002)  # B-60: eight times the size, with room for noise

"""How command lines of confctl are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from confapi.usage.v1 import usage_pb2
from confclient.errors import (
    LicenseRefusedError,
    LicenseRequiredError,
    NoPrimaryError,
    NotFoundError,
    StaleRevisionError,
)
from confctl.arguments import assignment, hoisted, object_key, option_assignment
from confctl.commands.logs import instant_ms
from confctl.commands.objects import read_documents
from confctl.commands.usage import day_of, report_row
from confkit.exit_status import ExitStatus
from confkit.tool import UsageError, exit_status, sentence
from confkit.tool_targets import TargetError, target_of

CLUSTER = {
    "endpoints": {"confserv": ["h:1", "h:2"], "lrm": ["h:3"]},
    "tls": {"ca": "pki/ca.crt", "administrator": {"certificate": "pki/a.crt", "key": "/abs/a.key"}},
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            ["status", "-o", "json", "--cluster", "d"],
            ["-o", "json", "--cluster", "d", "status"],
            id="after it",
        ),
        pytest.param(
            ["object", "--output=json", "list", "Host"],
            ["--output=json", "object", "list", "Host"],
            id="between",
        ),
        pytest.param(["x", "--", "-o", "json"], ["x", "--", "-o", "json"], id="not after two dashes"),
        pytest.param(["x", "-o"], ["x", "-o"], id="one without its value stays where its error is told"),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], expected: list[str]) -> None:
    # cli.md
    assert expected == hoisted(given)


@pytest.mark.parametrize(
    ("key", "expected"), [("120", (120, "")), ("billing", (0, "billing")), ("name:7", (0, "7"))]
)
def test_digits_are_a_number_and_all_else_a_name(key: str, expected: tuple[int, str]) -> None:
    found = object_key("Application", key)
    assert expected == (found.dbid, found.name)


def test_splits_assignments_at_the_first_sign() -> None:
    assert ("a", "b=c") == assignment("a=b=c")
    assert ("sec", "opt.more", "") == option_assignment("sec.opt.more=")
    for wrong in ("a", "=b", "a=b", ".x=b", "a.=b"):
        with pytest.raises(UsageError):
            option_assignment(wrong)


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [("", 0), ("10s", 990_000), ("2m", 880_000), ("1970-01-01T00:00:05Z", 5_000), ("1970-01-01", 0)],
)
def test_times_are_ages_or_instants_in_utc(text: str, expected_ms: int) -> None:
    assert expected_ms == instant_ms(text, now_ms=1_000_000)


def test_refuses_what_is_no_time_and_no_day() -> None:
    # B-60
    with pytest.raises(UsageError, match="is no time"):
        instant_ms("soon", now_ms=0)
    with pytest.raises(UsageError, match="is no day"):
        day_of("24.11.2026")
    assert datetime.now(UTC).date() == day_of("today")


def cluster_in(directory: Path, document: Any) -> Path:
    (directory / "cluster.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return directory


def test_takes_addresses_and_certificate_from_a_launchers_directory(tmp_path: Path) -> None:
    target = target_of(
        tool="administrator",
        cluster=cluster_in(tmp_path, CLUSTER),
        endpoints=(),
        ca=None,
        certificate=None,
        key=None,
    )
    assert (("h:1", "h:2"), {"lrm": ("h:3",)}) == (target.endpoints, target.components)
    assert (tmp_path / "pki/ca.crt", Path("/abs/a.key")) == (target.tls.ca, target.tls.key)
    installer = target_of(
        tool="itc", cluster=tmp_path, endpoints=(), ca=None, certificate=None, key=Path("k")
    )
    assert (tmp_path / "pki/itc.crt", Path("k")) == (installer.tls.certificate, installer.tls.key)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(None, "is there a cluster in", id="no file"),
        pytest.param("{", "is no JSON", id="half a file"),
        pytest.param({"endpoints": {}}, "does not describe a cluster: KeyError", id="without certificates"),
    ],
)
def test_says_what_is_wrong_with_a_directory(tmp_path: Path, document: Any, expected: str) -> None:
    # B-60
    if document is not None:
        cluster_in(tmp_path, document)
    with pytest.raises(TargetError, match=expected):
        target_of(tool="administrator", cluster=tmp_path, endpoints=(), ca=None, certificate=None, key=None)


def test_addresses_need_a_certificate(tmp_path: Path) -> None:
    # B-60
    with pytest.raises(TargetError, match="--ca, --cert and --key"):
        target_of(
            tool="administrator", cluster=None, endpoints=("h:1",), ca=tmp_path, certificate=None, key=None
        )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoPrimaryError("x"), ExitStatus.NO_PRIMARY),
        (LicenseRequiredError("x"), ExitStatus.NOT_LICENSED),
        (LicenseRefusedError("x"), ExitStatus.REFUSED),
        (NotFoundError("x"), ExitStatus.FAILED),
        (StaleRevisionError("x"), ExitStatus.FAILED),
        (UsageError("x"), ExitStatus.REFUSED),
        (TargetError("x"), ExitStatus.REFUSED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_failure_has_its_exit_status(error: Exception, expected: ExitStatus) -> None:
    # cli.md, B-4, B-60
    assert expected == exit_status(error)


def test_a_refusal_is_told_with_place_cure_and_reason() -> None:
    # B-60
    error = LicenseRefusedError(
        "signature does not match", source="f.lic", line=3, column=7, cure="ask the vendor"
    )
    assert "f.lic:3:7: signature does not match; ask the vendor [LICENSE_REFUSED]" == sentence(error)
    assert "there is no Host h [NOT_FOUND]" == sentence(NotFoundError("there is no Host h"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("type: Host\nname: a\n---\ntype: Host\nname: b\n", ["a", "b"], id="several documents"),
        pytest.param('[{"type": "Host", "name": "a"}]', ["a"], id="a list in JSON"),
    ],
)
def test_reads_documents(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text(text)
    assert expected == [one["name"] for one in read_documents(path)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("type: [", "line 1, column 8", id="malformed, with its place"),
        pytest.param("", "holds no object", id="empty"),
        pytest.param("- 3", "3 is no object", id="a number"),
    ],
)
def test_refuses_documents(tmp_path: Path, text: str, expected: str) -> None:
    # B-60
    path = tmp_path / "objects.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=expected):
        read_documents(path)


def test_a_row_of_the_report_tells_unlimited_from_not_licensed() -> None:
    # B-25
    rows = [
        report_row(usage_pb2.UsageReportRow(item="i", entitled=-1, licensed=licensed))
        for licensed in (True, False)
    ]
    assert [(True, True), (False, False)] == [(row["licensed"], row["unlimited"]) for row in rows]
    assert [None, None] == [row["entitled"] for row in rows]

"""What docs/license-files.md says of reasons and numbers is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from confkit.license.findings import Reason
from confkit.license.syntax import parse
from licman.core.model import DenialReason

PAGE = (Path(__file__).parents[4] / "docs" / "license-files.md").read_text("utf-8")
WARNINGS = {
    "ATTRIBUTE_UNKNOWN",
    "ATTRIBUTE_WITHOUT_EFFECT",
    "HOSTID_UNKNOWN",
    "VENDOR_NOT_DECLARED",
    "DUPLICATE_LINE",
}
OF_TRUST_SETS = {"TRUST_SET_MALFORMED"}


def test_every_reason_of_refusal_is_documented() -> None:
    section = PAGE.partition("## Reasons of refusal")[2].partition("##")[0]
    documented = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bTRUNCATED\b|\bUNREADABLE\b|\bUNSIGNED\b", section))
    assert {reason.value for reason in Reason} - WARNINGS - OF_TRUST_SETS == documented  # B-60


def test_every_denial_is_documented_with_its_number() -> None:
    rows = re.findall(r"^\| ([A-Z_, ]+) \| (-?\d+) \|$", PAGE, re.MULTILINE)
    documented = {name: int(number) for names, number in rows for name in names.split(", ")}
    assert {reason.name: reason.number for reason in DenialReason} == documented  # B-60


def test_the_example_parses() -> None:
    example = PAGE.partition("```\n")[2].partition("```")[0]
    file = parse(example.encode("latin-1", errors="replace"), source="docs")
    assert ["config_server", "editor", "seat_voice"] == [line.feature for line in file.licensed]

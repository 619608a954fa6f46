"""What a license file grants, as one document for people and scripts, before anyone loads it.

The vendor's tool and the operator's show the same. The keys of the document are stable; days are ISO dates,
None stands for never or without limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confkit.license.findings import errors_of
from confkit.license.items import ItemError, item_of
from confkit.license.signing import verify
from confkit.license.terms import Terms

if TYPE_CHECKING:
    from datetime import date, datetime

    from confkit.license.findings import Finding
    from confkit.license.model import LicensedLine, LicenseFile
    from confkit.license.trust import TrustSet

Document = dict[str, object]


def inspect(license_file: LicenseFile, *, trust: TrustSet | None, now: datetime) -> Document:
    """Describe a file at an instant; without a trust set the signatures are not judged (`verified` is
    None).
    """
    findings = license_file.warnings if trust is None else verify(license_file, trust=trust, now=now)
    terms = Terms(license_file)
    counted = frozenset(id(line) for line in terms.lines)
    status = terms.status(now)
    return {
        "source": license_file.name,
        "sha256": license_file.sha256,
        "bytes": len(license_file.source.data),
        "verified": None if trust is None else not errors_of(findings),
        "state": status.state.value,
        "issued": _iso(terms.issued),
        "next_expiry": _iso(status.next_expiry),
        "servers": [
            {"host": server.host, "hostid": str(server.hostid), "port": server.port}
            for server in license_file.servers
        ],
        "vendors": [vendor.vendor for vendor in license_file.vendors],
        "lines": [
            {**line_document(license_file, line), "counts": id(line) in counted}
            for line in license_file.licensed
        ],
        "findings": [_finding(finding) for finding in findings],
    }


def line_document(license_file: LicenseFile, line: LicensedLine) -> Document:
    """Describe one line of a file."""
    return {
        "line": license_file.source.position(line.name_span[0]).line,
        "keyword": line.keyword.value,
        "feature": line.feature,
        "vendor": line.vendor,
        "version": None if line.version is None else line.version.written,
        "count": None if line.is_uncounted else line.count,
        "start": _iso(line.start),
        "expiry": _iso(line.expiry),
        "issued": _iso(line.issued),
        "order_number": line.text("SN"),
        "item": _item(line),
        "attributes": {one.name: one.text for one in line.attributes},
    }


def _item(line: LicensedLine) -> Document | None:
    try:
        item = item_of(line)
    except ItemError:
        return None
    if item is None:
        return None
    return {"type": item.type.value, "unit": item.unit, "quantity": item.quantity, "burst": item.burst}


def _finding(finding: Finding) -> Document:
    return {
        "severity": finding.severity.value,
        "reason": finding.reason.value,
        "message": finding.message,
        "line": finding.position.line,
        "column": finding.position.column,
        "excerpt": finding.excerpt,
        "cure": finding.cure,
    }


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()

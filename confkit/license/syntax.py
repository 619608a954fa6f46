"""The syntax of license files: bytes in, lines out, every error with its place.

The parser is lossless: the lines of a `LicenseFile` cover its bytes without a gap. It accepts what other
publishers' files contain, legacy keys and hexadecimal signatures too; it does not judge whether a line is
genuine (`signing`). Time and memory are linear in the size of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confkit.license.findings import (
    MOST_FINDINGS,
    Finding,
    LicenseSyntaxError,
    Reason,
    Severity,
    errors_of,
)
from confkit.license.lines import SourceText, logical_lines, read_source
from confkit.license.model import Keyword, LicensedLine, LicenseFile, Line, ServerLine, TriviaLine, VendorLine
from confkit.license.statements import STATEMENTS, LineRefusedError, Statement
from confkit.license.words import WordError, words_of

if TYPE_CHECKING:
    from confkit.license.lines import LogicalLine, Span

MAX_SERVERS = 3
_SPELLINGS = {"DAEMON": Keyword.VENDOR} | {keyword.value: keyword for keyword in Keyword}


def parse(data: bytes, *, source: str) -> LicenseFile:
    """Read a license file; `source` is its name in messages.

    Raises LicenseSyntaxError with up to 50 findings when anything in it is malformed (B-3, B-60).
    """
    text = read_source(data, name=source)
    lines, findings = list[Line](), list[Finding]()
    for logical in logical_lines(text):
        line, found = _line(text, logical)
        findings += found
        if line is not None:
            lines.append(line)
        if len(errors_of(findings)) >= MOST_FINDINGS:
            raise LicenseSyntaxError(errors_of(findings))
    findings += _across_lines(text, lines)
    if errors := errors_of(findings):
        raise LicenseSyntaxError(errors)
    return LicenseFile(text, tuple(lines), tuple(findings))


def _line(source: SourceText, logical: LogicalLine) -> tuple[Line | None, list[Finding]]:
    stripped = logical.text.strip(" \t")
    if not stripped or stripped.startswith("#"):
        return TriviaLine(logical.span), []
    try:
        words = words_of(logical)
    except WordError as error:
        reason = Reason.TRUNCATED if error.unterminated else Reason.UNEXPECTED_TEXT
        cure = "close the quotation, or fetch the file again: it may be cut off"
        cure = cure if error.unterminated else 'write NAME=VALUE or NAME="VALUE", with blanks between them'
        return None, [source.finding(reason, str(error), span=error.span, cure=cure)]
    keyword = _SPELLINGS.get(words[0].text.upper())
    if keyword is None or words[0].quoted:
        known = ", ".join(_SPELLINGS)
        message = "the line begins with no keyword of license files"
        cure = f"begin it with one of {known}, or with # to make it a comment"
        return None, [source.finding(Reason.UNKNOWN_KEYWORD, message, span=words[0].span, cure=cure)]
    statement = Statement(source, keyword, logical.span, words)
    try:
        line = STATEMENTS[keyword](statement)
    except LineRefusedError:
        line = None
    return line, statement.findings


def _across_lines(source: SourceText, lines: list[Line]) -> list[Finding]:
    servers = [line for line in lines if isinstance(line, ServerLine)]
    vendors = {line.vendor for line in lines if isinstance(line, VendorLine)}
    findings = list[Finding]()
    if len(servers) > MAX_SERVERS:
        message = f"there are {len(servers)} SERVER lines, more than {MAX_SERVERS}"
        cure = "keep one to three; their host ids are part of every signature, so ask the vendor"
        span = _visible(source, servers[MAX_SERVERS].span)
        findings.append(source.finding(Reason.TOO_MANY_SERVERS, message, span=span, cure=cure))
    for line in lines:
        if isinstance(line, LicensedLine) and vendors and line.vendor not in vendors:
            message = f"no VENDOR line names {line.vendor}"
            cure = f"add the line VENDOR {line.vendor}, or correct the spelling"
            findings.append(
                source.finding(
                    Reason.VENDOR_NOT_DECLARED,
                    message,
                    span=line.name_span,
                    cure=cure,
                    severity=Severity.WARNING,
                )
            )
    return findings


def _visible(source: SourceText, span: Span) -> Span:
    return span[0], span[0] + len(source.data[span[0] : span[1]].rstrip())

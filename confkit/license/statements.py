"""One function a keyword: words to a line, findings on the side.

A function reports everything that it can see wrong with its line before it gives up, so that one look at the
refusal is enough to repair the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from confkit.license.attributes import (
    PUBLISHERS,
    Attribute,
    Owner,
    check_value,
    owner_of,
    parse_count,
    parse_number,
)
from confkit.license.dates import parse_expiry
from confkit.license.findings import Finding, Reason, Severity
from confkit.license.hostids import DEMO, OTHER, Hostid, parse_hostid, parse_hostids
from confkit.license.model import Keyword, LicensedLine, Line, ServerLine, UseServerLine, VendorLine
from confkit.license.versions import Version

if TYPE_CHECKING:
    from confkit.license.lines import SourceText, Span
    from confkit.license.words import Word

MAX_NAME_CHARS = 255
_NAME = re.compile(r"[!-~]+")
_NOT_IN_NAMES = frozenset('"#=:')
_LEGACY_KEY = re.compile(r"[0-9A-Fa-f]{12}|[0-9A-Fa-f]{16}|[0-9A-Fa-f]{20}")

_T = TypeVar("_T")


class LineRefusedError(Exception):
    """The line is malformed; its findings are in the statement."""


@dataclass(slots=True)
class Statement:
    """The words of one line while they are read, and what was found wrong on the way."""

    source: SourceText
    keyword: Keyword
    span: Span
    words: tuple[Word, ...]
    findings: list[Finding] = field(default_factory=list)
    position: int = 1

    def report(
        self, reason: Reason, message: str, *, at: Word, cure: str, severity: Severity = Severity.ERROR
    ) -> None:
        """Note a finding at a word."""
        self.findings.append(self.source.finding(reason, message, span=at.span, cure=cure, severity=severity))

    def take(self, what: str, parse: Callable[[str], _T]) -> _T:
        """Read the next word as a fixed field. Raises LineRefusedError when it is missing or malformed."""
        word = self.peek()
        if word is None:
            last = self.words[-1]
            message = f"the line ends where its {what} should stand"
            self.report(
                Reason.MISSING_FIELD, message, at=last, cure=f"add the {what}: {SHAPES[self.keyword]}"
            )
            raise LineRefusedError
        self.position += 1
        try:
            return parse(word.text)
        except ValueError as error:
            message = f"this is no {what}: {error}"
            self.report(Reason.MALFORMED_FIELD, message, at=word, cure=f"write {SHAPES[self.keyword]}")
            raise LineRefusedError from None

    def peek(self) -> Word | None:
        """Look at the next word without reading it."""
        return self.words[self.position] if self.position < len(self.words) else None

    def rest(self) -> tuple[Word, ...]:
        """Read all words that are left."""
        rest, self.position = self.words[self.position :], len(self.words)
        return rest

    def refuse_if_wrong(self) -> None:
        """Give the line up when an error was reported."""
        if any(finding.severity is Severity.ERROR for finding in self.findings):
            raise LineRefusedError


SHAPES = {
    Keyword.SERVER: "SERVER host hostid [port] [PRIMARY_IS_MASTER] [HEARTBEAT_INTERVAL=seconds]",
    Keyword.VENDOR: "VENDOR vendor [path] [[OPTIONS=]path] [[PORT=]port]",
    Keyword.USE_SERVER: "USE_SERVER alone on its line",
    Keyword.FEATURE: "FEATURE feature vendor version expiry count [ATTR=value …] SIGN=…",
    Keyword.INCREMENT: "INCREMENT feature vendor version expiry count [ATTR=value …] SIGN=…",
    Keyword.UPGRADE: "UPGRADE feature vendor from-version to-version expiry count [ATTR=value …] SIGN=…",
    Keyword.PACKAGE: "PACKAGE package vendor [version] COMPONENTS=… [ATTR=value …] SIGN=…",
}


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or _NOT_IN_NAMES & set(text) or len(text) > MAX_NAME_CHARS:
        raise ValueError(
            f"up to {MAX_NAME_CHARS} visible ASCII characters without quotation mark, #, = and :"
        )
    return text


def _path(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", errors="replace")


def _server(statement: Statement) -> ServerLine:
    host = statement.take("host name", _path)
    hostid = statement.take("host id", _server_hostid)
    port, master, heartbeat = None, False, None
    for word in statement.rest():
        name = word.name.upper()
        if word.value is None and word.text.isdecimal() and port is None:
            port = _option(statement, word, word.text, _port)
        elif name == "PRIMARY_IS_MASTER" and word.value is None:
            master = True
        elif name == "HEARTBEAT_INTERVAL" and word.value is not None:
            heartbeat = _option(statement, word, word.value, parse_number)
        elif name != "PLAT" or word.value is None:
            _unexpected(statement, word)
    statement.refuse_if_wrong()
    return ServerLine(statement.span, host, hostid, port, master, heartbeat)


def _vendor(statement: Statement) -> VendorLine:
    vendor = statement.take("vendor name", _name)
    paths, options, port = list[str](), None, None
    for word in statement.rest():
        name = word.name.upper() if word.value is not None else ""
        if name == "OPTIONS":
            options = _path(word.value or "")
        elif name == "PORT" or (word.text.isdecimal() and not word.quoted):
            port = _option(statement, word, word.value or word.text, _port)
        elif len(paths) < 2:
            paths.append(_path(word.text))
        else:
            _unexpected(statement, word)
    statement.refuse_if_wrong()
    if options is None and len(paths) == 2:
        options = paths[1]
    return VendorLine(statement.span, vendor, paths[0] if paths else None, options, port)


def _use_server(statement: Statement) -> UseServerLine:
    for word in statement.rest():
        _unexpected(statement, word)
    statement.refuse_if_wrong()
    return UseServerLine(statement.span)


def _feature(statement: Statement) -> LicensedLine:
    name_span = statement.words[min(1, len(statement.words) - 1)].span
    feature = statement.take("feature name", _name)
    vendor = statement.take("vendor name", _name)
    from_version = statement.take("version", Version.parse) if statement.keyword is Keyword.UPGRADE else None
    version = statement.take("version", Version.parse)
    expiry = statement.take("expiry date", parse_expiry)
    count_word = statement.peek()
    count = statement.take("count", parse_count)
    legacy_key = None
    if (key := statement.peek()) and key.value is None and _LEGACY_KEY.fullmatch(key.text):
        legacy_key = key.text
        statement.position += 1
    attributes = _attributes(statement)
    if statement.keyword is not Keyword.UPGRADE and count_word is not None:
        _check_binding(statement, count, attributes, count_word)
    statement.refuse_if_wrong()
    end = statement.words[-1].span[1]
    return LicensedLine(
        statement.span,
        statement.keyword,
        feature,
        vendor,
        version,
        from_version,
        expiry,
        count,
        legacy_key,
        attributes,
        name_span,
        end,
    )


def _package(statement: Statement) -> LicensedLine:
    name_span = statement.words[min(1, len(statement.words) - 1)].span
    package = statement.take("package name", _name)
    vendor = statement.take("vendor name", _name)
    word = statement.peek()
    version = None
    if word is not None and word.value is None and word.text[:1].isdecimal():
        version = statement.take("version", Version.parse)
    attributes = _attributes(statement)
    if not any(one.name == "COMPONENTS" for one in attributes):
        message = "a PACKAGE needs COMPONENTS"
        cure = 'add COMPONENTS="feature[:version[:count]] …"'
        statement.report(Reason.MISSING_FIELD, message, at=statement.words[-1], cure=cure)
    statement.refuse_if_wrong()
    end = statement.words[-1].span[1]
    return LicensedLine(
        statement.span,
        statement.keyword,
        package,
        vendor,
        version,
        None,
        None,
        0,
        None,
        attributes,
        name_span,
        end,
    )


def _attributes(statement: Statement) -> tuple[Attribute, ...]:
    found = dict[str, Attribute]()
    for word in statement.rest():
        if not word.name or word.name.startswith("#"):
            _unexpected(statement, word)
            continue
        value = None if word.value is None else word.value.encode("latin-1")
        attribute = Attribute(word.name, value, word.span)
        if word.name in found:
            message = f"the attribute {word.name} stands twice on the line"
            statement.report(Reason.ATTRIBUTE_TWICE, message, at=word, cure="keep one of them")
        _check_attribute(statement, attribute, word)
        found[word.name] = attribute
    return tuple(found.values())


def _check_attribute(statement: Statement, attribute: Attribute, word: Word) -> None:
    owner = owner_of(attribute.name)
    if owner is Owner.MIXED:
        message = f"{attribute.name} is neither all uppercase nor all lowercase"
        cure = "publishers write their attributes in UPPERCASE, administrators theirs in lowercase"
        statement.report(Reason.ATTRIBUTE_MIXED_CASE, message, at=word, cure=cure)
    elif owner is Owner.NOBODY:
        message = f"{attribute.name} has no effect: it is none of the administrator's attributes"
        statement.report(
            Reason.ATTRIBUTE_WITHOUT_EFFECT,
            message,
            at=word,
            cure="remove it if it was meant to do something",
            severity=Severity.WARNING,
        )
    elif owner is Owner.PUBLISHER and attribute.name not in PUBLISHERS:
        statement.report(
            Reason.ATTRIBUTE_UNKNOWN,
            f"the publisher's attribute {attribute.name} is not known here: it is kept and has no effect",
            at=word,
            cure="nothing is to be done if the vendor meant it for another program",
            severity=Severity.WARNING,
        )
    try:
        check_value(attribute)
    except ValueError as error:
        message = f"the value of {attribute.name} is malformed: {error}"
        statement.report(
            Reason.MALFORMED_ATTRIBUTE, message, at=word, cure="ask the vendor for a corrected file"
        )


def _check_binding(
    statement: Statement, count: int, attributes: tuple[Attribute, ...], count_word: Word
) -> None:
    bound = next((one for one in attributes if one.name == "HOSTID" and one.value), None)
    try:
        hostids = parse_hostids((bound.value or b"").decode("latin-1")) if bound else ()
    except ValueError:
        return  # reported with the attribute
    if count == 0 and not hostids:
        message = "an uncounted line needs a HOSTID"
        cure = "add HOSTID=… (the vendor signs it), or give a count"
        statement.report(Reason.HOSTID_REQUIRED, message, at=count_word, cure=cure)
    word = next((word for word in statement.words if word.name == "HOSTID"), count_word)
    if count and any(hostid.kind == DEMO for hostid in hostids):
        message = "HOSTID=DEMO is for uncounted lines only"
        statement.report(Reason.HOSTID_NOT_ALLOWED, message, at=word, cure="use HOSTID=ANY")
    if any(hostid.kind == OTHER for hostid in hostids):
        statement.report(
            Reason.HOSTID_UNKNOWN,
            "the line is bound to a kind of host id that is not known here, and matches nothing by it",
            at=word,
            cure="ask the vendor for one of Ethernet, HOSTNAME, INTERNET, USER, DISPLAY, ID and VM_UUID",
            severity=Severity.WARNING,
        )


def _server_hostid(text: str) -> Hostid:
    hostid = parse_hostid(text)
    if hostid.kind == DEMO:
        raise ValueError("DEMO is for uncounted lines, not for servers")
    return hostid


def _port(text: str) -> int:
    port = parse_number(text)
    if not 0 < port < 65536:
        raise ValueError("a port is a number from 1 to 65535")
    return port


def _option(statement: Statement, word: Word, text: str, parse: Callable[[str], int]) -> int | None:
    try:
        return parse(text)
    except ValueError as error:
        statement.report(
            Reason.MALFORMED_FIELD, str(error), at=word, cure=f"write {SHAPES[statement.keyword]}"
        )
        return None


def _unexpected(statement: Statement, word: Word) -> None:
    comment = word.text.startswith("#")
    message = "a comment must have its line to itself" if comment else "this is not expected here"
    cure = "move it to a line of its own" if comment else f"write {SHAPES[statement.keyword]}"
    statement.report(Reason.UNEXPECTED_TEXT, message, at=word, cure=cure)


STATEMENTS: dict[Keyword, Callable[[Statement], Line]] = {
    Keyword.SERVER: _server,
    Keyword.VENDOR: _vendor,
    Keyword.USE_SERVER: _use_server,
    Keyword.FEATURE: _feature,
    Keyword.INCREMENT: _feature,
    Keyword.UPGRADE: _feature,
    Keyword.PACKAGE: _package,
}

"""Bytes to logical lines, with a way back from every character to its place in the file.

Nothing is decoded on the way: the text is handled as one character a byte, so that every offset stays the
offset in the file and printing gives the same bytes back. A continuation (`\\` at the end of a line) counts,
together with the blanks around it, as one blank, inside quotes too; so re-wrapping at a blank is never a
change of content. Limits are errors and never cut anything off.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confkit.license.findings import Finding, LicenseSyntaxError, Position, Reason, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_LINES = 50_000
MAX_LOGICAL_LINE_CHARS = 8_192
MAX_EXCERPT_CHARS = 60
BOM = b"\xef\xbb\xbf"
BLANKS = " \t"

_CONTROL = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)"
_CONTROL_LATIN1 = re.compile(_CONTROL + rb"|[\x80-\x9f]")
_CONTROL_UTF8 = re.compile(_CONTROL + rb"|\xc2[\x80-\x9f]")

Span = tuple[int, int]
"""A half-open range of byte offsets in the file."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """The bytes of a file with its name, its encoding, and the offset at which each of its lines begins."""

    name: str
    data: bytes
    utf8: bool
    starts: tuple[int, ...]

    def position(self, offset: int) -> Position:
        """Say in which line and column the byte at `offset` stands."""
        line = max(bisect_right(self.starts, offset) - 1, 0)
        return Position(line + 1, len(self.decode(self.data[self.starts[line] : offset])) + 1)

    def decode(self, raw: bytes) -> str:
        """Turn bytes of this file into text for people: UTF-8 where the whole file is, otherwise Latin-1."""
        return raw.decode("utf-8", errors="replace") if self.utf8 else raw.decode("latin-1")

    def excerpt(self, span: Span) -> str:
        """Quote the text of a span, shortened to what fits in a message."""
        text = self.decode(self.data[span[0] : min(span[1], span[0] + 4 * MAX_EXCERPT_CHARS)])
        return text if len(text) <= MAX_EXCERPT_CHARS else text[: MAX_EXCERPT_CHARS - 1] + "…"

    def finding(
        self, reason: Reason, message: str, *, span: Span, cure: str, severity: Severity = Severity.ERROR
    ) -> Finding:
        """Make a finding about a span of this file."""
        place = self.position(span[0])
        return Finding(reason, message, self.name, place, self.excerpt(span), cure, severity)


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """A line after its continuations were joined: its text, and where each piece of it stands in the file."""

    text: str
    span: Span
    pieces: tuple[tuple[int, int], ...]

    def offset(self, index: int) -> int:
        """Give the offset in the file of the character at `index` of the text."""
        piece = max(bisect_right(self.pieces, (index, MAX_FILE_BYTES)) - 1, 0)
        start, offset = self.pieces[piece]
        return offset + index - start

    def raw_span(self, start: int, end: int) -> Span:
        """Give the span in the file of the characters from `start` up to, not including, `end`."""
        if len(self.pieces) == 1:
            shift = self.pieces[0][1] - self.pieces[0][0]
            return start + shift, end + shift
        return (self.offset(start), self.offset(end - 1) + 1) if end > start else (self.offset(start),) * 2


def read_source(data: bytes, *, name: str) -> SourceText:
    """Check the hard limits of a file and find its lines.

    Raises LicenseSyntaxError: over 4 MiB, over 50,000 lines, or a control character in it.
    """
    if len(data) > MAX_FILE_BYTES:
        whole = SourceText(name, data[:MAX_EXCERPT_CHARS], utf8=False, starts=(0,))
        _refuse(
            whole,
            Reason.TOO_LARGE,
            f"the file has more than {MAX_FILE_BYTES:,} bytes",
            (0, 0),
            "give the license file itself; no real one is that large",
        )
    starts = [len(BOM) if data.startswith(BOM) else 0]
    starts += [match.end() for match in re.finditer(rb"\n", data)]
    source = SourceText(name, data, _is_utf8(data), tuple(starts))
    if len(starts) - (starts[-1] == len(data)) > MAX_LINES:
        end = (starts[MAX_LINES], starts[MAX_LINES])
        _refuse(source, Reason.TOO_MANY_LINES, f"more than {MAX_LINES:,} lines", end, "split the file")
    if control := (_CONTROL_UTF8 if source.utf8 else _CONTROL_LATIN1).search(data):
        code = f"control character 0x{data[control.end() - 1]:02x}: a license file is plain text"
        cure = "give the text file as the vendor sent it, not a binary, compressed or UTF-16 one"
        _refuse(source, Reason.CONTROL_CHARACTER, code, control.span(), cure)
    return source


def logical_lines(source: SourceText) -> Iterator[LogicalLine]:
    """Yield every line of the file in order, continuations joined; their spans cover the file without a gap.

    Raises LicenseSyntaxError: a joined line over 8,192 characters.
    """
    begin, parts, pieces, length = 0, list[str](), list[tuple[int, int]](), 0
    ends = (*source.starts[1:], len(source.data))
    for start, end in zip(source.starts, ends, strict=True):
        text = source.data[start:end].decode("latin-1").rstrip("\r\n")
        body, continues = _without_continuation(text, comment=not parts and text.lstrip(BLANKS)[:1] == "#")
        lead = len(body) - len(body.lstrip(BLANKS)) if parts else 0
        if parts and body[lead:]:
            parts.append(" ")
            length += 1
        if body[lead:] or not parts:
            pieces.append((length, start + lead))
            parts.append(body[lead:])
            length += len(body) - lead
        if not continues or end == len(source.data):
            if begin < end:
                yield _checked(source, LogicalLine("".join(parts), (begin, end), tuple(pieces)))
            begin, parts, pieces, length = end, [], [], 0


def _without_continuation(text: str, *, comment: bool) -> tuple[str, bool]:
    trimmed = text.rstrip(BLANKS)
    if comment or not trimmed.endswith("\\"):
        return text, False
    return trimmed[:-1].rstrip(BLANKS), True


def _checked(source: SourceText, line: LogicalLine) -> LogicalLine:
    if len(line.text) > MAX_LOGICAL_LINE_CHARS:
        size = len(source.decode(line.text.encode("latin-1")))
        if size > MAX_LOGICAL_LINE_CHARS:
            over = f"the line has {size:,} characters, more than {MAX_LOGICAL_LINE_CHARS:,}"
            cure = "shorten it; nothing is ever cut off silently"
            _refuse(source, Reason.LINE_TOO_LONG, over, line.raw_span(0, len(line.text)), cure)
    return line


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse(source: SourceText, reason: Reason, message: str, span: Span, cure: str) -> None:
    raise LicenseSyntaxError([source.finding(reason, message, span=span, cure=cure)])

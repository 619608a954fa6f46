"""A logical line to words: plain ones, quoted ones, and NAME=VALUE split at the first `=`.

Blanks and tabs alone separate words; one regular expression reads each word once, so the time is linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confkit.license.lines import LogicalLine, Span

_WORD = re.compile(
    r"""[ \t]*(?:"(?P<quoted>[^"]*)"|(?P<name>[^ \t"=]+)(?:=(?:"(?P<value>[^"]*)"|(?P<bare>[^ \t"]*)))?)"""
)
_BLANKS = re.compile(r"[ \t]*")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a line: its text without quotes, its name and value when it has a `=`, its place in the
    file.
    """

    text: str
    name: str
    value: str | None
    quoted: bool
    span: Span


class WordError(ValueError):
    """The text from here on cannot be split into words; `span` says where it stands."""

    def __init__(self, message: str, *, span: Span, unterminated: bool = False) -> None:
        """Keep the place; `unterminated` tells a missing quotation mark from a stray one."""
        self.span = span
        self.unterminated = unterminated
        super().__init__(message)


def words_of(line: LogicalLine) -> tuple[Word, ...]:
    """Split a logical line. Raises WordError at the first place that is neither a word nor a blank."""
    text, index, found = line.text.rstrip(" \t"), 0, list[Word]()
    end = len(text)
    while index < end:
        match = _WORD.match(text, index)
        if match is None:
            blanks = _BLANKS.match(text, index)
            raise _error(line, blanks.end() if blanks else index)
        index = match.end()
        if index < end and text[index] not in " \t":
            raise _error(line, index)
        found.append(_word(line, match))
    return tuple(found)


def _word(line: LogicalLine, match: re.Match[str]) -> Word:
    quoted, name, value, bare = match.groups()
    if quoted is not None:
        return Word(quoted, "", None, True, line.raw_span(match.start("quoted") - 1, match.end()))
    span = line.raw_span(match.start("name"), match.end())
    if value is None and bare is None:
        return Word(name, name, None, False, span)
    is_quoted = value is not None
    text = value if is_quoted else bare
    return Word(f"{name}={text}", name, text, is_quoted, span)


def _error(line: LogicalLine, index: int) -> WordError:
    span = line.raw_span(index, len(line.text))
    if line.text[index] == "=":
        return WordError("an equals sign needs a name before it", span=span)
    if line.text.count('"', index) % 2:
        return WordError("a quotation mark is opened and never closed", span=span, unterminated=True)
    return WordError("text and quotation marks need a blank between them", span=span)

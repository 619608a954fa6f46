"""How documents are printed: a table for people, JSON and YAML for scripts.

JSON is stable: one document a call, one line a message for streams. Colours only on a terminal.
"""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

Document = Mapping[str, Any]

_WIDE = 1000


class Format(enum.StrEnum):
    """Forms of output."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Columns:
    """How rows are shown as a table: heading and what of a row stands below it."""

    headings: Sequence[str]
    cells: Callable[[Any], Sequence[Any]]


class Printer:
    """Prints to standard output in the chosen form."""

    def __init__(self, form: Format) -> None:
        """`form` for everything that is printed."""
        self.form = form
        # a pipe has no width: lines are as long as they have to be
        self._terminal = sys.stdout.isatty()
        self._console = Console(width=None if self._terminal else _WIDE, highlight=False)

    def document(self, document: Any, show: Callable[[Printer], None]) -> None:
        """Print one document; `show` prints it for people."""
        if self.form is Format.JSON:
            print(json.dumps(document, ensure_ascii=False))
        elif self.form is Format.YAML:
            print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")
        else:
            show(self)

    def message(self, document: Any, line: str) -> None:
        """Print one message of a stream, at once: a line of JSON, a YAML document, or `line`."""
        if self.form is Format.JSON:
            print(json.dumps(document, ensure_ascii=False), flush=True)
        elif self.form is Format.YAML:
            text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
            print(f"---\n{text}", end="", flush=True)
        else:
            print(line, flush=True)

    def rows(self, rows: Sequence[Any], columns: Columns, *, nothing: str = "nothing") -> None:
        """Print a table for people; `nothing` when there are no rows."""
        if not rows:
            self.line(nothing)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in columns.headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in columns.cells(row)))
        self._print(table)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Print names and values for people, one pair a line."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in facts.items():
            table.add_row(name, Text(_cell(value)))
        self._print(table)

    def _print(self, table: Table) -> None:
        if self._terminal:
            self._console.print(table)
            return
        with self._console.capture() as captured:
            self._console.print(table)
        for line in captured.get().splitlines():
            print(line.rstrip())

    def line(self, text: str = "") -> None:
        """Print one line for people."""
        print(text)


def moment(time_ms: int) -> str:
    """A time in milliseconds since 1970 UTC as people read it; empty for 0."""
    if not time_ms:
        return ""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def iso(time_ms: int) -> str | None:
    """A time in milliseconds since 1970 UTC in ISO 8601; None for 0."""
    if not time_ms:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return str(value)

"""How the demo tells its story: steps, what held, figures, and a summary; alive on a terminal, plain elsewhere.

A claim that does not hold ends the story with its name; nothing is passed over, so that exit status 0 means that
every claim was checked and held.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class ClaimBroken(Exception):
    """Something that the story claims does not hold."""


@dataclass(slots=True)
class Report:
    """Prints the story as it happens, and the summary at its end."""

    console: Console
    figures: list[tuple[str, str]] = field(default_factory=list)
    claims: int = 0
    _began_s: float = field(default_factory=time.monotonic)
    _titles: list[tuple[str, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, number: int, title: str) -> Iterator[None]:
        """One step of the story; a spinner turns on a terminal for as long as it takes."""
        began_s = time.monotonic()
        self.console.print(f"\n[bold]{number}. {escape(title)}[/bold]")
        with self._spinner():
            yield
        self._titles.append((title, time.monotonic() - began_s))

    def say(self, line: str) -> None:
        """Tell something that is not a claim."""
        self.console.print(f"   [dim]{escape(line)}[/dim]", soft_wrap=True)

    def claim(self, claim: str, *, holds: bool, detail: str = "") -> None:
        """State a claim of the story; raises ClaimBroken, with `detail`, when it does not hold."""
        if not holds:
            raise ClaimBroken(f"{claim}: {detail}" if detail else claim)
        self.claims += 1
        self.console.print(f" [green]✓[/green] {escape(claim)}", soft_wrap=True)

    def figure(self, name: str, value: str) -> None:
        """Keep a measured figure for the summary."""
        self.figures.append((name, value))

    def summary(self) -> None:
        """Print what was measured and how long it took."""
        table = Table(title="What was measured", title_justify="left", show_header=False)
        for name, value in self.figures:
            table.add_row(name, value)
        self.console.print()
        self.console.print(table)
        took_s = time.monotonic() - self._began_s
        self.console.print(
            f"all {len(self._titles)} steps held: {self.claims} claims checked in {took_s:.0f} s",
            highlight=False,
        )

    def broken(self, error: Exception) -> None:
        """Say which claim does not hold."""
        self.console.print(f" [red]✗ {escape(str(error))}[/red]", soft_wrap=True)

    @contextlib.contextmanager
    def _spinner(self) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        with self.console.status("working"):
            yield

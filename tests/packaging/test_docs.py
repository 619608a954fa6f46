"""Documentation that is made from code is as new as the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from confkit.events import EVENTS

DOCS = Path(__file__).parents[2] / "docs"


def _generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_events_is_what_the_catalogue_makes() -> None:
    assert _generator().events_page() == (DOCS / "events.md").read_text(), "run `make docs`"


def test_every_event_is_on_the_page() -> None:
    page = _generator().events_page()
    assert [] == [number for number in EVENTS if f"| {number} |" not in page]

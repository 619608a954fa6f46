"""Writes the documentation that is made from code: `docs/events.md` from the catalogue of log events.

`make docs` runs it; a test fails when the file is older than the catalogue.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from confapi.message.v1 import message_pb2
from confkit.events import EVENTS, EventSpec

FOLDER = pathlib.Path(__file__).parent
_APPLICATIONS = {
    "00": "Any process",
    "21": "Configuration Server",
    "42": "Message Server",
    "43": "Solution Control",
    "66": "License Reporting Manager",
    "67": "License Manager",
    "68": "Local Control Agent",
}


def events_page() -> str:
    """The page of all log events."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Log events"
    yield ""
    yield "Made from `confkit/events.py` by `make docs`; do not edit. The first digits of a number are the type of"
    yield "application that logs. A condition lasts until its clearing event is logged. `{name}` stands for an"
    yield "attribute, which the event also carries by itself."
    for prefix, title in _APPLICATIONS.items():
        rows = [spec for number, spec in sorted(EVENTS.items()) if number.startswith(f"{prefix}-")]
        if rows:
            yield from ("", f"## {prefix}: {title}", "")
            yield "| event | level | severity | text | cleared by |"
            yield "|---|---|---|---|---|"
            yield from (_row(spec) for spec in rows)


def _row(spec: EventSpec) -> str:
    level = message_pb2.Level.Name(spec.level).removeprefix("LEVEL_").lower()
    severity = message_pb2.Severity.Name(spec.severity).removeprefix("SEVERITY_").lower()
    return f"| {spec.number} | {level} | {severity} | {spec.text} | {spec.cleared_by} |"


if __name__ == "__main__":
    (FOLDER / "events.md").write_text(events_page())
    print(f"{len(EVENTS)} events in {FOLDER / 'events.md'}")  # noqa: T201  a command answers

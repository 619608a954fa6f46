"""Which events the Message Server takes: well-formed, of a bounded size, and said under the sender's own name.

A batch is taken whole or not at all, so that its acknowledgement has one meaning. What it does not promise:
that an event number is in the catalogue; business applications bring their own numbers.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from message_server.core.events import Level, LogRecord, Severity

MAX_EVENTS_PER_BATCH = 1_000
MAX_TEXT_CHARACTERS = 8_192
MAX_NAME_CHARACTERS = 255
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_CHARACTERS = 4_096

_EVENT_ID = re.compile(r"\d{2}-\d{5}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong with a batch: which event (from 0; -1 is the batch itself), which field, and why."""

    event: int
    field: str
    problem: str

    def __str__(self) -> str:
        return self.problem if self.event < 0 else f"event {self.event}, {self.field}: {self.problem}"


def refusal_of(records: Sequence[LogRecord], *, publisher: str) -> Refusal | None:
    """Give the first thing that is wrong with a batch of `publisher`, None when it is in order (B-60)."""
    if len(records) > MAX_EVENTS_PER_BATCH:
        return Refusal(
            -1, "events", f"{len(records)} events, at most {MAX_EVENTS_PER_BATCH} go into one batch"
        )
    for number, record in enumerate(records):
        found = _refusal_of_record(record, publisher)
        if found is not None:
            return Refusal(number, *found)
    return None


def _refusal_of_record(record: LogRecord, publisher: str) -> tuple[str, str] | None:
    if record.application != publisher:
        return "application", f"{record.application!r} is not the name in the certificate, {publisher!r}"
    if not _is_uuid(record.uid):
        return "event_uid", f"{record.uid!r} is not a UUID in its 36 character form"
    if not _EVENT_ID.fullmatch(record.event_id):
        return "event_id", f"{record.event_id!r} is not of the form NN-NNNNN"
    if record.level not in Level._value2member_map_:
        return "level", f"{record.level} is not a level"
    if record.severity not in Severity._value2member_map_:
        return "severity", f"{record.severity} is not a severity"
    if not 0 < record.time_ms < 2**53:
        return "time_ms", f"{record.time_ms} is not a time in milliseconds since 1970"
    return _refusal_of_texts(record)


def _refusal_of_texts(record: LogRecord) -> tuple[str, str] | None:
    texts = (
        ("text", record.text, MAX_TEXT_CHARACTERS),
        ("component", record.component, MAX_NAME_CHARACTERS),
        ("host", record.host, MAX_NAME_CHARACTERS),
        *((f"attribute {name[:40]!r}", name, MAX_NAME_CHARACTERS) for name in record.attributes),
        *(
            (f"attribute {name[:40]!r}", value, MAX_ATTRIBUTE_CHARACTERS)
            for name, value in record.attributes.items()
        ),
    )
    if len(record.attributes) > MAX_ATTRIBUTES:
        return "attributes", f"{len(record.attributes)} attributes, at most {MAX_ATTRIBUTES} are kept"
    for name, text, limit in texts:
        if len(text) > limit:
            return name, f"{len(text)} characters, at most {limit} are kept"
        if "\0" in text:
            return name, "it contains the character NUL"
    return None


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False

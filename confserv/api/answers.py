"""Objects, transactions and refusals of the core to messages of ConfigService.

Bytes of an object go out as they are kept, but for Configuration Servers, which are shown with the option of
B-6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from confapi.config.v1 import config_pb2, objects_pb2
from confapi.ha.v1 import ha_pb2
from confclient.errors import BY_REASON, ConfservError
from confserv.api.wire import embed
from confserv.core.log import LogEntry
from confserv.core.masks import RESERVED_OPTION, RESERVED_SECTION
from confserv.core.objects import Record
from confserv.core.refusals import Reason, Refused
from confserv.core.watch import ChangeKind, Selected

_KINDS = {
    ChangeKind.ADDED: config_pb2.CHANGE_KIND_ADDED,
    ChangeKind.CHANGED: config_pb2.CHANGE_KIND_CHANGED,
    ChangeKind.REMOVED: config_pb2.CHANGE_KIND_REMOVED,
}
# numbers of fields in config.proto
_CHANGE_OBJECT = 2
_TRANSACTION_CHANGES = 7
_WATCH_TRANSACTION = 2
_WATCH_SNAPSHOT = 1
_SNAPSHOT_OBJECTS = 1


class Shown:
    """What reads show of objects. `license_option` gives the value of B-6 now, None for none."""

    def __init__(self, license_option: Callable[[], str | None]) -> None:
        """Show the option as `license_option` gives it."""
        self._license_option = license_option

    def object(self, record: Record) -> bytes:
        """Give an object as reads show it, serialized."""
        return self._with_option(record.data) if record.serves_configuration else record.data

    def results(self, entry: LogEntry) -> list[bytes]:
        """Give the objects of an answer as reads show them."""
        known = {r.data: r.serves_configuration for c in entry.changes for r in (c.before, c.after) if r}
        return [
            self._with_option(d) if known.get(d) or (d not in known and _serves(d)) else d
            for d in entry.results
        ]

    def transaction(self, entry: LogEntry, selected: tuple[Selected, ...], history_id: str) -> bytes:
        """Give a watcher's message of a transaction."""
        head = config_pb2.Transaction(
            revision=entry.revision,
            epoch=epoch(entry),
            time_ms=entry.time_ms,
            actor=entry.actor,
            reason=entry.reason,
            request_id=entry.request_id,
        )
        changes = b"".join(embed(_TRANSACTION_CHANGES, self._change(one)) for one in selected)
        message = config_pb2.WatchResponse(resume=resume(history_id=history_id, revision=entry.revision))
        return embed(_WATCH_TRANSACTION, head.SerializeToString() + changes) + message.SerializeToString()

    def snapshot(self, records: Iterable[Record], *, complete: bool, history_id: str, revision: int) -> bytes:
        """Give a watcher's message with a part of the snapshot."""
        message = config_pb2.WatchResponse(resume=resume(history_id=history_id, revision=revision))
        return embed(_WATCH_SNAPSHOT, self.part(records, complete=complete)) + message.SerializeToString()

    def bookmark(self, *, history_id: str, revision: int) -> bytes:
        """Give a watcher's message that nothing passed its filter up to `revision`."""
        token = resume(history_id=history_id, revision=revision)
        return config_pb2.WatchResponse(bookmark=True, resume=token).SerializeToString()

    def _change(self, selected: Selected) -> bytes:
        kind = config_pb2.Change(kind=_KINDS[selected.kind]).SerializeToString()
        return kind + embed(_CHANGE_OBJECT, self.object(selected.record))

    def part(self, records: Iterable[Record], *, complete: bool) -> bytes:
        """Give a part of a snapshot, serialized."""
        objects = b"".join(embed(_SNAPSHOT_OBJECTS, self.object(record)) for record in records)
        return objects + config_pb2.SnapshotPart(complete=complete).SerializeToString()

    def _with_option(self, data: bytes) -> bytes:
        value = self._license_option()
        if value is None:
            return data
        message = objects_pb2.ConfigObject.FromString(data)
        message.options.sections[RESERVED_SECTION].options[RESERVED_OPTION] = value
        return message.SerializeToString()


def _serves(data: bytes) -> bool:
    message, body = objects_pb2.ConfigObject.FromString(data), objects_pb2.Application()
    return message.body.Unpack(body) and body.application_type == _CONFIGURATION_SERVER


_CONFIGURATION_SERVER = objects_pb2.APPLICATION_TYPE_CONFIGURATION_SERVER


def epoch(entry: LogEntry) -> ha_pb2.Epoch:
    """Give the token under which a transaction was committed."""
    return ha_pb2.Epoch(generation=entry.epoch.generation, mod_revision=entry.epoch.mod_revision)


def commit(entry: LogEntry, *, history_id: str) -> config_pb2.Commit:
    """Give the outcome of a write."""
    return config_pb2.Commit(revision=entry.revision, epoch=epoch(entry), history_id=history_id)


def resume(*, history_id: str, revision: int) -> config_pb2.ResumeToken:
    """Give the place in the log behind `revision`."""
    return config_pb2.ResumeToken(history_id=history_id, revision=revision)


def to_error(refusal: Refused, elsewhere: Callable[[], ConfservError]) -> ConfservError:
    """Give the exception of the same reason; `elsewhere` makes the one that names the primary."""
    if refusal.reason is Reason.NOT_PRIMARY:
        return elsewhere()
    return BY_REASON[refusal.reason](refusal.message, **refusal.facts)

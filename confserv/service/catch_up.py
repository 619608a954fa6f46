"""What a promotion reads of the log, and what it must find there."""

from __future__ import annotations

from dataclasses import replace

from confkit.election.types import View
from confserv.core.log import Tail
from confserv.service.engine import ConfigurationEngine


async def whole_tail(engine: ConfigurationEngine, *, after_revision: int) -> Tail:
    """Read all pages of the log behind a revision. Raises StoreUnreachable."""
    tail = await engine.read_log(after_revision=after_revision)
    while not tail.complete:
        more = await engine.read_log(after_revision=tail.entries[-1].revision)
        tail = replace(more, at_start=tail.at_start, entries=tail.entries + more.entries)
    return tail


def elsewhere(view: View, *, history_id: str) -> tuple[int, str]:
    """Give the highest revision that etcd and the members know of, and the history that etcd has on record
    (B-51).
    """
    on_record = view.history
    histories = [one.state.history for one in view.members if one.state.history is not None]
    histories += [on_record] if on_record is not None else []
    highest = max((one.revision for one in histories if one.history_id == history_id), default=0)
    return highest, on_record.history_id if on_record is not None else ""

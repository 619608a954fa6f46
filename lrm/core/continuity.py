"""Whether a usage store still holds what members have seen of it (`B-51`)."""

from __future__ import annotations

from confkit.election.types import History, View


def went_back(store: History, view: View) -> str | None:
    """Say in what a store is behind what etcd remembers of it, or None.

    A store with another history id was restored or is another file; one with fewer facts lost some. What was
    committed after the last refresh of etcd's record, and seen by nobody who lives, cannot be missed.
    """
    known = [view.history, *(member.state.history for member in view.members)]
    for history in known:
        if history is None:
            continue
        if history.history_id != store.history_id:
            return f"the usage store has history {store.history_id}, {history.history_id} was in use"
        if history.revision > store.revision:
            return f"the usage store has {store.revision} facts, {history.revision} were taken"
    return None

"""What a watcher takes from the streams that it gets: each transaction once, in order, or everything again."""

from __future__ import annotations

import pytest

from confclient import watching
from confclient.watching import Position, Progress, Step

AT_5 = Progress(Position("h", 5))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(
            watching.snapshot_part(Progress(), ("a",), complete=False, position=Position("h", 5)),
            (Progress(None, ("a",)), Step.COLLECT),
            id="a part of a snapshot is not a place to resume at",
        ),
        pytest.param(
            watching.snapshot_part(Progress(None, ("a",)), ("b",), complete=True, position=Position("h", 5)),
            (Progress(Position("h", 5), ("a", "b")), Step.SNAPSHOT),
            id="the last part completes it",
        ),
        pytest.param(
            watching.transaction(AT_5, 6, Position("h", 6)),
            (Progress(Position("h", 6)), Step.DELIVER),
            id="the next transaction is delivered",
        ),
        pytest.param(
            watching.transaction(AT_5, 9, Position("h", 9)),
            (Progress(Position("h", 9)), Step.DELIVER),
            id="transactions that did not pass the filter leave no gap",
        ),
        pytest.param(
            watching.transaction(AT_5, 5, Position("h", 5)),
            (AT_5, Step.SKIP),
            id="a transaction that is repeated by the next server is skipped",
        ),
        pytest.param(
            watching.transaction(AT_5, 6, Position("restored", 6)),
            (Progress(), Step.READ_AGAIN),
            id="another history voids everything",
        ),
        pytest.param(
            watching.bookmark(AT_5, Position("h", 8)),
            (Progress(Position("h", 8)), Step.SKIP),
            id="a bookmark moves the place to resume at",
        ),
        pytest.param(
            watching.bookmark(AT_5, Position("h", 3)),
            (AT_5, Step.SKIP),
            id="a late bookmark moves nothing back",
        ),
        pytest.param(
            watching.bookmark(AT_5, Position("restored", 9)),
            (Progress(), Step.READ_AGAIN),
            id="a bookmark of another history voids everything",
        ),
        pytest.param(
            (watching.broken(Progress(None, ("a",))), None),
            (Progress(), None),
            id="half a snapshot is worth nothing when the stream breaks",
        ),
    ],
)
def test_takes(outcome: object, expected: object) -> None:
    # B-52, I-4
    assert expected == outcome

"""A database that is away is told once."""

from __future__ import annotations

from confserv.service.reachability import Reachability


def test_each_change_is_told_once() -> None:
    # B-60
    told: list[bool] = []
    database = Reachability("the change log", lambda: told.append(database.reachable))
    for _ in range(3):
        database.silent("connection refused")
    for _ in range(3):
        database.answered()
    assert [False, True] == told

"""The bounded queue: in order, numbered without holes, across restarts and crashes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import confclient.spool
from confclient.spool import FileSpool, MemorySpool, Record, Spool, SpoolError, open_spool

ALL = {"after": 0, "most": 10_000, "most_bytes": 10**9}


@pytest.fixture(params=["memory", "file"])
def spool_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Spool]:
    return lambda **limits: open_spool(None if request.param == "memory" else tmp_path, **limits)


def test_gives_records_in_order_and_forgets_what_was_delivered(spool_of: Callable[..., Spool]) -> None:
    spool = spool_of()
    assert 3 == spool.append([b"a", b"b", b"c"])
    assert [Record(2, b"b")] == spool.peek(after=1, most=1, most_bytes=100)
    spool.release(2)
    assert (3, 4, [Record(3, b"c")]) == (spool.first, spool.next, spool.peek(**ALL))
    spool.release(3)
    assert (4, 4, []) == (spool.first, spool.next, spool.peek(**ALL))
    spool.close()


def test_gives_one_record_even_when_it_is_larger_than_asked_for(spool_of: Callable[..., Spool]) -> None:
    spool = spool_of()
    spool.append([b"x" * 100, b"y"])
    assert [1] == [record.number for record in spool.peek(after=0, most=9, most_bytes=10)]
    spool.close()


def test_a_full_spool_refuses_what_is_new_and_has_room_again_after_delivery(
    spool_of: Callable[..., Spool],
) -> None:
    # B-60
    spool = spool_of(max_bytes=5)
    assert 2 == spool.append([b"aa", b"bb", b"cc"])
    spool.release(1)
    assert 1 == spool.append([b"dd"])
    assert [b"bb", b"dd"] == [record.payload for record in spool.peek(**ALL)]
    spool.close()


def test_keeps_numbers_and_records_across_restarts(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path, sync=True)
    spool.append([b"a", b"b", b"c"])
    spool.release(1)
    spool.close()
    again = FileSpool(tmp_path)
    assert [Record(2, b"b"), Record(3, b"c")] == again.peek(**ALL)
    again.release(3)
    again.close()
    third = FileSpool(tmp_path)
    assert (4, []) == (third.next, third.peek(**ALL))
    third.close()


@pytest.mark.parametrize("cut", range(1, 11))
def test_cuts_off_a_torn_record_and_goes_on_after_the_whole_ones(tmp_path: Path, cut: int) -> None:
    spool = FileSpool(tmp_path)
    spool.append([b"one", b"two"])
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    segment.write_bytes(segment.read_bytes()[:-cut])
    again = FileSpool(tmp_path)
    assert [Record(1, b"one")] == again.peek(**ALL)
    again.append([b"three"])
    again.close()
    third = FileSpool(tmp_path)
    assert [b"one", b"three"] == [record.payload for record in third.peek(**ALL)]
    third.close()


def test_never_gives_a_number_twice_even_when_the_disk_has_lost_what_was_delivered(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path)
    spool.append([b"a", b"b"])
    spool.release(2)
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    segment.write_bytes(b"")
    again = FileSpool(tmp_path)
    again.append([b"c"])
    assert [Record(3, b"c")] == again.peek(**ALL)
    again.close()


def test_removes_segments_that_were_delivered(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path)
    for _ in range(12):
        spool.append([b"x" * 1_000_000])
    assert 1 < len(list(tmp_path.glob("*.spool")))
    spool.release(12)
    assert 1 == len(list(tmp_path.glob("*.spool")))
    spool.append([b"y"])
    assert [Record(13, b"y")] == spool.peek(**ALL)
    spool.close()


def test_a_full_disk_is_a_full_spool_and_leaves_nothing_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ha.md, Faults: full disk
    spool = FileSpool(tmp_path)
    spool.append([b"before"])

    def half(file: int, data: bytes) -> None:
        os.write(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(confclient.spool, "_write_all", half)
        assert 0 == spool.append([b"lost"])
    spool.append([b"after"])
    spool.close()
    again = FileSpool(tmp_path)
    assert [Record(1, b"before"), Record(2, b"after")] == again.peek(**ALL)
    again.close()


def test_two_processes_cannot_share_a_directory(tmp_path: Path) -> None:
    # B-60
    spool = FileSpool(tmp_path)
    with pytest.raises(SpoolError, match="give each process its own"):
        FileSpool(tmp_path)
    spool.close()
    FileSpool(tmp_path).close()


class LikeMemory(RuleBasedStateMachine):
    """A spool on disk, closed and opened at any moment, is the same as one in memory."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.directory = Path(tempfile.mkdtemp())
        self.file: Spool = FileSpool(self.directory, max_bytes=400)
        self.memory = MemorySpool(max_bytes=400)

    @rule(payloads=st.lists(st.binary(max_size=60), max_size=4))
    def append(self, payloads: list[bytes]) -> None:
        assert self.memory.append(payloads) == self.file.append(payloads)

    @rule(number=st.integers(0, 6))
    def release(self, number: int) -> None:
        through = min(self.memory.first + number, self.memory.next) - 1
        self.memory.release(through)
        self.file.release(through)

    @rule()
    def reopen(self) -> None:
        self.file.close()
        self.file = FileSpool(self.directory, max_bytes=400)

    @invariant()
    def same(self) -> None:
        assert self.memory.peek(**ALL) == self.file.peek(**ALL)
        assert (self.memory.first, self.memory.next) == (self.file.first, self.file.next)

    def teardown(self) -> None:
        self.file.close()


TestLikeMemory = LikeMemory.TestCase
TestLikeMemory.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

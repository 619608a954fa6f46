"""A bounded queue on disk for what cannot be delivered yet, in order.

Why it exists: usage and log events have to survive the absence of their server and the end of their own process.
Records are numbered from 1 without holes, and keep their numbers across restarts, so that a receiver can recognize a
repetition. A record that was torn by a crash, and what follows it, is cut off when the spool is opened. A full spool
refuses what is new and keeps what is old. Whoever needs a record to survive a crash of the machine, and not only of the
process, asks for `sync`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

DEFAULT_MAX_BYTES = 64 * 1024 * 1024

_HEADER = struct.Struct(">II")
_SEGMENT_BYTES = 4 * 1024 * 1024
_SUFFIX = ".spool"


class SpoolError(Exception):
    """The directory cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number, from 1, and its bytes."""

    number: int
    payload: bytes


class Spool(Protocol):
    """A queue of records; may be used from several threads."""

    @property
    def first(self) -> int:
        """Number of the oldest record that is kept, or of the next one when none is."""

    @property
    def next(self) -> int:
        """Number that the next record will get."""

    def append(self, payloads: Sequence[bytes]) -> int:
        """Keep records, in order; gives how many were taken, fewer than all when the spool is full."""

    def peek(self, *, after: int, most: int, most_bytes: int) -> list[Record]:
        """The oldest records whose number is above `after`: at most `most`, and as many bytes, but one at least."""

    def release(self, through: int) -> None:
        """Forget records up to this number: they have been delivered."""

    def close(self) -> None:
        """Close; records that were not delivered stay for the next opening, if there is a disk."""


class MemorySpool:
    """A spool that ends with the process."""

    def __init__(self, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Keep at most `max_bytes`."""
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._next = 1
        self._lock = threading.Lock()

    @property
    def first(self) -> int:
        """See `Spool`."""
        with self._lock:
            return self._records[0].number if self._records else self._next

    @property
    def next(self) -> int:
        """See `Spool`."""
        return self._next

    def append(self, payloads: Sequence[bytes]) -> int:
        """See `Spool`."""
        with self._lock:
            for taken, payload in enumerate(payloads):
                if self._bytes + len(payload) > self._max_bytes:
                    return taken
                self._records.append(Record(self._next, payload))
                self._bytes += len(payload)
                self._next += 1
            return len(payloads)

    def peek(self, *, after: int, most: int, most_bytes: int) -> list[Record]:
        """See `Spool`."""
        with self._lock:
            newer = (record for record in self._records if record.number > after)
            return _bounded(newer, most=most, most_bytes=most_bytes)

    def release(self, through: int) -> None:
        """See `Spool`."""
        with self._lock:
            while self._records and self._records[0].number <= through:
                self._bytes -= len(self._records.popleft().payload)

    def close(self) -> None:
        """See `Spool`."""


@dataclass(frozen=True, slots=True)
class _Place:
    number: int
    segment: int
    offset: int
    length: int


class FileSpool:
    """A spool in a directory of its own: segments named by the number of their first record."""

    def __init__(self, directory: Path, *, max_bytes: int = DEFAULT_MAX_BYTES, sync: bool = False) -> None:
        """Open, and find what an earlier process has left.

        Args:
            directory: made when it is missing; one process at a time.
            max_bytes: largest size of all records.
            sync: whether records are forced to disk before `append` returns.

        Raises:
            SpoolError: the directory cannot be written, or another process has it.
        """
        self._directory = directory
        self._max_bytes = max_bytes
        self._sync = sync
        self._lock = threading.Lock()
        self._files: dict[int, int] = {}
        self._places: deque[_Place] = deque()
        self._bytes = 0
        self._next = 1
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._guard = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load()
        except BlockingIOError as error:
            raise SpoolError(
                f"{directory} is in use by another process; give each process its own"
            ) from error
        except OSError as error:
            raise SpoolError(f"cannot use the spool {directory}: {error.strerror}") from error

    @property
    def first(self) -> int:
        """See `Spool`."""
        with self._lock:
            return self._places[0].number if self._places else self._next

    @property
    def next(self) -> int:
        """See `Spool`."""
        return self._next

    def append(self, payloads: Sequence[bytes]) -> int:
        """See `Spool`."""
        with self._lock:
            taken = self._fitting(payloads)
            if not taken:
                return 0
            segment = self._writable()
            file = self._files[segment]
            offset = os.lseek(file, 0, os.SEEK_END)
            try:
                _write_all(file, b"".join(_framed(payload) for payload in payloads[:taken]))
                if self._sync:
                    os.fdatasync(file)
            except OSError:  # a full disk is a full spool; half a record must not stand before whole ones
                os.ftruncate(file, offset)
                return 0
            for payload in payloads[:taken]:
                self._places.append(_Place(self._next, segment, offset + _HEADER.size, len(payload)))
                offset += _HEADER.size + len(payload)
                self._bytes += len(payload)
                self._next += 1
            return taken

    def peek(self, *, after: int, most: int, most_bytes: int) -> list[Record]:
        """See `Spool`."""
        with self._lock:
            newer = (self._read(place) for place in self._places if place.number > after)
            return _bounded(newer, most=most, most_bytes=most_bytes)

    def release(self, through: int) -> None:
        """See `Spool`."""
        with self._lock:
            while self._places and self._places[0].number <= through:
                self._bytes -= self._places.popleft().length
            # the newest segment stays even when it is empty: its name keeps the numbering
            needed = self._places[0].segment if self._places else max(self._files, default=0)
            for segment in [name for name in self._files if name < needed]:
                self._remove(segment)
            self._mark(through)

    def close(self) -> None:
        """See `Spool`."""
        with self._lock:
            for file in self._files.values():
                os.close(file)
            self._files.clear()
            os.close(self._guard)

    def _fitting(self, payloads: Sequence[bytes]) -> int:
        size = self._bytes
        for taken, payload in enumerate(payloads):
            size += len(payload)
            if size > self._max_bytes:
                return taken
        return len(payloads)

    def _writable(self) -> int:
        segment = max(self._files, default=0)
        if not segment or os.lseek(self._files[segment], 0, os.SEEK_END) >= _SEGMENT_BYTES:
            segment = self._next
            self._open(segment)
        return segment

    def _open(self, segment: int) -> None:
        path = self._directory / f"{segment:016d}{_SUFFIX}"
        self._files[segment] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _remove(self, segment: int) -> None:
        os.close(self._files.pop(segment))
        (self._directory / f"{segment:016d}{_SUFFIX}").unlink(missing_ok=True)

    def _read(self, place: _Place) -> Record:
        return Record(place.number, os.pread(self._files[place.segment], place.length, place.offset))

    def _load(self) -> None:
        """Find the records of an earlier process; cut off what a crash has torn."""
        whole = True
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            segment = int(path.stem)
            if not whole or (self._files and segment != self._next):
                path.unlink()
                continue
            self._open(segment)
            self._next = segment
            whole = self._scan(segment)
        delivered = self._marked()
        while self._places and self._places[0].number <= delivered:
            self._bytes -= self._places.popleft().length
        if delivered >= self._next:  # the machine crashed, and what was delivered never came to the disk
            for segment in list(self._files):
                self._remove(segment)
            self._next = delivered + 1

    def _scan(self, segment: int) -> bool:
        file = self._files[segment]
        size = os.fstat(file).st_size
        offset = 0
        while offset + _HEADER.size <= size:
            length, checksum = _HEADER.unpack(os.pread(file, _HEADER.size, offset))
            start = offset + _HEADER.size
            if start + length > size or zlib.crc32(os.pread(file, length, start)) != checksum:
                break
            self._places.append(_Place(self._next, segment, start, length))
            self._bytes += length
            self._next += 1
            offset = start + length
        os.ftruncate(file, offset)
        return offset == size

    def _mark(self, through: int) -> None:
        """Remember what was delivered; losing the mark only means that a receiver sees a repetition."""
        with contextlib.suppress(OSError):
            (self._directory / "delivered").write_text(str(through))

    def _marked(self) -> int:
        try:
            return int((self._directory / "delivered").read_text() or 0)
        except (OSError, ValueError):
            return 0


def open_spool(directory: Path | None, *, max_bytes: int = DEFAULT_MAX_BYTES, sync: bool = False) -> Spool:
    """A spool in `directory`, or in memory when there is none; see `FileSpool`."""
    if directory is None:
        return MemorySpool(max_bytes=max_bytes)
    return FileSpool(directory, max_bytes=max_bytes, sync=sync)


def _framed(payload: bytes) -> bytes:
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _bounded(records: Iterable[Record], *, most: int, most_bytes: int) -> list[Record]:
    chosen: list[Record] = []
    size = 0
    for record in records:
        size += len(record.payload)
        if chosen and (len(chosen) >= most or size > most_bytes):
            break
        chosen.append(record)
    return chosen

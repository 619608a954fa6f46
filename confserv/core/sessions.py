"""Open sessions, who holds them and until when: what may be opened, what has run out.

Why it exists: a server application holds one session at a time under its name (B-17), and a session is kept
in the database before it is granted, so that opening has two halves: `judge` and `granted`. Times are seconds
of CLOCK_BOOTTIME, given by the caller. What it does not promise: that the database agrees; whoever runs it
stores first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NewType

from confserv.core.applications import ApplicationType

SessionId = NewType("SessionId", str)
"""Chosen by the client, a UUID; the same id from the same certificate is the same session."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a session; all four name one process for ever."""

    host: str
    boot_id: str
    pid: int
    start_time_ticks: int

    @property
    def is_known(self) -> bool:
        """Whether the client said which process it is; an agent can report only such a one."""
        return self.pid > 0 and self.boot_id != ""


@dataclass(frozen=True, slots=True)
class Session:
    """One session as it is stored; times in milliseconds since 1970 UTC."""

    session_id: SessionId
    application: str
    application_type: ApplicationType
    dbid: int
    certificate: str
    """The name in the certificate that opened it; nobody else may restore, keep or close it."""
    holder: Holder
    peer: str
    opened_ms: int
    endpoints: tuple[str, ...] = ()
    version: str = ""


class Judgement(Enum):
    """What opening a session comes to."""

    OPEN = "open"
    """Store it, with the sessions that it replaces removed, then call `granted`."""
    RESTORE = "restore"
    """It is open already, as it was asked for: only its lease is extended."""
    HELD = "held"
    """Another process holds the only session under this name."""
    FOREIGN = "foreign"
    """The id belongs to a session of another certificate or application."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The answer of `judge`: `other` is the session that stands in the way, `replaces` those that have run
    out."""

    judgement: Judgement
    other: Session | None = None
    replaces: tuple[SessionId, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A session and when its lease ends, in seconds."""

    session: Session
    until_s: float


class Sessions:
    """The open sessions of one primary. Every method is a plain function of what was told before."""

    def __init__(self, *, lease_ttl_s: float) -> None:
        """Begin with none; `lease_ttl_s` is how long a session lives after it was last kept."""
        self._lease_ttl_s = lease_ttl_s
        self._held: dict[SessionId, Held] = {}
        self._by_application: dict[str, set[SessionId]] = {}
        self._by_certificate: dict[str, set[SessionId]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Session]:
        return iter(sorted((held.session for held in self._held.values()), key=_by_name))

    def find(self, session_id: SessionId) -> Session | None:
        """Give an open session, None when there is none of that id."""
        held = self._held.get(session_id)
        return None if held is None else held.session

    def has_certificate(self, name: str) -> bool:
        """Say whether the certificate of that name has a session open; asked at every call."""
        return name in self._by_certificate

    def adopt(self, stored: Iterable[Session], *, now_s: float) -> None:
        """Take over what the database holds: each gets a full lease, since its client may just be on its way
        (B-17)."""
        self._held.clear()
        self._by_application.clear()
        self._by_certificate.clear()
        for session in stored:
            self.granted(session, now_s=now_s)

    def extend(self, *, now_s: float) -> None:
        """Give every session a full lease: nobody could keep one while the primary was suspended."""
        self._held = {
            session_id: replace(held, until_s=now_s + self._lease_ttl_s)
            for session_id, held in self._held.items()
        }

    def judge(self, asked: Session, *, now_s: float) -> Opening:
        """Say what opening `asked` comes to at `now_s` (B-17)."""
        known = self._held.get(asked.session_id)
        if known is not None and _identity(known.session) != _identity(asked):
            return Opening(Judgement.FOREIGN, known.session)
        if known is not None and _as_before(asked, known.session) == known.session:
            return Opening(Judgement.RESTORE)
        others = [self._held[one] for one in self._by_application.get(asked.application, ())]
        replaced = tuple(one.session.session_id for one in others if self._gives_way(one, asked, now_s=now_s))
        if not asked.application_type.has_many_sessions:
            for other in others:
                if other.session.session_id not in replaced:
                    return Opening(Judgement.HELD, other.session)
        return Opening(Judgement.OPEN, replaces=replaced)

    def granted(self, session: Session, *, replaces: Iterable[SessionId] = (), now_s: float) -> None:
        """Record a session that is stored now, with a full lease."""
        for gone in replaces:
            self.closed(gone)
        self._held[session.session_id] = Held(session, now_s + self._lease_ttl_s)
        for index, key in self._indexes(session):
            index.setdefault(key, set()).add(session.session_id)

    def keep(self, session_id: SessionId, *, now_s: float) -> bool:
        """Extend a lease; False when there is no such session any more."""
        held = self._held.get(session_id)
        if held is None:
            return False
        self._held[session_id] = replace(held, until_s=now_s + self._lease_ttl_s)
        return True

    def closed(self, session_id: SessionId) -> Session | None:
        """Forget a session; None when it was not open."""
        held = self._held.pop(session_id, None)
        if held is None:
            return None
        for index, key in self._indexes(held.session):
            index[key].discard(session_id)
            if not index[key]:
                del index[key]
        return held.session

    def of_process(self, holder: Holder) -> tuple[SessionId, ...]:
        """Give the sessions of exactly this process, which has exited (B-17)."""
        return tuple(sorted(one for one, held in self._held.items() if held.session.holder == holder))

    def run_out(self, *, now_s: float) -> tuple[SessionId, ...]:
        """Give the sessions whose lease has ended by `now_s`; they may be removed."""
        return tuple(sorted(one for one, held in self._held.items() if held.until_s <= now_s))

    def _indexes(self, session: Session) -> tuple[tuple[dict[str, set[SessionId]], str], ...]:
        return (self._by_application, session.application), (self._by_certificate, session.certificate)

    @staticmethod
    def _gives_way(held: Held, asked: Session, *, now_s: float) -> bool:
        return held.session.session_id == asked.session_id or held.until_s <= now_s


def _as_before(asked: Session, known: Session) -> Session:
    # a client that reconnects comes from another port at another time, and is the same
    return replace(asked, opened_ms=known.opened_ms, peer=known.peer)


def _identity(session: Session) -> tuple[str, str, ApplicationType]:
    return session.certificate, session.application, session.application_type


def _by_name(session: Session) -> tuple[str, str]:
    return session.application, session.session_id

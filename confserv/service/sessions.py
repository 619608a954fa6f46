"""Sessions of applications with this primary: asked, stored, granted, kept, ended.

The shell around `core/admission.py` and `core/sessions.py`: it reads the clock and writes to the database before it
grants (B-17). Openings under one name take turns, so that two cannot both find the name free.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from confclient.errors import (
    BY_REASON,
    CertificateMismatchError,
    ConfservError,
    DatabaseUnavailableError,
    SessionHeldError,
)
from confkit.clock import Clock
from confkit.election.ports import StoreUnreachable
from confkit.events import EventLog
from confserv.core.admission import Applicant, ApplicationFacts, Circumstances, Refused, admit
from confserv.core.sessions import Holder, Judgement, Opening, Session, SessionId, Sessions
from confserv.core.stage import Stage
from confserv.service.gate import Gate
from confserv.state_ports import Fenced, SessionStore, Tenure

OPENED_EVENT, ENDED_EVENT = "21-25130", "21-25131"
_LOOK_S = 0.25
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What admission looks at: applications by name, the stage, and the features of the license."""

    application: Callable[[str], ApplicationFacts | None]
    stage: Callable[[], Stage]
    has_feature: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What a client asks for, and from where."""

    session_id: SessionId
    applicant: Applicant
    holder: Holder
    peer: str
    version: str = ""
    endpoints: tuple[str, ...] = ()


class SessionKeeper:
    """Grants sessions while this server is primary."""

    def __init__(
        self,
        *,
        store: SessionStore,
        gate: Gate,
        knowledge: Knowledge,
        lease_ttl_s: float,
        events: EventLog,
        clock: Clock,
        on_fenced: Callable[[Fenced], None],
    ) -> None:
        """Begin with none; `lease_ttl_s` is how long, in seconds, a session lives after it was last kept."""
        self._store = store
        self._gate = gate
        self._knowledge = knowledge
        self._events = events
        self._clock = clock
        self._on_fenced = on_fenced
        self._sessions = Sessions(lease_ttl_s=lease_ttl_s)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.lease_ttl_s = lease_ttl_s

    def promoted(self, stored: Iterable[Session]) -> None:
        """Take over the stored sessions, each with a full lease (B-17)."""
        self._sessions.adopt(stored, now_s=self._clock.boottime_s())

    def resumed(self) -> None:
        """Give every session a full lease after a suspension."""
        self._sessions.extend(now_s=self._clock.boottime_s())

    def demoted(self) -> None:
        """Forget all: the next primary reads them."""
        self._sessions.adopt((), now_s=self._clock.boottime_s())

    def has_session(self, certificate: str) -> bool:
        """Whether the certificate of that name has a session open."""
        return self._sessions.has_certificate(certificate)

    async def listed(self) -> tuple[Session, ...]:
        """Give the open sessions, by application. Raises NotPrimaryError."""
        await self._gate.passage()
        return tuple(self._sessions)

    async def open(self, request: OpenRequest) -> tuple[Session, Tenure]:
        """Open or restore a session (B-11, B-16, B-17). Raises the refusals of SessionService.OpenSession."""
        tenure = await self._gate.passage()
        facts = self._admit(request.applicant)
        async with self._turns[request.applicant.application]:
            asked = self._asked(request, facts)
            opening = self._sessions.judge(asked, now_s=self._clock.boottime_s())
            match opening.judgement:
                case Judgement.RESTORE:
                    self._sessions.keep(asked.session_id, now_s=self._clock.boottime_s())
                case Judgement.OPEN:
                    await self._store_and_grant(asked, opening, tenure)
                case _:
                    raise self._refusal(asked, opening)
        return self._sessions.find(asked.session_id) or asked, tenure

    async def keep(self, session_id: SessionId, *, certificate: str) -> Tenure | None:
        """Extend a session's lease; None when that certificate has no such session. Raises NotPrimaryError."""
        tenure = await self._gate.passage()
        session = self._sessions.find(session_id)
        if session is None or session.certificate != certificate:
            return None
        self._sessions.keep(session_id, now_s=self._clock.boottime_s())
        return tenure

    async def close(self, session_id: SessionId, *, certificate: str) -> None:
        """End a session; one that is not open is closed already. Raises CertificateMismatchError."""
        tenure = await self._gate.passage()
        session = self._sessions.find(session_id)
        if session is None:
            return
        if session.certificate != certificate:
            raise CertificateMismatchError(f"the session is {session.certificate}'s, not {certificate}'s")
        await self._end([session_id], tenure, "closed by the application")

    async def report_exit(self, holder: Holder) -> tuple[SessionId, ...]:
        """End the sessions of a process that is gone, and give their ids (B-17)."""
        tenure = await self._gate.passage()
        ended = self._sessions.of_process(holder) if holder.is_known else ()
        await self._end(ended, tenure, "its process has exited")
        return ended

    async def run(self) -> None:
        """End sessions whose lease has run out, for ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            tenure = self._gate.tenure
            if tenure is None:
                continue
            ended = self._sessions.run_out(now_s=self._clock.boottime_s())
            try:
                await self._end(ended, tenure, "its lease has run out")
            except ConfservError as error:
                _log.warning("cannot end sessions", error=str(error))

    def _admit(self, applicant: Applicant) -> ApplicationFacts:
        knowledge = self._knowledge
        circumstances = Circumstances(
            knowledge.application(applicant.application), knowledge.stage(), knowledge.has_feature
        )
        verdict = admit(applicant, circumstances)
        if isinstance(verdict, Refused):
            self._events.emit(verdict.event, **verdict.attributes)
            raise BY_REASON[verdict.reason](verdict.message, **verdict.attributes)
        return verdict

    def _asked(self, request: OpenRequest, facts: ApplicationFacts) -> Session:
        return Session(
            session_id=request.session_id,
            application=request.applicant.application,
            application_type=request.applicant.application_type,
            dbid=facts.dbid,
            certificate=request.applicant.certificate_name,
            holder=request.holder,
            peer=request.peer,
            opened_ms=self._clock.wall_ms(),
            endpoints=request.endpoints,
            version=request.version,
        )

    async def _store_and_grant(self, asked: Session, opening: Opening, tenure: Tenure) -> None:
        await self._write(tenure, add=[asked], remove=opening.replaces)
        self._sessions.granted(asked, replaces=opening.replaces, now_s=self._clock.boottime_s())
        if asked.session_id not in opening.replaces:
            self._events.emit(
                OPENED_EVENT, client=asked.application, application_type=asked.application_type.title
            )

    async def _end(self, ids: Iterable[SessionId], tenure: Tenure, detail: str) -> None:
        ended = tuple(ids)
        if not ended:
            return
        await self._write(tenure, remove=ended)
        for session_id in ended:
            session = self._sessions.closed(session_id)
            if session is not None:
                self._events.emit(ENDED_EVENT, client=session.application, detail=detail)

    async def _write(
        self, tenure: Tenure, *, add: Iterable[Session] = (), remove: Iterable[SessionId] = ()
    ) -> None:
        try:
            await self._store.change_sessions(tenure, add=add, remove=remove)
        except Fenced as fenced:
            self._on_fenced(fenced)
            raise self._gate.refusal() from None
        except StoreUnreachable as error:
            raise DatabaseUnavailableError(f"the database does not answer: {error}") from None
        if not self._gate.holds(tenure):
            raise self._gate.refusal()

    def _refusal(self, asked: Session, opening: Opening) -> ConfservError:
        other = opening.other
        assert other is not None, "somebody stands in the way"
        if opening.judgement is Judgement.FOREIGN:
            return CertificateMismatchError(f"the session {asked.session_id} belongs to {other.application}")
        where = f"{other.holder.host or other.peer}, process {other.holder.pid}"
        return SessionHeldError(
            f"{asked.application} has a session already, from {where}: it ends with that process, "
            f"or {self.lease_ttl_s:g} s after it was last kept",
            application=asked.application,
            host=other.holder.host,
            pid=other.holder.pid,
        )

"""Everything that can be refused, and one table that maps it to gRPC and back.

A refusal has a stable machine-readable reason (`B-60`), a sentence for people that says what was
wrong, where, and what to do, and metadata with the same facts for programs. On the wire it is a
google.rpc.Status with an ErrorInfo of domain `confserv`, and a PrimaryHint for NOT_PRIMARY.
Reasons never change once released; a client that does not know one falls back on the gRPC code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from confapi.ha.v1 import ha_pb2

DOMAIN = "confserv"
_STATUS_DETAILS = "grpc-status-details-bin"


class ConfservError(Exception):
    """Base of all refusals.

    Attributes:
        reason: stable, machine-readable.
        code: gRPC status code.
        metadata: facts of this refusal, as names and values.
        retry: whether the same call may be repeated blindly.
    """

    reason: ClassVar[str] = "INTERNAL"
    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    retry: ClassVar[bool] = False

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = {name: str(value) for name, value in metadata.items()}

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]"


class InternalError(ConfservError):
    """A defect; the incident id leads to the server's log."""


class InvalidError(ConfservError):
    """The request itself is wrong."""

    reason = "INVALID"
    code = grpc.StatusCode.INVALID_ARGUMENT


class UnknownTypeError(InvalidError):
    """No such type of objects."""

    reason = "UNKNOWN_TYPE"


class TooLargeError(InvalidError):
    """More than a limit allows; metadata `limit`."""

    reason = "TOO_LARGE"


class LicenseRefusedError(InvalidError):
    """A license file is refused (B-3); metadata `source`, `line`, `column`, `cure`."""

    reason = "LICENSE_REFUSED"


class RequestIdReusedError(InvalidError):
    """The request id was used before with other content."""

    reason = "REQUEST_ID_REUSED"


class RequestIdExpiredError(InvalidError):
    """The request id is older than the window in which repetitions are recognized."""

    reason = "REQUEST_ID_EXPIRED"


class NotFoundError(ConfservError):
    """The object, or one that it refers to, does not exist."""

    reason = "NOT_FOUND"
    code = grpc.StatusCode.NOT_FOUND


class AlreadyExistsError(ConfservError):
    """The name is taken in its scope (B-61)."""

    reason = "ALREADY_EXISTS"
    code = grpc.StatusCode.ALREADY_EXISTS


class SessionHeldError(AlreadyExistsError):
    """Another process holds the session of a server application (B-17)."""

    reason = "SESSION_HELD"


class PermissionDeniedError(ConfservError):
    """The certificate's role may not do this."""

    reason = "PERMISSION_DENIED"
    code = grpc.StatusCode.PERMISSION_DENIED


class OptionReadOnlyError(PermissionDeniedError):
    """The option `license` belongs to the server (B-6); metadata `option`."""

    reason = "OPTION_READ_ONLY"


class CertificateMismatchError(PermissionDeniedError):
    """The certificate does not carry the name or cluster that the request claims."""

    reason = "CERTIFICATE_MISMATCH"


class RegistrationRefusedError(PermissionDeniedError):
    """An agent refuses to watch a process that it cannot identify."""

    reason = "REGISTRATION_REFUSED"


class UnauthenticatedError(ConfservError):
    """No certificate, or one without a role."""

    reason = "UNAUTHENTICATED"
    code = grpc.StatusCode.UNAUTHENTICATED


class PreconditionError(ConfservError):
    """The state of the system does not allow it now."""

    reason = "PRECONDITION"
    code = grpc.StatusCode.FAILED_PRECONDITION


class LrmNotStartedError(PreconditionError):
    """No License Reporting Manager has been seen since the database was made (B-11)."""

    reason = "LRM_NOT_STARTED"


class LicenseRequiredError(PreconditionError):
    """The stored license lacks a feature; metadata `feature` (B-16, B-40)."""

    reason = "LICENSE_REQUIRED"


class ImmutableError(PreconditionError):
    """A field cannot be changed after creation; metadata `field`."""

    reason = "IMMUTABLE"


class ReferencedError(PreconditionError):
    """A deletion would leave dangling references; metadata `referrers` (B-61)."""

    reason = "REFERENCED"


class UnknownApplicationError(PreconditionError):
    """No Application object of that name (B-16)."""

    reason = "UNKNOWN_APPLICATION"


class ApplicationDisabledError(PreconditionError):
    """The Application object is disabled (B-16)."""

    reason = "APPLICATION_DISABLED"


class TypeMismatchError(PreconditionError):
    """The Application object has another type than the one claimed (B-16)."""

    reason = "TYPE_MISMATCH"


class SessionRequiredError(PreconditionError):
    """The caller holds no open session: open one."""

    reason = "SESSION_REQUIRED"


class NoSuccessorError(PreconditionError):
    """No other member may be promoted now."""

    reason = "NO_SUCCESSOR"


class SequenceGapError(PreconditionError):
    """A batch is missing before this one; metadata `expected`."""

    reason = "SEQUENCE_GAP"


class NoHostError(PreconditionError):
    """The application has no host, or the host no agent."""

    reason = "NO_HOST"


class WrongHostError(PreconditionError):
    """The application runs on another host than this agent's."""

    reason = "WRONG_HOST"


class StaleRevisionError(ConfservError):
    """The object has another revision than the expected one; metadata `expected`, `actual`."""

    reason = "STALE_REVISION"
    code = grpc.StatusCode.ABORTED


class CompactedError(ConfservError):
    """The history that was asked for is gone: read everything again; metadata `oldest`, `history_id`."""

    reason = "COMPACTED"
    code = grpc.StatusCode.OUT_OF_RANGE


class LaggedError(ConfservError):
    """A watcher did not keep up; metadata `revision` says where to resume."""

    reason = "LAGGED"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class OutcomeUnknownError(ConfservError):
    """The write may or may not have taken place: repeat it under the same request id."""

    reason = "OUTCOME_UNKNOWN"
    code = grpc.StatusCode.UNKNOWN


class UnavailableError(ConfservError):
    """A part that is needed cannot be reached now."""

    reason = "UNAVAILABLE"
    code = grpc.StatusCode.UNAVAILABLE


class NoPrimaryError(UnavailableError):
    """Nobody is primary now: try again after a pause."""

    reason = "NO_PRIMARY"
    retry = True


class AgentUnreachableError(UnavailableError):
    """The Local Control Agent of a host cannot be reached; metadata `host`."""

    reason = "AGENT_UNREACHABLE"


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be reached."""

    reason = "DATABASE_UNAVAILABLE"


class DeadlineError(ConfservError):
    """The caller's deadline passed before an answer came."""

    reason = "DEADLINE"
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotPrimaryError(PreconditionError):
    """This server is not the primary; `hint` says who is."""

    reason = "NOT_PRIMARY"

    def __init__(self, message: str, *, hint: ha_pb2.PrimaryHint | None = None, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.hint = hint or ha_pb2.PrimaryHint()

    @property
    def endpoints(self) -> Sequence[str]:
        """Addresses of the primary, host:port; empty when none is known."""
        return tuple(self.hint.endpoints)


def _subclasses(base: type[ConfservError]) -> list[type[ConfservError]]:
    return [base, *(found for child in base.__subclasses__() for found in _subclasses(child))]


BY_REASON: Mapping[str, type[ConfservError]] = {kind.reason: kind for kind in _subclasses(ConfservError)}
"""Every exception by its reason: the one table."""

_BY_CODE: Mapping[grpc.StatusCode, type[ConfservError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.ABORTED: StaleRevisionError,
    grpc.StatusCode.OUT_OF_RANGE: CompactedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooLargeError,
}


def to_status(error: ConfservError) -> status_pb2.Status:
    """The google.rpc.Status that carries an error over the wire."""
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    messages: list[Any] = [*details]
    if isinstance(error, NotPrimaryError):
        messages.append(error.hint)
    packed = []
    for message in messages:
        wrapped = any_pb2.Any()
        wrapped.Pack(message)
        packed.append(wrapped)
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)


def trailing_metadata(error: ConfservError) -> tuple[str, bytes]:
    """The one pair of trailing metadata that a server sends with the error."""
    return _STATUS_DETAILS, to_status(error).SerializeToString()


def from_rpc_error(error: grpc.aio.AioRpcError) -> ConfservError:
    """The exception behind a failed call; by reason where there is one, else by gRPC code.

    A call whose connection broke is UnavailableError: whether it was carried out is not known.
    """
    code = error.code()
    text = error.details() or code.name
    trailing: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    for name, value in trailing:
        if name == _STATUS_DETAILS and isinstance(value, bytes):
            found = _from_status(status_pb2.Status.FromString(value))
            if found is not None:
                return found
    kind = _BY_CODE.get(code, InternalError)
    return kind(f"{text} ({code.name})")


def _from_status(status: status_pb2.Status) -> ConfservError | None:
    info = error_details_pb2.ErrorInfo()
    hint = ha_pb2.PrimaryHint()
    found = False
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            found = info.domain == DOMAIN
        elif detail.Is(hint.DESCRIPTOR):
            detail.Unpack(hint)
    if not found:
        return None
    kind = BY_REASON.get(info.reason, InternalError)
    metadata = {k: v for k, v in info.metadata.items() if k not in {"message", "hint"}}
    if kind is NotPrimaryError:
        return NotPrimaryError(status.message, hint=hint, **metadata)
    return kind(status.message, **metadata)

"""Whether an application may have a session: one table of questions, asked in order, the first "no" answers.

Why it exists: who may connect is the heart of the startup stages (B-11), of applications' licenses (B-16) and
of certificates' roles, and must read as one page. Whether a session under the same name is open is asked
later, in `sessions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from confserv.core.applications import CERTIFICATE_ROLES, PEOPLES_TOOLS, ApplicationType
from confserv.core.stage import Stage

LRM_NOT_STARTED_EVENT = "21-25101"
FEATURE_MISSING_EVENT = "21-25124"
REFUSED_EVENT = "21-25132"


class AdmissionRefusal(StrEnum):
    """The stable reason of a refused session (B-60), as the wire gives it."""

    CERTIFICATE_MISMATCH = "CERTIFICATE_MISMATCH"
    LRM_NOT_STARTED = "LRM_NOT_STARTED"
    UNKNOWN_APPLICATION = "UNKNOWN_APPLICATION"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    APPLICATION_DISABLED = "APPLICATION_DISABLED"
    LICENSE_REQUIRED = "LICENSE_REQUIRED"


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks: what it claims, and what its certificate proves."""

    application: str
    application_type: ApplicationType
    certificate_role: str
    certificate_name: str


@dataclass(frozen=True, slots=True)
class ApplicationFacts:
    """What the configuration says of an Application object and its template."""

    dbid: int
    enabled: bool
    application_type: ApplicationType
    required_feature: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """No: why, the log event that says so, and its attributes."""

    reason: AdmissionRefusal
    message: str
    event: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What admission looks at besides the applicant: the object, the stage, and what the license contains.

    `has_feature` counts an expired line as contained: expiry alone refuses nobody (B-30).
    """

    application: ApplicationFacts | None
    stage: Stage
    has_feature: Callable[[str], bool]


Verdict = ApplicationFacts | Refused


def admit(applicant: Applicant, circumstances: Circumstances) -> Verdict:
    """Grant with the application's facts, or refuse with the first reason that applies (B-11, B-13, B-16).

    The stage is asked before the object, so that an application installed too early is told to wait, not to
    leave.
    """
    for question in _QUESTIONS:
        refused = question(applicant, circumstances)
        if refused is not None:
            return refused
    assert circumstances.application is not None, "the question after the object's existence was asked"
    return circumstances.application


def _certificate(applicant: Applicant, _: Circumstances) -> Refused | None:
    roles = CERTIFICATE_ROLES[applicant.application_type]
    if applicant.certificate_role not in roles:
        wanted = " or ".join(sorted(roles))
        return _refused(
            applicant,
            AdmissionRefusal.CERTIFICATE_MISMATCH,
            f"a {applicant.application_type.title} needs a certificate of role {wanted}, "
            f"this one is of role {applicant.certificate_role}",
        )
    if applicant.certificate_role != PEOPLES_TOOLS and applicant.certificate_name != applicant.application:
        return _refused(
            applicant,
            AdmissionRefusal.CERTIFICATE_MISMATCH,
            f"the certificate is {applicant.certificate_name}'s, not {applicant.application}'s",
        )
    return None


def _stage(applicant: Applicant, circumstances: Circumstances) -> Refused | None:
    if circumstances.stage.accepts(applicant.application_type):
        return None
    return _refused(
        applicant,
        AdmissionRefusal.LRM_NOT_STARTED,
        "no License Reporting Manager has connected to this deployment yet: start it, then try again",
        event=LRM_NOT_STARTED_EVENT,
    )


def _existence(applicant: Applicant, circumstances: Circumstances) -> Refused | None:
    if circumstances.application is not None:
        return None
    return _refused(
        applicant,
        AdmissionRefusal.UNKNOWN_APPLICATION,
        f"there is no Application object named {applicant.application}: create it, or correct the name",
    )


def _type(applicant: Applicant, circumstances: Circumstances) -> Refused | None:
    found = circumstances.application
    if found is None or found.application_type is applicant.application_type:
        return None
    return _refused(
        applicant,
        AdmissionRefusal.TYPE_MISMATCH,
        f"{applicant.application} is a {found.application_type.title}, "
        f"not a {applicant.application_type.title}",
    )


def _state(applicant: Applicant, circumstances: Circumstances) -> Refused | None:
    found = circumstances.application
    if found is None or found.enabled:
        return None
    return _refused(
        applicant,
        AdmissionRefusal.APPLICATION_DISABLED,
        f"the Application object {applicant.application} is disabled: enable it to let it connect",
    )


def _feature(applicant: Applicant, circumstances: Circumstances) -> Refused | None:
    found = circumstances.application
    if found is None or not found.required_feature or circumstances.has_feature(found.required_feature):
        return None
    return _refused(
        applicant,
        AdmissionRefusal.LICENSE_REQUIRED,
        f"{applicant.application} needs the feature {found.required_feature}, which the stored license lacks: "
        "load a license that contains it",
        event=FEATURE_MISSING_EVENT,
        feature=found.required_feature,
    )


_QUESTIONS = (_certificate, _stage, _existence, _type, _state, _feature)


def _refused(
    applicant: Applicant,
    reason: AdmissionRefusal,
    message: str,
    *,
    event: str = REFUSED_EVENT,
    **attributes: str,
) -> Refused:
    about = {
        "client": applicant.application,
        "application": applicant.application,
        "application_type": applicant.application_type.title,
        "reason": str(reason),
        "detail": message,
    }
    return Refused(reason, message, event, about | attributes)

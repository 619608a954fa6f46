"""Who may connect, and what is said to whom may not."""

from __future__ import annotations

import pytest

from confserv.core.admission import (
    AdmissionRefusal,
    Applicant,
    ApplicationFacts,
    Circumstances,
    Refused,
    admit,
)
from confserv.core.applications import CERTIFICATE_ROLES, ApplicationType
from confserv.core.stage import Stage

GENERIC = ApplicationType.GENERIC_SERVER
FIRST, OPERATIONAL = Stage.FIRST_STARTUP, Stage.OPERATIONAL


def applicant(
    application_type: ApplicationType = GENERIC,
    *,
    application: str = "billing",
    role: str | None = None,
    certificate: str = "billing",
) -> Applicant:
    role = role or min(CERTIFICATE_ROLES[application_type])
    return Applicant(application, application_type, role, certificate)


def circumstances(
    *,
    stage: Stage = OPERATIONAL,
    exists: bool = True,
    enabled: bool = True,
    application_type: ApplicationType = GENERIC,
    needs: str = "",
    licensed: frozenset[str] = frozenset(),
) -> Circumstances:
    facts = ApplicationFacts(7, enabled, application_type, needs) if exists else None
    return Circumstances(facts, stage, licensed.__contains__)


BEFORE_LRM = {
    ApplicationType.ADMINISTRATOR,
    ApplicationType.ADMINISTRATOR_EXTENSION,
    ApplicationType.MESSAGE_SERVER,
    ApplicationType.SOLUTION_CONTROL_SERVER,
    ApplicationType.LICENSE_REPORTING_MANAGER,
    ApplicationType.ITC_UTILITY,
    ApplicationType.CONFIGURATION_SERVER,
    ApplicationType.CONFIGURATION_SERVER_PROXY,
    ApplicationType.LICENSE_MANAGER,
    ApplicationType.LOCAL_CONTROL_AGENT,
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("application_type", ApplicationType, ids=lambda one: one.name.lower())
def test_each_type_is_accepted_in_its_stages(application_type: ApplicationType, stage: Stage) -> None:
    # B-11, B-13
    verdict = admit(
        applicant(application_type), circumstances(stage=stage, application_type=application_type)
    )
    accepted = stage is OPERATIONAL or application_type in BEFORE_LRM
    assert accepted == isinstance(verdict, ApplicationFacts)
    if isinstance(verdict, Refused):
        assert (AdmissionRefusal.LRM_NOT_STARTED, "21-25101") == (verdict.reason, verdict.event)
        assert ("billing", application_type.title) == (
            verdict.attributes["application"],
            verdict.attributes["application_type"],
        )


@pytest.mark.parametrize(
    ("asks", "finds", "reason", "event"),
    [
        # B-16
        pytest.param(
            applicant(),
            circumstances(exists=False),
            AdmissionRefusal.UNKNOWN_APPLICATION,
            "21-25132",
            id="refuses an application without an object",
        ),
        pytest.param(
            applicant(),
            circumstances(enabled=False),
            AdmissionRefusal.APPLICATION_DISABLED,
            "21-25132",
            id="refuses a disabled application",
        ),
        pytest.param(
            applicant(),
            circumstances(application_type=ApplicationType.GENERIC_CLIENT),
            AdmissionRefusal.TYPE_MISMATCH,
            "21-25132",
            id="refuses an application that claims another type than its object has",
        ),
        pytest.param(
            applicant(),
            circumstances(needs="routing"),
            AdmissionRefusal.LICENSE_REQUIRED,
            "21-25124",
            id="refuses an application whose template needs a feature that the license lacks",
        ),
        pytest.param(
            applicant(certificate="other"),
            circumstances(),
            AdmissionRefusal.CERTIFICATE_MISMATCH,
            "21-25132",
            id="refuses a certificate in another application's name",
        ),
        pytest.param(
            applicant(ApplicationType.LICENSE_REPORTING_MANAGER, role="application"),
            circumstances(application_type=ApplicationType.LICENSE_REPORTING_MANAGER),
            AdmissionRefusal.CERTIFICATE_MISMATCH,
            "21-25132",
            id="refuses an application's certificate that poses as LRM",
        ),
        pytest.param(
            applicant(),
            circumstances(stage=FIRST, exists=False),
            AdmissionRefusal.LRM_NOT_STARTED,
            "21-25101",
            id="tells an application that comes too early to wait, whether it exists or not",
        ),
    ],
)
def test_refusals(asks: Applicant, finds: Circumstances, reason: AdmissionRefusal, event: str) -> None:
    verdict = admit(asks, finds)
    assert isinstance(verdict, Refused)
    assert (reason, event) == (verdict.reason, verdict.event)
    assert {"client", "detail"} <= verdict.attributes.keys()


def test_a_missing_feature_is_named() -> None:
    # B-16
    verdict = admit(applicant(), circumstances(needs="routing"))
    assert isinstance(verdict, Refused)
    assert "routing" == verdict.attributes["feature"]
    assert "routing" in verdict.message


def test_a_licensed_feature_lets_the_application_in() -> None:
    # B-16
    verdict = admit(applicant(), circumstances(needs="routing", licensed=frozenset({"routing"})))
    assert ApplicationFacts(7, True, GENERIC, "routing") == verdict


def test_peoples_tools_may_use_any_administrators_object() -> None:
    # B-16
    asks = applicant(ApplicationType.ADMINISTRATOR, application="confctl", certificate="alice")
    verdict = admit(asks, circumstances(application_type=ApplicationType.ADMINISTRATOR))
    assert isinstance(verdict, ApplicationFacts)

"""LicenseService: the stored license, its history, and the state of compliance on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import grpc.aio

from confapi.license.v1 import license_pb2, license_pb2_grpc
from confclient.errors import DatabaseUnavailableError, LicenseRefusedError, NotFoundError
from confclient.identity import CertificateRole
from confkit.election.ports import StoreUnreachable
from confkit.license.terms import FeatureRow
from confkit.member_service import epoch_message
from confkit.server import EVERYBODY, PEOPLE, Policy, caller
from confserv.core.compliance import Compliance
from confserv.core.license import StoredLicense
from confserv.service.gate import Gate
from confserv.service.licensing import Licensing
from confserv.service.streams import until_closed
from confserv.service.upload import Upload, UploadRefused

SERVICE = "confapi.license.v1.LicenseService"
POLICY: Policy = {
    f"/{SERVICE}/LoadLicense": PEOPLE,
    f"/{SERVICE}/GetLicense": PEOPLE
    | {CertificateRole.LRM, CertificateRole.LICMAN, CertificateRole.CONFSERV},
    f"/{SERVICE}/ListLicenseRevisions": PEOPLE,
    f"/{SERVICE}/WatchLicense": frozenset(
        {
            CertificateRole.LICMAN,
            CertificateRole.LRM,
            CertificateRole.MESSAGE_SERVER,
            CertificateRole.SOLUTION_CONTROL,
            CertificateRole.PROXY,
        }
    ),
    f"/{SERVICE}/GetCompliance": EVERYBODY,
}

_Context = grpc.aio.ServicerContext[object, object]


@dataclass(frozen=True, slots=True)
class Standing:
    """What compliance shows besides the license."""

    stage: Callable[[], str]
    lrm_bound: Callable[[], tuple[str, ...]]
    lrm_away_since_ms: Callable[[], int]


class LicenseService(license_pb2_grpc.LicenseServiceServicer):
    """The license in the Configuration Database, served by the primary."""

    def __init__(self, *, licensing: Licensing, gate: Gate, standing: Standing) -> None:
        """Serve `licensing`."""
        self._licensing = licensing
        self._gate = gate
        self._standing = standing

    async def LoadLicense(
        self, request: license_pb2.LoadLicenseRequest, context: _Context
    ) -> license_pb2.LoadLicenseResponse:
        """See the proto (B-1, B-3)."""
        await self._gate.passage()
        upload = Upload(
            request.text,
            request.source or "license",
            str(caller()),
            accept_expired=request.accept_expired,
            accept_older=request.accept_older,
        )
        try:
            loaded = await self._licensing.load(upload)
        except UploadRefused as refused:
            raise LicenseRefusedError(str(refused), **refused.metadata) from None
        except StoreUnreachable as error:
            raise DatabaseUnavailableError(f"the database does not answer: {error}") from None
        return license_pb2.LoadLicenseResponse(
            revision=revision_message(loaded.stored),
            changed=loaded.changed,
            features=self._features(loaded.terms.rows()),
            warnings=loaded.warnings,
        )

    async def GetLicense(
        self, request: license_pb2.GetLicenseRequest, context: _Context
    ) -> license_pb2.GetLicenseResponse:
        """See the proto."""
        await self._gate.passage()
        found = await self._licensing.revision(request.revision or None)
        if found is None:
            raise NotFoundError(f"there is no license revision {request.revision or ''}".rstrip())
        return license_pb2.GetLicenseResponse(
            revision=revision_message(found.stored),
            text=found.stored.text,
            features=self._features(found.rows),
        )

    async def ListLicenseRevisions(
        self, request: license_pb2.ListLicenseRevisionsRequest, context: _Context
    ) -> license_pb2.ListLicenseRevisionsResponse:
        """See the proto."""
        await self._gate.passage()
        revisions = await self._licensing.revisions()
        return license_pb2.ListLicenseRevisionsResponse(revisions=map(revision_message, revisions))

    async def WatchLicense(
        self, request: license_pb2.WatchLicenseRequest, context: _Context
    ) -> AsyncIterator[license_pb2.WatchLicenseResponse]:
        """See the proto (B-31)."""
        tenure = await self._gate.passage()
        async for license_ in until_closed(self._licensing.changes(), self._gate, tenure):
            yield license_pb2.WatchLicenseResponse(
                revision=revision_message(license_.stored),
                text=license_.stored.text,
                epoch=epoch_message(tenure.epoch),
            )

    async def GetCompliance(
        self, request: license_pb2.GetComplianceRequest, context: _Context
    ) -> license_pb2.GetComplianceResponse:
        """See the proto (B-33)."""
        await self._gate.passage()
        assessment = self._licensing.assessment()
        return license_pb2.GetComplianceResponse(
            compliance=_COMPLIANCE[assessment.compliance],
            findings=[
                license_pb2.ComplianceFinding(
                    reason=problem.reason, message=problem.message, since_ms=problem.since_ms
                )
                for problem in assessment.problems
            ],
            stage=self._standing.stage(),
            lrm_bound=self._standing.lrm_bound(),
            lrm_away_since_ms=self._standing.lrm_away_since_ms(),
        )

    def _features(self, rows: Iterable[FeatureRow]) -> list[license_pb2.LicensedFeature]:
        today = self._licensing.now().date()
        return [
            license_pb2.LicensedFeature(
                feature=row.feature,
                version=row.version,
                count=row.count or 0,
                expires="" if row.expires_on is None else row.expires_on.isoformat(),
                expired=row.expires_on is not None and row.expires_on < today,
                sellable_item=row.is_item,
            )
            for row in rows
        ]


def revision_message(stored: StoredLicense) -> license_pb2.LicenseRevision:
    """A license revision on the wire, without its text."""
    return license_pb2.LicenseRevision(
        revision=stored.revision,
        sha256=stored.sha256,
        stored_ms=stored.stored_ms,
        stored_by=stored.stored_by,
    )


_COMPLIANCE = {
    Compliance.OK: license_pb2.COMPLIANCE_OK,
    Compliance.WARNING: license_pb2.COMPLIANCE_WARNING,
    Compliance.FEATURE_EXPIRED: license_pb2.COMPLIANCE_FEATURE_EXPIRED,
    Compliance.EXPIRED: license_pb2.COMPLIANCE_EXPIRED,
    Compliance.INVALID: license_pb2.COMPLIANCE_INVALID,
}

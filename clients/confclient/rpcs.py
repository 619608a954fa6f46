"""Every RPC of the system by name, with its messages and whether it may be repeated.

Why it exists: `ServiceChannel` sends the same request to whichever server is primary, over several connections, so
it needs the call as a value rather than as a method of one connection's stub. Which calls may be repeated is what
the comments in the protos say ("Idempotent").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from confapi.config.v1 import config_pb2 as config
from confapi.config.v1 import sessions_pb2 as sessions
from confapi.control.v1 import agent_pb2 as agent
from confapi.control.v1 import control_pb2 as control
from confapi.ha.v1 import ha_pb2 as ha
from confapi.license.v1 import checkout_pb2 as checkout
from confapi.license.v1 import license_pb2 as license_
from confapi.message.v1 import message_pb2 as message
from confapi.usage.v1 import usage_pb2 as usage

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class Rpc(Generic[RequestT, ResponseT]):
    """One RPC.

    Attributes:
        path: /package.Service/Method.
        request: type of the request.
        response: type of the response.
        repeatable: whether carrying it out twice is the same as once.
    """

    path: str
    request: type[RequestT]
    response: type[ResponseT]
    repeatable: bool = True


_HA = "/confapi.ha.v1.MemberService/"
GET_STATUS = Rpc(_HA + "GetStatus", ha.GetStatusRequest, ha.GetStatusResponse)
SWITCH_OVER = Rpc(_HA + "SwitchOver", ha.SwitchOverRequest, ha.SwitchOverResponse, repeatable=False)

_CONFIG = "/confapi.config.v1.ConfigService/"
GET_OBJECT = Rpc(_CONFIG + "GetObject", config.GetObjectRequest, config.GetObjectResponse)
LIST_OBJECTS = Rpc(_CONFIG + "ListObjects", config.ListObjectsRequest, config.ListObjectsResponse)
CREATE_OBJECT = Rpc(_CONFIG + "CreateObject", config.CreateObjectRequest, config.CreateObjectResponse)
UPDATE_OBJECT = Rpc(_CONFIG + "UpdateObject", config.UpdateObjectRequest, config.UpdateObjectResponse)
DELETE_OBJECT = Rpc(_CONFIG + "DeleteObject", config.DeleteObjectRequest, config.DeleteObjectResponse)
TRANSACT = Rpc(_CONFIG + "Transact", config.TransactRequest, config.TransactResponse)
WATCH = Rpc(_CONFIG + "Watch", config.WatchRequest, config.WatchResponse)
GET_SNAPSHOT = Rpc(_CONFIG + "GetSnapshot", config.GetSnapshotRequest, config.GetSnapshotResponse)
LIST_HISTORY = Rpc(_CONFIG + "ListHistory", config.ListHistoryRequest, config.ListHistoryResponse)

_SESSIONS = "/confapi.config.v1.SessionService/"
OPEN_SESSION = Rpc(_SESSIONS + "OpenSession", sessions.OpenSessionRequest, sessions.OpenSessionResponse)
KEEP_SESSION = Rpc(_SESSIONS + "KeepSession", sessions.KeepSessionRequest, sessions.KeepSessionResponse)
CLOSE_SESSION = Rpc(_SESSIONS + "CloseSession", sessions.CloseSessionRequest, sessions.CloseSessionResponse)
LIST_SESSIONS = Rpc(_SESSIONS + "ListSessions", sessions.ListSessionsRequest, sessions.ListSessionsResponse)
REPORT_PROCESS_EXIT = Rpc(
    _SESSIONS + "ReportProcessExit", sessions.ReportProcessExitRequest, sessions.ReportProcessExitResponse
)

_LICENSE = "/confapi.license.v1.LicenseService/"
LOAD_LICENSE = Rpc(_LICENSE + "LoadLicense", license_.LoadLicenseRequest, license_.LoadLicenseResponse)
GET_LICENSE = Rpc(_LICENSE + "GetLicense", license_.GetLicenseRequest, license_.GetLicenseResponse)
LIST_LICENSE_REVISIONS = Rpc(
    _LICENSE + "ListLicenseRevisions",
    license_.ListLicenseRevisionsRequest,
    license_.ListLicenseRevisionsResponse,
)
WATCH_LICENSE = Rpc(_LICENSE + "WatchLicense", license_.WatchLicenseRequest, license_.WatchLicenseResponse)
GET_COMPLIANCE = Rpc(
    _LICENSE + "GetCompliance", license_.GetComplianceRequest, license_.GetComplianceResponse
)
BIND = Rpc("/confapi.license.v1.LrmBindingService/Bind", license_.BindRequest, license_.BindResponse)

_CHECKOUT = "/confapi.license.v1.CheckoutService/"
CHECK_OUT = Rpc(_CHECKOUT + "CheckOut", checkout.CheckOutRequest, checkout.CheckOutResponse)
CHECK_IN = Rpc(_CHECKOUT + "CheckIn", checkout.CheckInRequest, checkout.CheckInResponse)
HEARTBEAT = Rpc(_CHECKOUT + "Heartbeat", checkout.HeartbeatRequest, checkout.HeartbeatResponse)
LIST_USE = Rpc(_CHECKOUT + "ListUse", checkout.ListUseRequest, checkout.ListUseResponse)

_USAGE = "/confapi.usage.v1.UsageService/"
RECORD_USAGE = Rpc(_USAGE + "RecordUsage", usage.RecordUsageRequest, usage.RecordUsageResponse)
GET_USAGE_REPORT = Rpc(_USAGE + "GetUsageReport", usage.GetUsageReportRequest, usage.GetUsageReportResponse)
GET_ENTITLEMENT = Rpc(_USAGE + "GetEntitlement", usage.GetEntitlementRequest, usage.GetEntitlementResponse)

_LOG = "/confapi.message.v1.LogService/"
PUBLISH_EVENTS = Rpc(_LOG + "PublishEvents", message.PublishEventsRequest, message.PublishEventsResponse)
QUERY_EVENTS = Rpc(_LOG + "QueryEvents", message.QueryEventsRequest, message.QueryEventsResponse)
SUBSCRIBE_EVENTS = Rpc(
    _LOG + "SubscribeEvents", message.SubscribeEventsRequest, message.SubscribeEventsResponse
)

_CONTROL = "/confapi.control.v1.SolutionControlService/"
LIST_APPLICATIONS = Rpc(
    _CONTROL + "ListApplications", control.ListApplicationsRequest, control.ListApplicationsResponse
)
START_APPLICATION = Rpc(
    _CONTROL + "StartApplication", control.StartApplicationRequest, control.StartApplicationResponse
)
STOP_APPLICATION = Rpc(
    _CONTROL + "StopApplication", control.StopApplicationRequest, control.StopApplicationResponse
)
SWITCH_OVER_APPLICATION = Rpc(
    _CONTROL + "SwitchOverApplication",
    control.SwitchOverApplicationRequest,
    control.SwitchOverApplicationResponse,
    repeatable=False,
)

_AGENT = "/confapi.control.v1.LocalAgentService/"
REGISTER_PROCESS = Rpc(
    _AGENT + "RegisterProcess", agent.RegisterProcessRequest, agent.RegisterProcessResponse
)
START_PROCESS = Rpc(_AGENT + "StartProcess", agent.StartProcessRequest, agent.StartProcessResponse)
STOP_PROCESS = Rpc(_AGENT + "StopProcess", agent.StopProcessRequest, agent.StopProcessResponse)
KILL_PROCESS = Rpc(_AGENT + "KillProcess", agent.KillProcessRequest, agent.KillProcessResponse)
LIST_PROCESSES = Rpc(_AGENT + "ListProcesses", agent.ListProcessesRequest, agent.ListProcessesResponse)
WATCH_PROCESSES = Rpc(_AGENT + "WatchProcesses", agent.WatchProcessesRequest, agent.WatchProcessesResponse)

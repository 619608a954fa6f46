"""Solution Control with an agent, real programs and a pair of Message Servers, on a real etcd, over TLS."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from confapi.config.v1 import objects_pb2
from confapi.control.v1 import agent_pb2, control_pb2
from confapi.ha.v1 import ha_pb2
from confclient.channel import ServiceChannel
from confclient.errors import (
    AgentUnreachableError,
    ConfservError,
    InvalidError,
    LicenseRequiredError,
    NoHostError,
    NoPrimaryError,
    NotFoundError,
    PreconditionError,
)
from confclient.rpcs import (
    GET_STATUS,
    LIST_APPLICATIONS,
    START_APPLICATION,
    STOP_APPLICATION,
    SWITCH_OVER_APPLICATION,
)
from confcluster.ports import free_ports
from local_agent.app import serve as serve_agent
from local_agent.settings import LocalAgentSettings
from message_server.app import serve as serve_log
from message_server.settings import MessageServerSettings
from solution_control.app import serve
from solution_control.settings import SolutionControlSettings
from tests.support.elected import WITHOUT_HA, Surroundings, around, authority, config_object, etcd, eventually
from tests.support.licenses import LICENSE

__all__ = ["around", "authority", "etcd"]

pytestmark = pytest.mark.etcd

PROGRAM = "import time; from confkit.process import notify_ready; notify_ready(); time.sleep(60)"


class Scene:
    """Solution Control, an agent of host-1, two Message Servers, and an operator."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        control_1, control_2, log_1, log_2, agent = (f"127.0.0.1:{port}" for port in free_ports(5))
        self.controls, self.logs, self.agent = [control_1, control_2], [log_1, log_2], agent
        self.operator: ServiceChannel = around.channel(self.controls, role="administrator", name="ann")
        self._configure()

    def _configure(self) -> None:
        log, voice = objects_pb2.APPLICATION_TYPE_MESSAGE_SERVER, objects_pb2.APPLICATION_TYPE_GENERIC_SERVER
        control = objects_pb2.APPLICATION_TYPE_SOLUTION_CONTROL_SERVER
        port = int(self.agent.rpartition(":")[2])
        program = {"command_line": sys.executable, "arguments": ["-c", PROGRAM]}
        bodies: dict[str, Any] = {
            "message-server-1": {"application_type": log, "host": 7, "endpoints": [self.logs[0]]},
            "message-server-2": {"application_type": log, "host": 7, "endpoints": [self.logs[1]]},
            "solution-control-1": {"application_type": control, "host": 7, "endpoints": [self.controls[0]]},
            "solution-control-2": {"application_type": control, "host": 7, "endpoints": [self.controls[1]]},
            "voice-1": {"application_type": voice, "host": 7, **program},
            "voice-far": {"application_type": voice, "host": 8, **program},
            "voice-nowhere": {"application_type": voice, **program},
        }
        self.around.stub.configure(
            config_object("Host", 7, "host-1", objects_pb2.Host(address="127.0.0.1", agent_port=port)),
            config_object("Host", 8, "host-2", objects_pb2.Host(address="127.0.0.1", agent_port=1)),
            *(
                config_object("Application", 20 + number, name, objects_pb2.Application(**body))
                for number, (name, body) in enumerate(bodies.items())
            ),
        )

    def start_control(self, number: int = 1) -> None:
        self.around.run(
            SolutionControlSettings,
            serve,
            name=f"solution-control-{number}",
            role="solution-control",
            listen=self.controls[number - 1],
        )

    def start_agent(self) -> None:
        self.around.run(
            LocalAgentSettings, serve_agent, name="lca-1", role="lca", listen=self.agent, host_name="host-1"
        )

    def start_log(self, number: int) -> None:
        self.around.run(
            MessageServerSettings,
            serve_log,
            name=f"message-server-{number}",
            role="message-server",
            listen=self.logs[number - 1],
            agent=self.agent,
            database=f"sqlite:///{self.around.directory}/log.sqlite",
        )

    async def status(self) -> dict[str, control_pb2.ApplicationStatus]:
        answer = await self.operator.unary(LIST_APPLICATIONS, control_pb2.ListApplicationsRequest())
        return {status.application: status for status in answer.applications}

    async def until(self, name: str, state: int, *, role: str = "") -> control_pb2.ApplicationStatus:
        """Wait until an application is shown in a state and role."""
        found = control_pb2.ApplicationStatus()

        async def shown() -> bool:
            found.CopyFrom((await self.status()).get(name, control_pb2.ApplicationStatus()))
            return (state, role) == (found.state, found.role)

        await eventually(shown)
        return found

    async def switch_over(self, name: str, to: str = "") -> control_pb2.SwitchOverApplicationResponse:
        request = control_pb2.SwitchOverApplicationRequest(application=name, to=to, reason="test")
        return await self.operator.unary(SWITCH_OVER_APPLICATION, request)


@pytest.fixture
def scene(around: Surroundings) -> Scene:
    return Scene(around)


async def test_an_application_is_started_shown_and_stopped_through_the_agent_of_its_host(
    scene: Scene,
) -> None:
    scene.start_control()
    scene.start_agent()
    await scene.until("voice-1", agent_pb2.RUN_STATE_STOPPED)
    request = control_pb2.StartApplicationRequest(application="voice-1")
    await scene.operator.unary(START_APPLICATION, request)
    running = await scene.until("voice-1", agent_pb2.RUN_STATE_RUNNING)
    assert ("host-1", "APPLICATION_TYPE_GENERIC_SERVER") == (running.host, running.application_type)
    assert running.process.process.pid > 0
    await scene.operator.unary(STOP_APPLICATION, control_pb2.StopApplicationRequest(application="voice-1"))
    await scene.until("voice-1", agent_pb2.RUN_STATE_STOPPED)


async def test_servers_that_registered_are_shown_with_state_session_and_role(scene: Scene) -> None:
    scene.start_control()
    scene.start_agent()
    scene.start_log(1)
    await scene.until("message-server-1", agent_pb2.RUN_STATE_RUNNING, role="primary")
    scene.start_log(2)
    await scene.until("message-server-2", agent_pb2.RUN_STATE_RUNNING, role="backup")

    async def all_is_known() -> bool:
        shown = (await scene.status())["message-server-1"]
        return bool(shown.process.lease_ids) and (True, "") == (shown.connected, shown.detail)

    await eventually(all_is_known)
    own = (await scene.status())["solution-control-1"]
    assert "primary" == own.role


async def test_an_agent_that_cannot_be_reached_says_nothing_about_its_host(scene: Scene) -> None:  # B-60
    scene.start_control()
    unknown = await scene.until("voice-far", agent_pb2.RUN_STATE_UNSPECIFIED)

    async def said() -> bool:
        unknown.CopyFrom((await scene.status())["voice-far"])
        return "cannot be reached" in unknown.detail

    await eventually(said)
    with pytest.raises(AgentUnreachableError, match="host-2"):
        await scene.operator.unary(
            START_APPLICATION, control_pb2.StartApplicationRequest(application="voice-far")
        )


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("voice-nowhere", NoHostError, id="an application without host"),
        pytest.param("nobody", NotFoundError, id="no application"),
    ],
)
async def test_an_order_that_nobody_can_carry_out_is_refused(  # B-60
    scene: Scene, name: str, error: type[ConfservError]
) -> None:
    scene.start_control()
    await scene.until("voice-1", agent_pb2.RUN_STATE_UNSPECIFIED)
    with pytest.raises(error, match=name):
        await scene.operator.unary(START_APPLICATION, control_pb2.StartApplicationRequest(application=name))


async def test_a_pair_is_switched_over_only_with_the_feature(scene: Scene) -> None:  # B-40
    scene.around.stub.license_text = WITHOUT_HA
    scene.start_control()
    scene.start_log(1)
    await scene.until("message-server-1", agent_pb2.RUN_STATE_RUNNING, role="primary")
    scene.start_log(2)
    await scene.until("message-server-2", agent_pb2.RUN_STATE_RUNNING, role="backup")
    with pytest.raises(LicenseRequiredError, match="ha_redundancy"):
        await scene.switch_over("message-server-1")
    scene.around.stub.load(LICENSE)

    async def licensed() -> bool:
        status = await scene.operator.unary(GET_STATUS, ha_pb2.GetStatusRequest())
        return "true" == status.attributes["ha_licensed"]

    await eventually(licensed)

    async def switched() -> bool:
        try:
            answer = await scene.switch_over("message-server-1")
        except LicenseRequiredError:  # the Message Server has not read the new license yet
            return False
        return "message-server-2" == answer.primary

    await eventually(switched)
    await scene.until("message-server-2", agent_pb2.RUN_STATE_RUNNING, role="primary")
    with pytest.raises(PreconditionError, match="the primary is message-server-2"):
        await scene.switch_over("message-server-1")
    with pytest.raises(InvalidError, match="no member of an elected pair"):
        await scene.switch_over("voice-1")


async def test_the_other_solution_control_takes_over_and_goes_on(scene: Scene) -> None:  # B-40, B-53
    scene.start_control(1)
    await scene.until("solution-control-1", agent_pb2.RUN_STATE_RUNNING, role="primary")
    scene.start_control(2)
    await scene.until("solution-control-2", agent_pb2.RUN_STATE_RUNNING, role="backup")
    await scene.around.stop("solution-control-1")
    await scene.until("solution-control-2", agent_pb2.RUN_STATE_RUNNING, role="primary")


async def test_without_the_feature_the_other_solution_control_stays_backup(scene: Scene) -> None:  # B-40
    scene.around.stub.license_text = WITHOUT_HA
    scene.start_control(1)
    await scene.until("solution-control-1", agent_pb2.RUN_STATE_RUNNING, role="primary")
    scene.start_control(2)
    await scene.until("solution-control-2", agent_pb2.RUN_STATE_RUNNING, role="backup")
    await scene.around.stop("solution-control-1")
    with pytest.raises(NoPrimaryError):
        await scene.operator.unary(LIST_APPLICATIONS, control_pb2.ListApplicationsRequest(), timeout_s=3.0)
    scene.start_control(1)
    await scene.until("solution-control-1", agent_pb2.RUN_STATE_RUNNING, role="primary")

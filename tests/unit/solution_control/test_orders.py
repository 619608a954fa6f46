"""Which orders can be given, and to whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from confkit.election.types import InstanceName
from confkit.election.types import Refusal as NotAllowed
from solution_control.core.model import NO_HOST, Application, ApplicationName, Host, HostName, Kind
from solution_control.core.orders import (
    AgentOrder,
    Obstacle,
    Refusal,
    SwitchoverOrder,
    agent_order,
    switchover_order,
)
from solution_control.core.record import may_be_primary, record_of

HERE = HostName("host-1")
HOSTS = {HERE: Host(HERE, "127.0.0.1:7000"), HostName("bare"): Host(HostName("bare"), "")}
LRM_1, LRM_2, VOICE, LICMAN = map(ApplicationName, ("lrm-1", "lrm-2", "voice-1", "licman-1"))
APPLICATIONS = {
    LRM_1: Application(LRM_1, Kind.LICENSE_REPORTING_MANAGER.value, HERE),
    LRM_2: Application(LRM_2, Kind.LICENSE_REPORTING_MANAGER.value, HERE),
    LICMAN: Application(LICMAN, Kind.LICENSE_MANAGER.value, HERE),
    VOICE: Application(VOICE, "APPLICATION_TYPE_GENERIC_SERVER", HERE),
}
ROLES = {LRM_1: "primary", LRM_2: "backup", LICMAN: "primary"}


def test_an_order_goes_to_the_agent_of_the_applications_host() -> None:
    assert AgentOrder(APPLICATIONS[VOICE], HOSTS[HERE]) == agent_order(
        VOICE, applications=APPLICATIONS, hosts=HOSTS
    )


@pytest.mark.parametrize(
    ("host", "obstacle"),
    [
        pytest.param(NO_HOST, Obstacle.NO_HOST, id="no host"),
        pytest.param(HostName("gone"), Obstacle.NO_HOST, id="a host that is gone"),
        pytest.param(HostName("bare"), Obstacle.NO_HOST, id="a host without agent"),
    ],
)
def test_an_order_needs_an_agent(host: HostName, obstacle: Obstacle) -> None:  # B-60
    applications = {VOICE: replace(APPLICATIONS[VOICE], host=host)}
    found = agent_order(VOICE, applications=applications, hosts=HOSTS)
    assert isinstance(found, Refusal)
    assert obstacle is found.obstacle


def test_an_order_for_nobody_is_refused() -> None:  # B-60
    expected = Refusal(Obstacle.NOT_FOUND, "there is no application 'x'")
    assert expected == agent_order(ApplicationName("x"), applications=APPLICATIONS, hosts=HOSTS)


@pytest.mark.parametrize(("to", "expected"), [("", ""), ("lrm-2", "lrm-2")])
def test_a_primary_can_give_its_role_to_any_or_to_one(to: str, expected: str) -> None:  # B-40
    order = switchover_order(
        LRM_1, to=ApplicationName(to), applications=APPLICATIONS, roles=ROLES, ha_licensed=True
    )
    assert (
        SwitchoverOrder(Kind.LICENSE_REPORTING_MANAGER, APPLICATIONS[LRM_1], ApplicationName(expected))
        == order
    )


@pytest.mark.parametrize(
    ("name", "to", "ha_licensed", "obstacle", "says"),
    [
        pytest.param("lrm-1", "", False, Obstacle.NOT_LICENSED, "ha_redundancy", id="without the feature"),
        pytest.param("x", "", True, Obstacle.NOT_FOUND, "no application", id="of nobody"),
        pytest.param("voice-1", "", True, Obstacle.NOT_ELECTED, "no member", id="of what is no pair"),
        pytest.param("lrm-2", "", True, Obstacle.NOT_PRIMARY, "the primary is lrm-1", id="of a backup"),
        pytest.param("lrm-1", "lrm-1", True, Obstacle.NO_SUCCESSOR, "another member", id="to itself"),
        pytest.param(
            "lrm-1", "licman-1", True, Obstacle.NO_SUCCESSOR, "another member", id="to another pair"
        ),
        pytest.param("lrm-1", "x", True, Obstacle.NO_SUCCESSOR, "another member", id="to nobody"),
    ],
)
def test_a_switchover_is_refused(  # B-40, B-60
    name: str, to: str, ha_licensed: bool, obstacle: Obstacle, says: str
) -> None:
    found = switchover_order(
        ApplicationName(name),
        to=ApplicationName(to),
        applications=APPLICATIONS,
        roles=ROLES,
        ha_licensed=ha_licensed,
    )
    assert isinstance(found, Refusal)
    assert (obstacle, True) == (found.obstacle, says in found.message)


def test_a_switchover_while_no_role_is_known_is_refused() -> None:  # B-60
    found = switchover_order(
        LRM_1, to=ApplicationName(""), applications=APPLICATIONS, roles={}, ha_licensed=True
    )
    assert isinstance(found, Refusal)
    assert (Obstacle.NOT_PRIMARY, True) == (found.obstacle, "no primary" in found.message)


@pytest.mark.parametrize(
    ("on_record", "ha_licensed", "take_over", "allowed"),
    [
        pytest.param(None, False, False, True, id="the first ever may"),
        pytest.param("sc-1", False, False, True, id="the instance on record may"),
        pytest.param("sc-2", False, False, False, id="another may not without the feature"),
        pytest.param("sc-2", True, False, True, id="another may with the feature"),
        pytest.param("sc-2", False, True, True, id="another may by an operator's order"),
    ],
)
def test_who_may_be_primary(  # B-40
    on_record: str | None, ha_licensed: bool, take_over: bool, allowed: bool
) -> None:
    known = record_of(InstanceName(on_record)) if on_record else None
    found = may_be_primary(known, instance=InstanceName("sc-1"), ha_licensed=ha_licensed, take_over=take_over)
    assert (allowed, None if allowed else NotAllowed.NOT_LICENSED) == (found.allowed, found.refusal)

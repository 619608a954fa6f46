"""The agent's machine, as sentences: what happens, and what is then done."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from local_agent.core.machine import ADOPTION_GRACE_S, Machine
from local_agent.core.model import (
    ApplicationName,
    ApplicationSpec,
    Configured,
    Debt,
    Durable,
    Effect,
    Event,
    Exited,
    Heard,
    Instant,
    KillOrdered,
    Log,
    ProcessKey,
    Readiness,
    Ready,
    Registered,
    Report,
    Reported,
    Revoke,
    Revoked,
    RunState,
    Save,
    Signal,
    Spawn,
    Spawned,
    SpawnFailed,
    StartOrdered,
    StopOrdered,
    Tell,
    Tick,
    Watch,
)
from local_agent.core.restarts import restart_delay_s

APP = ApplicationName("voice-1")
P1 = ProcessKey("host-1", "boot-1", 101, 5_001)
P2 = ProcessKey("host-1", "boot-1", 102, 5_002)
SPEC = ApplicationSpec(
    APP, "/bin/voice", ("-c", "x"), auto_restart=True, startup_timeout_s=20.0, shutdown_timeout_s=10.0
)
LEASED = Registered(P1, ApplicationName("confserv-1"), "confserv", (77,), hang_timeout_s=3.0)


class Agent:
    """A machine with a clock that the test moves; `does` leaves out what is said to people and to the disk."""

    def __init__(self, *specs: ApplicationSpec) -> None:
        self.machine = Machine()
        self.now_s = 1_000.0
        self.step(Configured({spec.name: spec for spec in specs}))

    def step(self, event: Event, *, after_s: float = 0.0) -> list[Effect]:
        self.now_s += after_s
        return self.machine.step(event, Instant(self.now_s, int(self.now_s * 1000)))

    def does(self, event: Event, *, after_s: float = 0.0) -> list[Effect]:
        return [e for e in self.step(event, after_s=after_s) if not isinstance(e, Log | Tell | Save)]

    def state(self, name: ApplicationName = APP) -> RunState:
        return self.machine.applications.get(name).state


def logged(effects: list[Effect]) -> list[str]:
    return [effect.number for effect in effects if isinstance(effect, Log)]


# processes that register


def test_a_registered_process_is_watched_and_kept_on_disk() -> None:
    effects = Agent().step(LEASED)
    assert (Watch(P1), Save()) == (effects[0], effects[-1])
    assert ["68-25010"] == logged(effects)


def test_a_process_that_registers_again_is_watched_once_and_keeps_all_its_leases() -> None:
    agent = Agent()
    agent.step(LEASED)
    assert [] == agent.does(replace(LEASED, lease_ids=(78,)))
    assert Revoke(P1, (77, 78)) == agent.does(Exited(P1))[0]


def test_the_leases_of_a_dead_process_are_revoked_before_all_else() -> None:  # P-2, B-53
    agent = Agent()
    agent.step(LEASED)
    effects = agent.step(Exited(P1, -9))
    assert [Revoke(P1, (77,)), Report(P1)] == effects[:2]
    assert ["68-25011"] == logged(effects)


def test_exactly_the_leases_of_exactly_that_process_are_revoked() -> None:  # B-53
    agent = Agent()
    agent.step(LEASED)
    agent.step(Registered(P2, ApplicationName("lrm-1"), "lrm", (88,)))
    assert [Revoke(P1, (77,)), Report(P1)] == agent.does(Exited(P1))


def test_another_process_with_the_same_number_changes_nothing() -> None:  # B-53
    agent = Agent()
    agent.step(LEASED)
    assert [] == agent.step(Exited(replace(P1, start_time_ticks=9_999)))


def test_an_exit_is_told_once() -> None:
    agent = Agent()
    agent.step(LEASED)
    agent.step(Exited(P1))
    assert [] == agent.step(Exited(P1))


def test_what_is_owed_stays_on_the_list_until_it_is_paid() -> None:  # B-17
    agent = Agent()
    agent.step(LEASED)
    agent.step(Exited(P1))
    assert (Debt(P1, LEASED.application, (77,)),) == agent.machine.durable().debts
    agent.step(Revoked(P1, 77))
    assert (Debt(P1, LEASED.application, ()),) == agent.machine.durable().debts
    agent.step(Reported(P1))
    assert () == agent.machine.durable().debts


def test_a_process_without_leases_is_reported_and_nothing_is_revoked() -> None:  # B-17
    agent = Agent()
    agent.step(Registered(P1, APP))
    assert [Report(P1)] == agent.does(Exited(P1))


# hangs


def test_a_process_that_misses_its_heartbeats_is_killed() -> None:
    agent = Agent()
    agent.step(LEASED)
    assert [] == agent.does(Tick(), after_s=0.5)
    for _ in range(5):
        assert [] == agent.does(Tick(), after_s=0.5)
    effects = agent.step(Tick(), after_s=0.5)
    assert (Signal(P1, signal.SIGKILL), ["68-25012"]) == (effects[0], logged(effects))


def test_a_process_that_sends_heartbeats_lives() -> None:
    agent = Agent()
    agent.step(LEASED)
    for _ in range(40):
        agent.step(Heard(P1), after_s=0.5)
        assert [] == agent.does(Tick())


def test_a_process_that_asked_for_no_hang_check_may_be_silent() -> None:
    agent = Agent()
    agent.step(replace(LEASED, hang_timeout_s=0.0))
    assert [] == [effect for _ in range(400) for effect in agent.step(Tick(), after_s=0.5)]


def test_the_agents_own_pause_is_not_held_against_the_processes() -> None:
    agent = Agent()
    agent.step(LEASED)
    agent.step(Tick(), after_s=0.5)
    assert [] == agent.does(Tick(), after_s=600.0)
    assert [] == agent.does(Tick(), after_s=0.5)


# kills for successors


def test_a_kill_reaches_exactly_a_registered_process() -> None:
    agent = Agent()
    agent.step(LEASED)
    order = KillOrdered(P1, "confserv/confserv-2", "blocks the promotion")
    effects = agent.step(order)
    assert (Signal(P1, signal.SIGKILL), ["68-25013"]) == (effects[0], logged(effects))
    assert [] == agent.step(replace(order, process=replace(P1, start_time_ticks=1)))


# applications


def test_an_application_is_started_watched_and_running_once_it_is_ready() -> None:
    agent = Agent(SPEC)
    assert [Spawn(SPEC)] == agent.does(StartOrdered(APP))
    assert [Watch(P1)] == agent.does(Spawned(APP, P1))
    assert RunState.STARTING is agent.state()
    agent.step(Ready(APP))
    assert RunState.RUNNING is agent.state()


def test_registration_is_readiness_too_even_before_the_parent_knows_the_child() -> None:
    agent = Agent(SPEC)
    agent.step(StartOrdered(APP))
    assert [Watch(P1)] == agent.does(Registered(P1, APP))
    assert [] == agent.does(Spawned(APP, P1))
    assert RunState.RUNNING is agent.state()


def test_a_program_that_says_nothing_can_count_as_running_at_once() -> None:
    agent = Agent(replace(SPEC, readiness=Readiness.SPAWN))
    agent.step(StartOrdered(APP))
    agent.step(Spawned(APP, P1))
    assert RunState.RUNNING is agent.state()


@pytest.mark.parametrize("events", [(), (Spawned(APP, P1),), (Spawned(APP, P1), Ready(APP))])
def test_an_order_to_start_what_starts_or_runs_does_nothing(events: tuple[Event, ...]) -> None:
    agent = Agent(SPEC)
    agent.step(StartOrdered(APP))
    for event in events:
        agent.step(event)
    assert [] == agent.does(StartOrdered(APP))


def test_an_application_is_stopped_by_sigterm_and_its_end_is_no_failure() -> None:
    agent = Agent(SPEC)
    for event in (StartOrdered(APP), Spawned(APP, P1), Ready(APP)):
        agent.step(event)
    assert [Signal(P1, signal.SIGTERM)] == agent.does(StopOrdered(APP))
    assert RunState.STOPPING is agent.state()
    assert ["68-25011", "68-25015"] == logged(agent.step(Exited(P1, 0)))
    assert (RunState.STOPPED, []) == (agent.state(), agent.does(Tick(), after_s=100.0))


def test_an_application_that_does_not_stop_in_its_time_is_killed() -> None:
    agent = Agent(SPEC)
    for event in (StartOrdered(APP), Spawned(APP, P1), Ready(APP), StopOrdered(APP)):
        agent.step(event)
    assert [] == agent.does(Tick(), after_s=9.9)
    effects = agent.step(Tick(), after_s=0.2)
    assert ([Log("68-25018", {"client": APP}), Signal(P1, signal.SIGKILL)], []) == (
        effects,
        agent.step(Tick()),
    )


def test_an_application_that_does_not_become_ready_in_its_time_is_killed_and_tried_again() -> None:
    agent = Agent(SPEC)
    agent.step(StartOrdered(APP))
    agent.step(Spawned(APP, P1))
    assert [] == agent.does(Tick(), after_s=19.9)
    effects = agent.step(Tick(), after_s=0.2)
    assert [Log("68-25017", {"client": APP}), Signal(P1, signal.SIGKILL)] == effects
    agent.step(Exited(P1, -9))
    assert [Spawn(SPEC)] == agent.does(Tick())


def test_an_application_that_is_stopped_before_its_process_exists_is_told_when_it_does() -> None:
    agent = Agent(SPEC)
    agent.step(StartOrdered(APP))
    assert [] == agent.does(StopOrdered(APP))
    assert [Watch(P1), Signal(P1, signal.SIGTERM)] == agent.does(Spawned(APP, P1))


def test_an_order_to_start_during_the_stop_starts_it_once_it_has_stopped() -> None:
    agent = Agent(SPEC)
    for event in (StartOrdered(APP), Spawned(APP, P1), Ready(APP), StopOrdered(APP), StartOrdered(APP)):
        agent.step(event)
    assert [Report(P1), Spawn(SPEC)] == agent.does(Exited(P1, 0))


def test_an_application_that_crashes_is_started_again_ever_later() -> None:
    agent = Agent(SPEC)
    agent.step(StartOrdered(APP))
    waited = []
    for _ in range(5):
        agent.step(Spawned(APP, P1))
        agent.step(Ready(APP))
        agent.step(Exited(P1, 1))
        assert RunState.FAILED is agent.state()
        failed_s = agent.now_s
        while not agent.does(Tick(), after_s=0.5):
            pass
        waited.append(agent.now_s - failed_s)
    assert [0.5, 0.5, 1.0, 2.0, 4.0] == waited  # a tick comes every 0.5 s here, so the first is not at once
    assert 5 == agent.machine.applications.get(APP).restarts


def test_an_application_that_has_run_for_long_is_started_again_at_once() -> None:
    agent = Agent(SPEC)
    agent.step(StartOrdered(APP))
    for number in range(3):
        agent.step(Spawned(APP, replace(P1, pid=number)))
        agent.step(Ready(APP))
        agent.step(Exited(replace(P1, pid=number), 1), after_s=61.0)
        assert [Spawn(SPEC)] == agent.does(Tick())


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(replace(SPEC, auto_restart=False), id="when it is not to be restarted"),
        pytest.param(replace(SPEC, enabled=False), id="when it is disabled"),
    ],
)
def test_an_application_that_crashes_stays_down(spec: ApplicationSpec) -> None:
    agent = Agent(spec)
    for event in (StartOrdered(APP), Spawned(APP, P1), Ready(APP), Exited(P1, 1)):
        agent.step(event)
    assert ([], RunState.FAILED) == (agent.does(Tick(), after_s=100.0), agent.state())


def test_a_process_that_nobody_ordered_here_is_not_restarted() -> None:
    agent = Agent(SPEC)
    agent.step(Registered(P1, APP))
    agent.step(Exited(P1))
    assert ([], RunState.FAILED) == (agent.does(Tick(), after_s=100.0), agent.state())


def test_an_order_to_stop_ends_the_restarts() -> None:
    agent = Agent(SPEC)
    for event in (StartOrdered(APP), Spawned(APP, P1), Ready(APP), Exited(P1, 1), StopOrdered(APP)):
        agent.step(event)
    assert ([], RunState.STOPPED) == (agent.does(Tick(), after_s=100.0), agent.state())


def test_a_program_that_cannot_be_started_fails_with_its_reason_and_is_tried_again() -> None:
    agent = Agent(SPEC)
    agent.step(StartOrdered(APP))
    effects = agent.step(SpawnFailed(APP, "/bin/voice: no such file"))
    application = agent.machine.applications.get(APP)
    assert (["68-25016"], RunState.FAILED, "/bin/voice: no such file") == (
        logged(effects), application.state, application.detail,
    )  # fmt: skip
    assert [Spawn(SPEC)] == agent.does(Tick())


def test_the_end_of_a_former_process_does_not_touch_the_present_one() -> None:
    agent = Agent(SPEC)
    agent.step(Registered(P1, APP))
    agent.step(Registered(P2, APP))
    assert [Report(P1)] == agent.does(Exited(P1))
    assert (RunState.RUNNING, P2) == (agent.state(), agent.machine.applications.get(APP).process)


def test_an_application_that_left_this_host_is_forgotten_unless_it_runs() -> None:
    agent = Agent(SPEC, replace(SPEC, name=ApplicationName("voice-2")))
    for event in (StartOrdered(APP), Spawned(APP, P1)):
        agent.step(event)
    assert [Tell(APP), Tell(ApplicationName("voice-2"))] == agent.step(Configured({}))
    assert [APP] == [application.name for application in agent.machine.applications.all()]


# the agent's own restart


def test_a_new_life_watches_again_pays_what_is_owed_and_remembers_orders() -> None:  # B-53
    agent = Agent(SPEC)
    for event in (
        LEASED,
        StartOrdered(APP),
        Spawned(APP, P2),
        Registered(replace(P1, pid=7), ApplicationName("x")),
    ):
        agent.step(event)
    agent.step(Exited(replace(P1, pid=7)))
    again = Machine()
    effects = again.restore(agent.machine.durable(), Instant(2_000.0, 0))
    assert [Watch(P1), Watch(P2), Report(replace(P1, pid=7))] == [
        e for e in effects if not isinstance(e, Tell)
    ]
    assert {APP: 0} == dict(again.durable().wanted)


def test_a_process_that_died_while_the_agent_was_away_loses_its_leases_and_is_started_again() -> None:  # B-53
    machine = Machine()
    before = Durable((), (), {APP: 2})
    machine.restore(before, Instant(2_000.0, 0))
    assert [] == machine.step(Tick(), Instant(2_001.0, 0))
    machine.step(Configured({APP: SPEC}), Instant(2_002.0, 0))
    assert Spawn(SPEC) in machine.step(Tick(), Instant(2_002.1, 0))


def test_adopted_processes_get_time_to_send_heartbeats_again() -> None:
    agent = Agent()
    agent.step(LEASED)
    again = Machine()
    again.restore(agent.machine.durable(), Instant(2_000.0, 0))
    killed_s = next(
        s / 2
        for s in range(200)
        if any(isinstance(e, Signal) for e in again.step(Tick(), Instant(2_000 + s / 2, 0)))
    )
    assert ADOPTION_GRACE_S + 3.5 == killed_s


@pytest.mark.parametrize(
    ("restarts", "expected"), [(0, 0.0), (1, 0.5), (2, 1.0), (7, 32.0), (8, 60.0), (999, 60.0)]
)
def test_the_pause_before_a_restart_grows_to_a_minute(restarts: int, expected: float) -> None:
    assert expected == restart_delay_s(restarts)

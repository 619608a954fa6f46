"""Faults for a simulated election, each kind at a rate that is itself drawn from the seed.

With fixed rates most planted bugs hide; with drawn ones some seeds have much of one thing and nothing of the
others.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.election.world import Broken, Network, World

FAULTY_S = 12.0
SETTLE_S = 30.0
RATES = (0.0, 0.0, 0.05, 0.15, 0.4)


def simulate(seed: int, *, tracing: bool = False) -> World:
    """Play one seed: faults with safety checked all the time, then peace with liveness. Raises Broken."""
    world = make_world(seed, tracing=tracing)
    play(world)
    return world


def play(world: World) -> None:
    """Play a world that was made; see `simulate`."""
    world.start()
    plan_faults(world)
    world.run_until(FAULTY_S, lambda: False)
    make_peace(world)
    settle(world)


def make_world(seed: int, *, tracing: bool = False) -> World:
    """Draw servers, clocks and network."""
    world = World("ab" if seed % 3 == 0 else "abc", seed=seed)
    world.tracing = tracing
    draw = world.random
    world.network = Network(
        delay_s=draw.choice((0.001, 0.005, 0.05, 0.15)),
        loss=draw.choice((0.0, 0.0, 0.02, 0.15)),
        late=draw.choice((0.0, 0.0, 0.05, 0.2)),
    )
    drift = draw.choice((0.0, 0.01, 0.045))
    for server in world.servers.values():
        server.rate = 1.0 + draw.uniform(-drift, drift)
        server.offset_s = draw.uniform(0, 1000)
    return world


def plan_faults(world: World) -> None:
    """Draw a rate for each kind of fault, and their times."""
    draw = world.random
    for fault in _FAULTS:
        rate = draw.choice(RATES)
        at_s = draw.expovariate(rate) if rate else FAULTY_S
        while at_s < FAULTY_S:
            world.at(at_s, _strike(world, fault))
            at_s += draw.expovariate(rate)


def _strike(world: World, fault: Callable[[World, str], None]) -> Callable[[], None]:
    victim = world.random.choice(sorted(world.servers))
    aims_at_primary = world.random.random() < 0.6
    return lambda: fault(world, (world.primary() if aims_at_primary else None) or victim)


def _for(world: World, longest_s: float, undo: Callable[[], None]) -> None:
    world.at(world.random.uniform(0.05, longest_s), undo)


def _cut(world: World, name: str) -> None:
    outward, inward = world.random.choice(((True, True), (True, False), (False, True)))
    world.cut(name, outward=outward, inward=inward)
    _for(world, 5.0, lambda: world.heal(name))


def _pause(world: World, name: str) -> None:
    world.pause(name)
    _for(world, 5.0, lambda: world.resume(name))


def _crash(world: World, name: str) -> None:
    world.crash(name, agent=world.random.random() < 0.5)
    _for(world, 3.0, lambda: world.start(name))


def _stop(world: World, name: str) -> None:
    world.stop(name)
    _for(world, 3.0, lambda: world.start(name))


def _hand_over(world: World, name: str) -> None:
    server = world.servers[name]  # type: ignore[index]
    server.refuses_handover = world.random.random() < 0.1
    world.hand_over(name)


def _cut_database(world: World, name: str) -> None:
    world.cut_database(name)
    _for(world, 5.0, lambda: world.heal_database(name))


def _etcd_down(world: World, _name: str) -> None:
    world.etcd_up = False

    def up() -> None:
        world.etcd_up = True

    _for(world, 4.0, up)


def _wipe(world: World, _name: str) -> None:
    world.wipe()


def _restore(world: World, _name: str) -> None:
    snapshot = world.etcd.snapshot()
    _for(world, 4.0, lambda: world.restore_etcd(snapshot))


def _license(world: World, _name: str) -> None:
    world.store.ha_licensed = False

    def back() -> None:
        world.store.ha_licensed = True

    _for(world, 3.0, back)


def _pause_failover(world: World, _name: str) -> None:
    world.pause_failover(paused=True)
    _for(world, 3.0, lambda: world.pause_failover(paused=False))


_FAULTS = (
    _cut,
    _pause,
    _crash,
    _stop,
    _hand_over,
    _cut_database,
    _etcd_down,
    _wipe,
    _restore,
    _license,
    _pause_failover,
)


def make_peace(world: World) -> None:
    """End all faults."""
    world.network = Network()
    world.etcd_up = True
    world.store.ha_licensed = True
    world.pause_failover(paused=False)
    for name, server in world.servers.items():
        server.refuses_handover = False
        world.heal(name)
        world.heal_database(name)
        world.resume(name)
        world.start(name)


def settle(world: World) -> None:
    """I-9: within a bound there is one primary, all are members, and a write is acknowledged."""
    written = world.acknowledged

    def well() -> bool:
        return world.primary() is not None and world.acknowledged > written + 2

    end_s = world.now_s + SETTLE_S
    while not (world.run_until(end_s, well) and all(server.core for server in world.servers.values())):
        if world.now_s >= end_s:
            raise Broken(f"I-9: no primary that serves within {SETTLE_S:g} s of peace")
        world.start()
        world.run(0.5)

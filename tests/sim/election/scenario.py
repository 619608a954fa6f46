"""Scenarios as text: commands above, what happened below, so that each fussy sentence of `ha.md` can be read
as an execution.

A line of commands is a word of `World` with its arguments, `run SECONDS`, or `expect primary NAME|nobody`,
which fails where it does not hold; lines that begin with # say what it is about. Below the line of dashes
stands the transcript. Tests compare it; with CONFSERV_REWRITE=1 in the environment they write it anew, and
what changed is to be read before it is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.sim.election.world import Broken, Network, World

RULE = "----"


def play(text: str) -> str:
    """Carry out the commands of a scenario; give it with its transcript. Raises Broken, or ValueError for an
    unknown word.
    """
    head = text.split(f"\n{RULE}\n")[0].rstrip()
    commands = [line.split() for line in head.splitlines() if line.strip() and not line.startswith("#")]
    world = World(commands[0][1], network=Network(delay_s=0.001))
    world.tracing = True
    for command in commands[1:]:
        _carry_out(world, command)
    return "\n".join([head, RULE, *world.trace, ""])


def _carry_out(world: World, command: list[str]) -> None:
    word, *arguments = command
    act = _WORDS.get(word)
    if act is None:
        raise ValueError(f"{word!r} is no word of a scenario; there are {', '.join(sorted(_WORDS))}")
    act(world, arguments)


def _expect(world: World, arguments: list[str]) -> None:
    found = world.primary() or "nobody"
    if found != arguments[1]:
        raise Broken(
            f"at {world.now_s:.3f} s {found} is primary, expected {arguments[1]}:\n" + "\n".join(world.trace)
        )


def _expect_writes(world: World, arguments: list[str]) -> None:
    before = world.acknowledged
    world.run(1.0)
    writes = world.acknowledged > before
    if writes != (arguments[0] == "yes"):
        raise Broken(f"at {world.now_s:.3f} s writes are {'' if writes else 'not '}acknowledged")


_snapshots: dict[int, object] = {}


def _snapshot(world: World, _: list[str]) -> None:
    _snapshots[id(world)] = world.etcd.snapshot()


def _restore(world: World, _: list[str]) -> None:
    world.restore_etcd(_snapshots.pop(id(world)))


_WORDS: dict[str, Callable[[World, list[str]], None]] = {
    "start": lambda world, names: world.start(*names),
    "run": lambda world, given: world.run(float(given[0])),
    "crash": lambda world, given: world.crash(given[0], agent="agent" in given),
    "pause": lambda world, given: world.pause(given[0]),
    "resume": lambda world, given: world.resume(given[0]),
    "stop": lambda world, given: world.stop(given[0]),
    "cut": lambda world, given: world.cut(given[0]),
    "heal": lambda world, given: world.heal(given[0]),
    "cut_database": lambda world, given: world.cut_database(given[0]),
    "heal_database": lambda world, given: world.heal_database(given[0]),
    "hand_over": lambda world, given: world.hand_over(*given),
    "fate": lambda world, given: world.fate(given[0], given[1]),
    "wipe": lambda world, _: world.wipe(),
    "snapshot": _snapshot,
    "restore_etcd": _restore,
    "restore_database": lambda world, _: world.restore_database(),
    "license": lambda world, given: world.license(given[0]),
    "failover": lambda world, given: world.pause_failover(paused=given[0] == "pause"),
    "expect": _expect,
    "expect_writes": _expect_writes,
}


def scenarios() -> list[Path]:
    """Give all scenario files."""
    return sorted((Path(__file__).parent.parent / "scenarios").glob("*.txt"))

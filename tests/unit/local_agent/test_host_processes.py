"""Real processes of this host: watched, signalled, started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from confclient.processes import process_identity
from local_agent.adapters.host_processes import PidfdProcesses
from local_agent.core.model import ApplicationName, ApplicationSpec, ProcessKey
from local_agent.ports import SpawnError

NAME = ApplicationName("voice/1")


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[PidfdProcesses]:
    made = PidfdProcesses(output_dir=tmp_path / "output")
    yield made
    made.close()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that the agent has not started; `wait` is a child of this test, not of the adapter."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def key(pid: int) -> ProcessKey:
    identity = process_identity(pid)
    return ProcessKey(identity.host, identity.boot_id, identity.pid, identity.start_time_ticks)


def watch(processes: PidfdProcesses, process: ProcessKey) -> asyncio.Future[int | None]:
    exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    processes.watch(process, exited.set_result)
    return exited


def spec(*arguments: str, program: str = sys.executable, directory: str = "") -> ApplicationSpec:
    return ApplicationSpec(NAME, program, arguments, working_directory=directory)


async def test_the_exit_of_a_stranger_is_told(  # B-53
    processes: PidfdProcesses, stranger: subprocess.Popen[bytes]
) -> None:
    exited = watch(processes, key(stranger.pid))
    stranger.kill()
    assert await asyncio.wait_for(exited, 10) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"start_time_ticks": 1}, id="another start time"),
        pytest.param({"boot_id": "another"}, id="another boot"),
    ],
)
async def test_a_process_that_only_has_the_same_number_counts_as_gone_and_gets_no_signal(  # B-53
    processes: PidfdProcesses, stranger: subprocess.Popen[bytes], change: dict[str, object]
) -> None:
    former = replace(key(stranger.pid), **change)
    assert watch(processes, former).done()
    processes.signal(former, signal.SIGKILL)
    assert stranger.poll() is None


async def test_a_process_that_is_gone_already_is_told_at_once(  # B-53
    processes: PidfdProcesses, stranger: subprocess.Popen[bytes]
) -> None:
    gone = key(stranger.pid)
    stranger.kill()
    stranger.wait()
    assert watch(processes, gone).done()


def test_all_of_it_works_on_the_loop_that_the_agent_uses(tmp_path: Path) -> None:
    async def run() -> int | None:
        processes = PidfdProcesses(output_dir=tmp_path)
        ready = asyncio.Event()
        program = "import time; from confkit.process import notify_ready; notify_ready(); time.sleep(60)"
        process = await processes.spawn(spec("-c", program), ready.set)
        exited = watch(processes, process)
        await asyncio.wait_for(ready.wait(), 20)
        processes.signal(process, signal.SIGKILL)
        status = await asyncio.wait_for(exited, 10)
        processes.close()
        return status

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert -signal.SIGKILL == runner.run(run())


async def test_a_signal_reaches_the_watched_process(
    processes: PidfdProcesses, stranger: subprocess.Popen[bytes]
) -> None:
    exited = watch(processes, key(stranger.pid))
    processes.signal(key(stranger.pid), signal.SIGTERM)
    await asyncio.wait_for(exited, 10)
    assert -signal.SIGTERM == stranger.wait()


@pytest.mark.parametrize(
    ("program", "status"),
    [
        pytest.param("raise SystemExit(7)", 7, id="its exit status"),
        pytest.param("import os; os.kill(os.getpid(), 9)", -9, id="minus the signal"),
    ],
)
async def test_a_child_ends_with(processes: PidfdProcesses, program: str, status: int) -> None:
    process = await processes.spawn(spec("-c", program), lambda: None)
    assert status == await asyncio.wait_for(watch(processes, process), 10)


async def test_a_child_says_that_it_is_ready(processes: PidfdProcesses) -> None:
    ready = asyncio.Event()
    program = "from confkit.process import notify_ready; notify_ready('up'); input()"
    process = await processes.spawn(spec("-c", program), ready.set)
    await asyncio.wait_for(ready.wait(), 20)
    await asyncio.wait_for(watch(processes, process), 10)  # its input is empty


async def test_a_child_lives_in_a_session_of_its_own_in_its_folder_with_its_output_kept(
    processes: PidfdProcesses, tmp_path: Path
) -> None:
    os.environ["CONFSERV_LISTEN"] = "the agent's own"
    try:
        program = (
            "import os; print(os.getsid(0) == os.getpid(), os.getcwd(), os.environ.get('CONFSERV_LISTEN'))"
        )
        process = await processes.spawn(spec("-c", program, directory=str(tmp_path)), lambda: None)
        await asyncio.wait_for(watch(processes, process), 10)
    finally:
        del os.environ["CONFSERV_LISTEN"]
    assert f"True {tmp_path} None\n" == (tmp_path / "output" / "voice%2F1.log").read_text()


async def test_no_shell_reads_the_arguments(processes: PidfdProcesses, tmp_path: Path) -> None:
    process = await processes.spawn(spec("$HOME;", "*", program="/bin/echo"), lambda: None)
    await asyncio.wait_for(watch(processes, process), 10)
    assert "$HOME; *\n" == (tmp_path / "output" / "voice%2F1.log").read_text()


@pytest.mark.parametrize(
    ("program", "directory"),
    [
        pytest.param("/no/such/program", "", id="no program"),
        pytest.param("/bin/true", "/no/such/folder", id="no folder"),
    ],
)
async def test_what_cannot_be_started_says_why(  # B-60
    processes: PidfdProcesses, program: str, directory: str
) -> None:
    with pytest.raises(SpawnError, match="No such file or directory"):
        await processes.spawn(spec(program=program, directory=directory), lambda: None)

"""The sample application: what it prints is what happened."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from confapi.config.v1 import objects_pb2
from confclient.credentials import TlsFiles
from confclient.errors import LrmNotStartedError, UnknownApplicationError
from sample_application.application import run
from sample_application.plan import Plan
from tests.support.cluster_in_small import small_cluster, start_all
from tests.support.members import Authority, until
from tests.support.receivers import kept
from tests.unit.confclient.conftest import MakePair, authority, make_pair, tls

__all__ = ["authority", "make_pair", "tls"]

BILLING = {"type": "Application", "name": "billing", "dbid": 120}


def plan_for(pair: Any, tls: TlsFiles, **more: Any) -> Plan:
    return Plan(
        endpoints=(pair.members["one"].endpoint,),
        tls=tls,
        application="billing",
        application_type=objects_pb2.APPLICATION_TYPE_GENERIC_SERVER,
        **more,
    )


async def test_prints_every_acknowledged_write_and_every_notification_across_a_switchover(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-51, B-52
    pair, state = small_cluster(make_pair)
    state.put(BILLING)
    await start_all(pair, state, "one", "two")
    lines: list[dict[str, Any]] = []
    stop = asyncio.Event()
    plan = plan_for(
        pair,
        tls,
        follow=True,
        write_every_s=0.01,
        item="voice",
        seats=3,
        feature="recorder",
        log_text="hello",
    )
    running = asyncio.create_task(
        run(plan, stop, tell=lambda event, **facts: lines.append({"event": event, **facts}))
    )

    def having(event: str) -> list[dict[str, Any]]:
        return [line for line in lines if line["event"] == event]

    await until(lambda: len(having("written")) >= 5)
    pair.promote("two")
    await until(lambda: len(having("written")) >= 10)
    stop.set()
    await running
    written = [line["revision"] for line in having("written")]
    seen = [line["revision"] for line in having("change")]
    (snapshot,) = having("snapshot")  # what was written before it is in it
    after = snapshot["revision"] + 1
    assert list(range(after, after + len(seen))) == seen
    assert {revision for revision in written[:-1] if revision >= after} <= set(seen)
    assert [] == having("write_failed")
    first = ["session", "cache", "checked_out", "use_started", "logged"]
    assert first == [line["event"] for line in lines[: len(first)]]
    assert [True, True] == [having(f"{kind}_flushed")[0]["complete"] for kind in ("usage", "log")]
    sessions = [session for batch in kept(pair.members["one"]).batches for session in batch.sessions]
    assert 3 == len({session.place for session in sessions if session.end_ms})
    assert "end" == lines[-1]["event"]


async def test_goes_on_without_a_license_that_is_denied(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-42
    pair, state = small_cluster(make_pair)
    await start_all(pair, state, "one")
    kept(pair.members["one"]).issued = 0
    lines: list[tuple[str, Any]] = []
    plan = plan_for(pair, tls, feature="recorder", run_for_s=0.05)
    await run(plan, asyncio.Event(), tell=lambda event, **facts: lines.append((event, facts.get("denial"))))
    assert ("denied", "ALL_IN_USE") in lines


@pytest.mark.parametrize("role", ["waiting for LRM", "refused"])
async def test_as_a_process_it_ends_with_the_refusal_or_when_told(
    make_pair: MakePair, authority: Authority, tls: TlsFiles, role: str, tmp_path: Path
) -> None:
    # B-11, B-16, B-60
    pair, state = small_cluster(make_pair)
    await start_all(pair, state, "one")
    waits = role == "waiting for LRM"
    state.refusal = (
        LrmNotStartedError("not started") if waits else UnknownApplicationError("no such application")
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sample_application", "billing", "--endpoints", pair.members["one"].endpoint),
        *("--ca", str(tls.ca), "--cert", str(tls.certificate), "--key", str(tls.key)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 20) or b"{}") if waits else {}
    if waits:
        assert ("session", "waiting", "not started") == (first["event"], first["state"], first["detail"])
        process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    expected = (
        (0, "") if waits else (1, "confserv-sample-application: no such application [UNKNOWN_APPLICATION]\n")
    )
    assert expected == (process.returncode, err.decode())

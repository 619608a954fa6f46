"""An application with everything, asynchronous and synchronous, across a switchover."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from confapi.config.v1 import objects_pb2
from confapi.message.v1 import message_pb2
from confclient import ConfservError, connect, sync
from confclient.credentials import CredentialsError, TlsFiles
from confclient.errors import NotFoundError, UnknownApplicationError
from confclient.objects import create, key_of, update
from confclient.watch import Changed, Snapshot
from tests.support.cluster_in_small import small_cluster, start_all
from tests.support.members import until
from tests.support.receivers import kept
from tests.unit.confclient.conftest import MakePair

BILLING = {"type": "Application", "name": "billing", "dbid": 120, "options": {"limits": {"retries": "3"}}}


def retries(value: int) -> objects_pb2.ConfigObject:
    item = objects_pb2.ConfigObject(type="Application")
    item.options.sections["limits"].options["retries"] = str(value)
    return item


def arguments(pair: Any, tls: TlsFiles, directory: Path) -> dict[str, Any]:
    return {
        "endpoints": [pair.members["one"].endpoint],
        "tls": tls,
        "application": "billing",
        "spool_dir": directory,
        "session_timeout_s": 5.0,
    }


async def test_an_application_finds_and_uses_everything(
    make_pair: MakePair, tls: TlsFiles, tmp_path: Path
) -> None:
    # B-16, B-42, B-51, B-52; ha.md, Clients
    pair, state = small_cluster(make_pair)
    state.put(BILLING)
    await start_all(pair, state, "one", "two")
    receiver = kept(pair.members["one"])
    async with connect(**arguments(pair, tls, tmp_path)) as config:
        assert ["billing"] == [session.application for session in state.sessions.values()]
        await config.cache.start(timeout_s=5)
        assert "3" == config.cache.option("billing", "limits", "retries")
        config.log.put(message_pb2.LogEvent(event_uid="uid", text="hello"))
        with config.usage.start(tenant="acme", item="voice", place="p1"):
            async with config.licenses.checkout("recorder"):
                pair.promote("two")
                answer = await config.transact([update(key_of("Application", name="billing"), retries(4))])
                await config.cache.wait_revision(answer.commit.revision, timeout_s=5)
                assert "4" == config.cache.option("billing", "limits", "retries")
                assert 1 == len(receiver.held)
        assert await config.usage.flush(timeout_s=5)
        assert await config.log.flush(timeout_s=5)
    assert ({}, {}) == (state.sessions, receiver.held)
    assert ["uid"] == list(receiver.events)
    assert [1, 2] == [session.version for batch in receiver.batches for session in batch.sessions]


async def test_a_refused_session_is_told_and_leaves_nothing_open(
    make_pair: MakePair, tls: TlsFiles, tmp_path: Path
) -> None:
    # B-16
    pair, state = small_cluster(make_pair)
    await start_all(pair, state, "one")
    state.refusal = UnknownApplicationError("there is no application billing: create it")
    with pytest.raises(ConfservError, match="create it"):
        async with connect(**arguments(pair, tls, tmp_path)):
            pytest.fail("the block must not be entered")


async def test_a_certificate_that_cannot_be_read_is_told_at_once(tls: TlsFiles, tmp_path: Path) -> None:
    # B-60
    missing = TlsFiles(ca=tls.ca, certificate=tmp_path / "none.crt", key=tls.key)
    with pytest.raises(CredentialsError, match=r"none\.crt"):
        async with connect(endpoints=["127.0.0.1:1"], tls=missing, application="billing"):
            pytest.fail("the block must not be entered")


async def test_the_synchronous_face_does_the_same(make_pair: MakePair, tls: TlsFiles, tmp_path: Path) -> None:
    # B-16, B-42, B-52
    pair, state = small_cluster(make_pair)
    state.put(BILLING)
    await start_all(pair, state, "one", "two")
    receiver = kept(pair.members["one"])
    seen: list[Any] = []

    def program() -> None:
        with sync.connect(**arguments(pair, tls, tmp_path)) as config:
            config.cache.start(timeout_s=5)
            seen.append(config.cache.option("billing", "limits", "retries"))
            with config.usage.start(tenant="acme", item="voice"), config.licenses.checkout("recorder"):
                seen.append(len(receiver.held))
            config.log.put(message_pb2.LogEvent(event_uid="uid", text="hello"))
            events = config.watch(types=["Application"])
            assert isinstance(next(events), Snapshot)
            config.transact([create(objects_pb2.ConfigObject(type="Application", name="other"))])
            changed = next(events)
            assert isinstance(changed, Changed)
            seen.append(changed.transaction.changes[0].object.name)
            events.close()  # type: ignore[attr-defined]
            with pytest.raises(NotFoundError):
                config.get(key_of("Application", name="nobody"))
            seen.append(config.usage.flush(timeout_s=5))

    await asyncio.wait_for(asyncio.to_thread(program), 20)
    assert ["3", 1, "other", True] == seen
    await until(lambda: "uid" in receiver.events)
    assert {} == state.sessions
    assert "confclient" not in {thread.name for thread in threading.enumerate()}

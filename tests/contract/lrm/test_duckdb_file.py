"""What is peculiar to a DuckDB file: its lock, the copy of its fence row, and a file that went back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from confkit.election.ports import StoreUnreachable
from lrm.adapters.duckdb_vault import CONFIG, DuckDbVault
from lrm.core.report import PeakQuery
from lrm.core.sessions import SessionId
from lrm.ports import StoreLocked, StoreWentBack
from tests.support.usage_facts import DAY_MS, RECEIVED_MS, batch, becoming, row, session

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


@contextmanager
def held_by_another_process(path: Path) -> Iterator[int]:
    """The file, open in a process that goes when the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "open\n" == process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_file_that_another_process_has_open_is_locked_and_names_it(tmp_path: Path) -> None:
    # B-50
    vault = DuckDbVault(tmp_path / "usage.duckdb")
    vault.open(becoming(row(1))).close()
    with held_by_another_process(tmp_path / "usage.duckdb") as pid:
        with pytest.raises(StoreLocked) as refused:
            vault.open(becoming(row(2)))
        assert pid == refused.value.holder_pid
        assert row(1) == vault.read_fence()
    vault.open(becoming(row(2))).close()
    assert row(2) == vault.read_fence()


def test_without_its_copy_the_row_is_read_from_the_file(tmp_path: Path) -> None:
    # B-50
    vault = DuckDbVault(tmp_path / "usage.duckdb")
    vault.open(becoming(row(3))).close()
    (tmp_path / "usage.duckdb.fence").unlink()
    assert row(3) == vault.read_fence()


def test_a_copy_that_a_crash_left_behind_is_brought_up_to_date(tmp_path: Path) -> None:
    # B-50
    vault = DuckDbVault(tmp_path / "usage.duckdb")
    vault.open(becoming(row(3))).close()
    behind = (tmp_path / "usage.duckdb.fence").read_text()
    vault.open(becoming(row(4))).close()
    (tmp_path / "usage.duckdb.fence").write_text(behind)
    assert not vault.replace_fence(row(3), row(0, generation=2))
    assert row(4) == vault.read_fence()


@pytest.mark.parametrize("ids", [["a", "b"], ["", "\U0010ffff"], ["0190", "0190-longer-than-eight"]])
def test_ids_of_any_kind_are_found_again(tmp_path: Path, ids: list[str]) -> None:
    # B-51
    vault = DuckDbVault(tmp_path / "usage.duckdb")
    store = vault.open(becoming(row(1)))
    facts = [session(1, DAY_MS, None, id=SessionId(f"x{each}")) for each in ids]
    assert [2] == [each.stored for each in store.commit([batch(1, *facts)], received_ms=RECEIVED_MS)]
    assert [2] == [
        each.repeated for each in store.commit([batch(2, *reversed(facts))], received_ms=RECEIVED_MS)
    ]
    store.close()


def test_a_copy_that_cannot_be_read_is_no_row(tmp_path: Path) -> None:
    # B-60
    vault = DuckDbVault(tmp_path / "usage.duckdb")
    (tmp_path / "usage.duckdb.fence").write_text("{}")
    with pytest.raises(StoreUnreachable, match="not a fence row"):
        vault.read_fence()


def test_a_file_that_is_no_database_is_unreachable(tmp_path: Path) -> None:
    # B-60
    (tmp_path / "usage.duckdb").write_bytes(os.urandom(20_000))
    with pytest.raises(StoreUnreachable, match="cannot open"):
        DuckDbVault(tmp_path / "usage.duckdb").open(becoming(row(1)))


def test_a_store_with_fewer_facts_than_were_written_went_back(tmp_path: Path) -> None:
    # B-51
    path = tmp_path / "usage.duckdb"
    store = DuckDbVault(path).open(becoming(row(1)))
    store.commit([batch(1, session(1, DAY_MS, None))], received_ms=RECEIVED_MS)
    with duckdb.connect(str(path), config=CONFIG) as restored:
        restored.execute("update progress set ingest_number = 0")
    with pytest.raises(StoreWentBack):
        store.commit([batch(2, session(2, DAY_MS, None))], received_ms=RECEIVED_MS)
    store.close()


def test_a_corrected_version_is_kept_beside_what_replaced_it(tmp_path: Path) -> None:
    # B-25
    path = tmp_path / "usage.duckdb"
    store = DuckDbVault(path).open(becoming(row(1)))
    store.commit([batch(1, session(1, DAY_MS, 2 * DAY_MS))], received_ms=RECEIVED_MS)
    store.commit([batch(2, session(1, DAY_MS, 3 * DAY_MS, version=2))], received_ms=RECEIVED_MS)
    store.close()
    with duckdb.connect(str(path)) as connection:
        assert [(1, 2, 2 * DAY_MS)] == connection.sql(
            "select version, replaced_by, end_ms from replaced_fact"
        ).fetchall()
        assert [(2, 2, 3 * DAY_MS)] == connection.sql(
            "select version, ingest_number, end_ms from fact"
        ).fetchall()


def test_closing_does_not_wait_for_a_long_report(tmp_path: Path) -> None:
    # B-53
    path = tmp_path / "usage.duckdb"
    store = DuckDbVault(path).open(becoming(row(1)))
    store.commit(
        [batch(1, *(session(number, DAY_MS, None) for number in range(300)))], received_ms=RECEIVED_MS
    )
    outcome: list[str] = []

    def report() -> None:
        try:
            store.peaks(PeakQuery(1, 20_000, 20_001 * 86_400))
            outcome.append("finished")
        except StoreUnreachable:
            outcome.append("broken off")

    reader = threading.Thread(target=report)
    reader.start()
    store.close()
    reader.join(timeout=30)
    assert ["broken off"] == outcome

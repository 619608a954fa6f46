"""Opening the Configuration Database: what is refused, and the schema that is made once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from confkit.election.ports import StoreUnreachable
from confserv.adapters.sql.database import (
    Database,
    DatabaseRefused,
    DatabaseTls,
    open_database,
    prepare_schema,
)
from confserv.adapters.sql.schema import DEPLOYMENT, METADATA

ANYWHERE = Path("/nowhere")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    url = f"sqlite:///{tmp_path}/confserv.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server").fresh_database()
    made = open_database(url)
    yield made
    made.close()


def test_the_schema_is_made_in_an_empty_database_and_left_alone_afterwards(database: Database) -> None:
    # B-2
    assert prepare_schema(database, now_ms=5)
    with database.write() as conn:
        conn.execute(DEPLOYMENT.update().values(stage="OPERATIONAL"))
    assert not prepare_schema(database, now_ms=9)
    with database.snapshot() as conn:
        row = conn.execute(sa.select(DEPLOYMENT)).one()
    assert ("OPERATIONAL", True, None, 5) == (
        row.stage,
        row.new_deployment,
        row.first_served_ms,
        row.highest_clock_ms,
    )


def test_the_migrations_make_exactly_the_tables_that_the_program_names(database: Database) -> None:
    prepare_schema(database, now_ms=5)
    with database.write() as conn:
        assert [] == compare_metadata(MigrationContext.configure(conn), METADATA)


def test_servers_that_start_together_on_an_empty_database_make_one_schema(database: Database) -> None:
    # B-2
    made: list[bool] = []
    threads = [
        threading.Thread(target=lambda: made.append(prepare_schema(database, now_ms=5))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [False, False, False, True] == sorted(made)


def test_a_schema_of_another_version_is_refused_and_names_the_command(database: Database) -> None:
    # B-4
    prepare_schema(database, now_ms=5)
    with database.write() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(DatabaseRefused, match="confserv -upgrade"):
        prepare_schema(database, now_ms=5)


def test_another_programs_tables_are_refused_and_left_as_they_are(database: Database) -> None:
    # B-2, B-60
    with database.write() as conn:
        conn.execute(sa.text("CREATE TABLE theirs (id INTEGER)"))
    with pytest.raises(DatabaseRefused, match="theirs"):
        prepare_schema(database, now_ms=5)
    with database.snapshot() as conn:
        assert ["theirs"] == sa.inspect(conn).get_table_names()


def test_a_snapshot_neither_waits_for_a_writer_nor_sees_what_it_has_not_committed(database: Database) -> None:
    prepare_schema(database, now_ms=5)
    with database.write() as writing:
        writing.execute(DEPLOYMENT.update().values(highest_clock_ms=7))
        with database.snapshot() as conn:
            assert 5 == conn.execute(sa.select(DEPLOYMENT.c.highest_clock_ms)).scalar()


def test_a_snapshot_stays_as_it_was_begun(database: Database) -> None:
    # ha.md: in one snapshot
    prepare_schema(database, now_ms=5)
    with database.snapshot() as conn:
        assert 5 == conn.execute(sa.select(DEPLOYMENT.c.highest_clock_ms)).scalar()
        with database.write() as writing:
            writing.execute(DEPLOYMENT.update().values(highest_clock_ms=7))
        assert 5 == conn.execute(sa.select(DEPLOYMENT.c.highest_clock_ms)).scalar()


def test_sqlite_syncs_each_commit_and_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    # architecture.md: WAL, synchronous=FULL
    database = open_database(f"sqlite:///{tmp_path}/confserv.sqlite")
    with database.write() as conn:
        modes = [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    database.close()
    assert ["wal", 2] == modes


@pytest.mark.postgresql
def test_a_holder_that_sleeps_inside_a_transaction_of_postgresql_is_ended_before_its_lease(
    request: pytest.FixtureRequest,
) -> None:
    # ha.md: statement and idle-in-transaction timeouts below the TTL
    database = open_database(request.getfixturevalue("postgresql_server").fresh_database(), ttl_s=2.0)
    with database.write() as conn:
        shown = [
            conn.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("statement_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")
        ]
    with pytest.raises(StoreUnreachable), database.write() as conn:
        conn.exec_driver_sql("SELECT pg_sleep(1.9)")
    database.close()
    assert ["800ms", "800ms", "on"] == shown


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("confserv.sqlite", "no URL", id="a path instead of a URL"),
        pytest.param("mysql://h/db", "not supported", id="another kind of database"),
        pytest.param("sqlite://", "lost with the process", id="SQLite in memory"),
        pytest.param("postgresql://u@db.example/c", "needs TLS", id="PostgreSQL over TCP without TLS"),
        pytest.param(
            "postgresql://u@127.0.0.1/c?sslmode=require", "verifies the server", id="TLS to anybody"
        ),
    ],
)
def test_refuses(url: str, says: str) -> None:
    # B-60
    with pytest.raises(DatabaseRefused, match=says):
        open_database(url)


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        pytest.param("postgresql:///c?host=/run/postgresql", None, id="a socket, which is private enough"),
        pytest.param(
            "postgresql://u@db/c?sslmode=verify-full&sslrootcert=/ca.pem",
            None,
            id="TLS that the URL asks for",
        ),
        pytest.param(
            "postgresql://u@db/c", DatabaseTls(ANYWHERE, ANYWHERE, ANYWHERE), id="TLS of the settings"
        ),
    ],
)
def test_accepts(url: str, tls: DatabaseTls | None) -> None:
    open_database(url, tls=tls).close()


def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path: Path) -> None:
    # B-60
    (tmp_path / "notes.txt").write_text("not a database, and long enough to be read as a header " * 50)
    database = open_database(f"sqlite:///{tmp_path}/notes.txt")
    with pytest.raises(DatabaseRefused, match=r"notes\.txt"):
        prepare_schema(database, now_ms=5)
    database.close()


def test_a_folder_that_does_not_exist_is_unreachable(tmp_path: Path) -> None:
    # B-60
    database = open_database(f"sqlite:///{tmp_path}/missing/confserv.sqlite")
    with pytest.raises(StoreUnreachable, match="unable to open"):
        prepare_schema(database, now_ms=5)
    database.close()


def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    # B-60
    database = open_database(f"postgresql:///c?host={tmp_path}")
    with pytest.raises(StoreUnreachable), database.snapshot():
        pass
    database.close()


def test_a_database_that_another_process_has_locked_is_unreachable_and_not_half_written(
    tmp_path: Path,
) -> None:
    # B-51
    url = tmp_path / "confserv.sqlite"
    database = open_database(f"sqlite:///{url}", ttl_s=1.0)
    prepare_schema(database, now_ms=5)
    other = sqlite3.connect(url, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnreachable, match="locked"), database.write() as conn:
        conn.execute(DEPLOYMENT.update().values(highest_clock_ms=7))
    other.close()
    database.close()

"""Opening a store's database."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from confkit.database import DatabaseRefused, DatabaseTls, open_database, prepare_tables
from confkit.election.ports import StoreUnreachable

METADATA = sa.MetaData()
ITEMS = sa.Table("items", METADATA, sa.Column("id", sa.Integer, primary_key=True))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("nonsense", "is no URL", id="no URL"),
        pytest.param("mysql://h/d", "mysql is not supported", id="another kind"),
        pytest.param("sqlite://", "in memory", id="SQLite in memory"),
        pytest.param(
            "postgresql://u@db.example/d", "needs TLS that verifies", id="PostgreSQL over TCP without TLS"
        ),
        pytest.param(
            "postgresql://u@db.example/d?sslmode=require", "needs TLS that verifies", id="TLS unverified"
        ),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_cure(url: str, says: str) -> None:  # B-60
    with pytest.raises(DatabaseRefused, match=says):
        open_database(url, program="test")


def test_a_tcp_database_with_tls_files_and_a_socket_without_are_taken() -> None:
    tls = DatabaseTls(Path("ca"), Path("crt"), Path("key"))
    for url, files in (("postgresql://u@db.example/d", tls), ("postgresql:///d?host=/run/pg", None)):
        database = open_database(url, program="test", tls=files)
        assert not database.serves_one_host
        database.close()


def test_a_database_that_does_not_answer_is_unreachable_not_refused(tmp_path: Path) -> None:  # B-60
    database = open_database(f"postgresql:///d?host={tmp_path}", program="test")
    with pytest.raises(StoreUnreachable):
        prepare_tables(database, METADATA, version="1", lock=1)
    database.close()


def test_tables_are_made_once_and_never_changed(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/d.sqlite", program="test")
    made = [prepare_tables(database, METADATA, version="1", lock=1) for _ in range(2)]
    assert [True, False] == made
    with pytest.raises(DatabaseRefused, match="schema 1, this program needs"):
        prepare_tables(database, METADATA, version="2", lock=1)
    database.close()


def test_another_programs_database_is_refused_with_its_tables(tmp_path: Path) -> None:  # B-60
    database = open_database(f"sqlite:///{tmp_path}/d.sqlite", program="test")
    with database.write() as conn:
        conn.execute(sa.text("CREATE TABLE theirs (id INTEGER)"))
    with pytest.raises(DatabaseRefused, match="tables of another program \\(theirs\\)"):
        prepare_tables(database, METADATA, version="1", lock=1)
    database.close()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/d.sqlite", program="test")
    prepare_tables(database, METADATA, version="1", lock=1)
    with pytest.raises(sa.exc.IntegrityError), database.write() as conn:
        conn.execute(ITEMS.insert(), [{"id": 1}, {"id": 1}])
    with database.snapshot() as conn:
        assert [] == conn.execute(sa.select(ITEMS)).all()
    database.close()

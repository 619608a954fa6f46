"""The agent's list on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from confkit.settings import SettingsError
from local_agent.adapters.ledger import FileLedger
from local_agent.core.model import ApplicationName, Debt, Durable, ProcessKey, Watched

P = ProcessKey("host-1", "boot-1", 101, 5_001)
NAME = ApplicationName("confserv-1")
LIST = Durable(
    (Watched(P, NAME, "confserv", (77, 2**62), 3.0, 12.5),), (Debt(P, NAME, (78,), report=False),), {NAME: 3}
)


def test_a_list_comes_back_as_it_was_kept(tmp_path: Path) -> None:  # B-53
    ledger = FileLedger(tmp_path / "deep" / "list.json")
    ledger.save(Durable())
    ledger.save(LIST)
    assert LIST == ledger.load()


def test_no_list_is_an_empty_one(tmp_path: Path) -> None:
    assert Durable() == FileLedger(tmp_path / "list.json").load()


def test_a_crash_while_writing_leaves_the_former_list(tmp_path: Path) -> None:  # B-53
    ledger = FileLedger(tmp_path / "list.json")
    ledger.save(LIST)
    (tmp_path / "list.new").write_text('{"format": 1, "wat')
    assert LIST == ledger.load()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "watched": [{}], "debts": []}']
)
def test_a_broken_list_is_said_with_its_file_and_the_cure(tmp_path: Path, content: str) -> None:  # B-60
    file = tmp_path / "list.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match=r"list\.json.*move it away"):
        FileLedger(file).load()

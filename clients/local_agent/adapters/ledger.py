"""The agent's list in a JSON file: whom it watches, what it owes, what it was ordered to run.

Written as a whole to a new file, synchronized, then renamed: a crash leaves the former list or the new one. A
file that cannot be read ends the agent: to forget whom it watches would be the wrong thing to do quietly.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from pathlib import Path
from typing import Any

from confkit.settings import SettingsError
from local_agent.core.model import ApplicationName, Debt, Durable, ProcessKey, Watched

_FORMAT = 1


class FileLedger:
    """The list in `file`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writing = threading.Lock()

    def load(self) -> Durable:
        """Read the list; empty when there is none. Raises SettingsError for a file that is not one."""
        try:
            document = json.loads(self._file.read_bytes())
            if document["format"] != _FORMAT:
                raise ValueError(f"format {document['format']}, this program knows {_FORMAT}")
            return _durable(document)
        except FileNotFoundError:
            return Durable()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{self._file}: not a list of this agent ({error!r}): move it away to start without it; "
                "the leases of processes in it then run out by themselves"
            ) from error

    def save(self, durable: Durable) -> None:
        """Replace the list. Callers on several threads take turns."""
        with self._writing:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._file.with_suffix(".new")
            with fresh.open("w", encoding="utf-8") as out:
                json.dump({"format": _FORMAT, **_document(durable)}, out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(self._file)


def _document(durable: Durable) -> dict[str, Any]:
    return {
        "watched": [dataclasses.asdict(entry) for entry in durable.watched],
        "debts": [dataclasses.asdict(debt) for debt in durable.debts],
        "wanted": dict(durable.wanted),
    }


def _durable(document: dict[str, Any]) -> Durable:
    return Durable(
        watched=tuple(Watched(**_with_process(entry)) for entry in document["watched"]),
        debts=tuple(Debt(**_with_process(entry)) for entry in document["debts"]),
        wanted={ApplicationName(name): int(restarts) for name, restarts in document["wanted"].items()},
    )


def _with_process(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        **entry,
        "process": ProcessKey(**entry["process"]),
        "lease_ids": tuple(int(lease) for lease in entry["lease_ids"]),
    }

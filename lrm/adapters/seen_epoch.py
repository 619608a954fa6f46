"""The highest token of a Configuration Server that this process has ever seen, in a file of its own
(`I-7`)."""

from __future__ import annotations

import json
import os
from pathlib import Path

from confkit.election.types import Epoch


class SeenEpochFile:
    """Keeps one token over restarts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Epoch | None:
        """The token on record, None when there is none. Raises ValueError when the file is something else."""
        try:
            values = json.loads(self._path.read_text())
            return Epoch(int(values["generation"]), int(values["mod_revision"]))
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self._path} does not hold a token: {error}; remove it if it was damaged"
            ) from error

    def write(self, epoch: Epoch) -> None:
        """Put a token on record; it is on disk when this returns. Raises OSError."""
        new_path = self._path.with_name(self._path.name + ".new")
        with new_path.open("w") as file:
            json.dump({"generation": epoch.generation, "mod_revision": epoch.mod_revision}, file)
            file.flush()
            os.fsync(file.fileno())
        new_path.replace(self._path)

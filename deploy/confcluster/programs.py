"""Where the programs of the system are: installed beside the interpreter that runs this."""

from __future__ import annotations

import sys
from pathlib import Path


def installed(program: str) -> str:
    """Path of a program, as `confctl`."""
    return str(Path(sys.executable).with_name(program))

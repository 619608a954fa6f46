"""`licman`: runs a License Manager, or with a command as first word asks one."""

from __future__ import annotations

import sys

from confkit.command_line import command_line
from licman import stat
from licman.app import serve
from licman.settings import LicmanSettings

COMMANDS = frozenset({"stat"})

server = command_line(
    "licman",
    "License Manager, primary or backup of a pair. `licman stat --help`: who uses what.",
    LicmanSettings,
    lambda settings, shutdown, take_over: serve(settings, shutdown, take_over=take_over),
)


def main() -> None:
    """Run the command."""
    cli = stat.cli if COMMANDS & set(sys.argv[1:2]) else server
    cli(prog_name="licman")


if __name__ == "__main__":
    main()

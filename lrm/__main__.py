"""`lrm`: arguments, settings, exit status."""

from __future__ import annotations

from confkit.command_line import command_line
from lrm.app import serve
from lrm.settings import LrmSettings

cli = command_line("lrm", "License Reporting Manager: primary or backup of a pair.", LrmSettings, serve)


def main() -> None:
    """Run the command."""
    cli(prog_name="lrm")


if __name__ == "__main__":
    main()

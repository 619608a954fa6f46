"""`solution-control`: arguments, settings, exit status."""

from __future__ import annotations

from confkit.command_line import command_line
from solution_control.app import serve
from solution_control.settings import SolutionControlSettings

cli = command_line(
    "solution-control",
    "Solution Control: status, start, stop and switchover of applications, primary or backup of a pair.",
    SolutionControlSettings,
    lambda settings, shutdown, take_over: serve(settings, shutdown, take_over=take_over),
)


def main() -> None:
    """Run the command."""
    cli(prog_name="solution-control")


if __name__ == "__main__":
    main()

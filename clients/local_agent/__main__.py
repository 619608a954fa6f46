"""`lca`: arguments, settings, exit status."""

from __future__ import annotations

from confkit.command_line import command_line
from local_agent.app import serve
from local_agent.settings import LocalAgentSettings

cli = command_line(
    "lca",
    "Local Control Agent: supervises the processes of one host.",
    LocalAgentSettings,
    lambda settings, shutdown, _: serve(settings, shutdown),
    elected=False,
)


def main() -> None:
    """Run the command."""
    cli(prog_name="lca")


if __name__ == "__main__":
    main()

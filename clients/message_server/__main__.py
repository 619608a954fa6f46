"""`message-server`: arguments, settings, exit status."""

from __future__ import annotations

from confkit.command_line import command_line
from message_server.app import serve
from message_server.settings import MessageServerSettings

cli = command_line(
    "message-server",
    "Message Server: the central log, primary or backup of a pair.",
    MessageServerSettings,
    lambda settings, shutdown, take_over: serve(settings, shutdown, take_over=take_over),
)


def main() -> None:
    """Run the command."""
    cli(prog_name="message-server")


if __name__ == "__main__":
    main()

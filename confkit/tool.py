"""What command line clients have in common: exit statuses, and how a refusal is told to people.

A refusal is one sentence on standard error, with what to do about it and its reason in brackets (B-60).
"""

from __future__ import annotations

import sys

from confclient.credentials import CredentialsError
from confclient.documents import DocumentError
from confclient.errors import ConfservError, InvalidError, LicenseRequiredError, NoPrimaryError
from confkit.exit_status import ExitStatus
from confkit.license.findings import LicenseError
from confkit.tool_targets import TargetError


class UsageError(Exception):
    """Arguments or input are refused (exit status 2)."""


REFUSALS = (
    ConfservError,
    CredentialsError,
    DocumentError,
    LicenseError,
    TargetError,
    UsageError,
)
"""What a command line client explains instead of showing a trace; settings, where it has some, beside them."""


def told(program: str, error: Exception) -> ExitStatus:
    """Say what was wrong on standard error; gives the exit status."""
    print(f"{program}: {sentence(error)}", file=sys.stderr)  # noqa: T201  # a command line tool prints
    return exit_status(error)


def exit_status(error: Exception) -> ExitStatus:
    """The exit status for a failure (cli.md)."""
    if isinstance(error, NoPrimaryError):
        return ExitStatus.NO_PRIMARY
    if isinstance(error, LicenseRequiredError):
        return ExitStatus.NOT_LICENSED
    if isinstance(error, ConfservError) and not isinstance(error, InvalidError):
        return ExitStatus.FAILED
    return ExitStatus.REFUSED


def sentence(error: Exception) -> str:
    """What people are told: the sentence, its place and cure where it does not say them, and the reason."""
    if not isinstance(error, ConfservError):
        return str(error)
    cure = error.metadata.get("cure", "")
    place = ":".join(error.metadata[name] for name in ("source", "line", "column") if name in error.metadata)
    text = error.message
    if place and place not in text:
        text = f"{place}: {text}"
    if cure and cure not in text:
        text = f"{text}; {cure}"
    return f"{text} [{error.reason}]"

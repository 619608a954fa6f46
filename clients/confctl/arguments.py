"""Reading command lines: global options anywhere, keys of objects, values.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from confapi.config.v1 import objects_pb2
from confclient.objects import key_of
from confkit.tool import UsageError

_GLOBAL = {
    "--cluster": True,
    "--endpoints": True,
    "--ca": True,
    "--cert": True,
    "--key": True,
    "-o": True,
    "--output": True,
    "--timeout": True,
}


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Move global options before the command, so that they may stand anywhere; after `--` nothing is moved."""
    front: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            rest.extend(arguments[position:])
            break
        name, equals, _ = word.partition("=")
        if name in _GLOBAL and equals:
            front.append(word)
        elif name in _GLOBAL and position + 1 < len(arguments):
            front.extend(arguments[position : position + 2])
            position += 1
        else:
            rest.append(word)
        position += 1
    return front + rest


def object_key(type_: str, key: str, *, tenant: int = 0, folder: int = 0) -> objects_pb2.ObjectKey:
    """Name an object: digits are its dbid, all else its name; `name:` before it makes digits a name."""
    if key.isdigit():
        return key_of(type_, dbid=int(key))
    return key_of(type_, name=key.removeprefix("name:"), tenant=tenant, folder=folder)


def assignment(text: str) -> tuple[str, str]:
    """Split NAME=VALUE; raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{text!r} is not NAME=VALUE")
    return name, value


def option_assignment(text: str) -> tuple[str, str, str]:
    """Split SECTION.OPTION=VALUE; raises UsageError."""
    path, value = assignment(text)
    section, point, option = path.partition(".")
    if not point or not section or not option:
        raise UsageError(f"{text!r} is not SECTION.OPTION=VALUE")
    return section, option, value

"""Changing a license file without touching anything else in it: signatures put in their place.

The layout stays as it was written: comments, order, line ends, continuations. An existing signature is
replaced where it stands, a new one follows the last word of its line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confkit.license.attributes import SIGN
from confkit.license.lines import BOM
from confkit.license.signing import sign_line
from confkit.license.syntax import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from confkit.license.model import LicensedLine, LicenseFile

MAX_LAYOUT_CHARS = 110
_INDENT = b"    "


def sign_file(
    license_file: LicenseFile,
    *,
    key_id: str,
    key: Ed25519PrivateKey,
    wanted: Callable[[LicensedLine], bool] = lambda line: True,
) -> bytes:
    """Sign the wanted lines of a file, all by default, and give its new bytes.

    Raises LicenseSyntaxError when a line would exceed the limits with its signature.
    """
    data = license_file.source.data
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    for line in reversed(license_file.licensed):
        if not wanted(line):
            continue
        value = str(sign_line(license_file, line, key_id=key_id, key=key))
        word = f'{SIGN}="{value}"'.encode("ascii")
        if line.sign is not None:
            begin, end = line.sign.span
        else:
            begin = end = line.end
            word = _separator(data, line, len(word), newline) + word
        data = data[:begin] + word + data[end:]
    return parse(data, source=license_file.name).print()


def _separator(data: bytes, line: LicensedLine, size: int, newline: bytes) -> bytes:
    row = data[max(data.rfind(b"\n", 0, line.end) + 1, len(BOM) if data.startswith(BOM) else 0) : line.end]
    return b" " if len(row) + 1 + size <= MAX_LAYOUT_CHARS else b" \\" + newline + _INDENT

"""What exactly is signed: normal forms, and the bytes made of them.

Signed are the key's id, the kind of line, every fixed field, every uppercase attribute but SIGN, and the host
ids of the SERVER lines in order. Not signed: comments, layout, host names, ports, paths, the legacy key,
lowercase attributes. Each field goes in with its length before it, so that no text can pose as two fields or
as another's end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confkit.license.attributes import SIGN, Attribute, Owner
from confkit.license.dates import parse_date, print_date
from confkit.license.hostids import parse_hostids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from confkit.license.hostids import Hostid
    from confkit.license.model import LicensedLine

CONTEXT = b"confserv license line, format 1\x00"
"""Prefix of all signed bytes: a signature for anything else is never one for a license line."""


def _date_bytes(raw: bytes) -> bytes:
    return print_date(parse_date(raw.decode("latin-1"))).encode("latin-1")


def _hostid_bytes(raw: bytes) -> bytes:
    return " ".join(str(hostid) for hostid in parse_hostids(raw.decode("latin-1"))).encode("latin-1")


NORMAL_VALUES: dict[str, Callable[[bytes], bytes]] = {
    "FLOAT_OK": _hostid_bytes,
    "HOSTID": _hostid_bytes,
    "ISSUED": _date_bytes,
    "START": _date_bytes,
}
"""Attributes whose values have a normal form; all others are signed as their raw bytes after unquoting."""

NORMAL_FIELDS: dict[str, Callable[[LicensedLine], str]] = {
    "feature": lambda line: line.feature,
    "vendor": lambda line: line.vendor,
    "from_version": lambda line: "" if line.from_version is None else str(line.from_version),
    "version": lambda line: "" if line.version is None else str(line.version),
    "expiry": lambda line: print_date(line.expiry),
    "count": lambda line: str(line.count),
}
"""The fixed fields in the order in which they are signed, with their normal forms: permanent is 00-000-0000,
uncounted is 0, versions have no needless zeros, dates are dd-mmm-yyyy in lowercase."""


def signed_bytes(line: LicensedLine, *, key_id: str, server_hostids: Iterable[Hostid]) -> bytes:
    """Give the bytes that the signature of a line covers."""
    return CONTEXT + b"".join(_with_length(part) for part in _fields(line, key_id, tuple(server_hostids)))


def _fields(line: LicensedLine, key_id: str, server_hostids: tuple[Hostid, ...]) -> Iterator[bytes]:
    yield key_id.encode("ascii")
    yield line.keyword.value.encode("ascii")
    for normal in NORMAL_FIELDS.values():
        yield normal(line).encode("latin-1")
    signed = sorted(_signed_attributes(line), key=lambda one: one.name)
    yield str(len(signed)).encode("ascii")
    for attribute in signed:
        yield attribute.name.encode("ascii")
        yield _value(attribute)
    for hostid in server_hostids:
        yield str(hostid).encode("latin-1")


def _signed_attributes(line: LicensedLine) -> Iterator[Attribute]:
    return (one for one in line.attributes if one.owner is Owner.PUBLISHER and one.name != SIGN)


def _value(attribute: Attribute) -> bytes:
    if attribute.value is None:
        return b"-"
    normal = NORMAL_VALUES.get(attribute.name)
    return b"=" + (attribute.value if normal is None else normal(attribute.value))


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part

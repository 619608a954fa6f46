"""The set of vendor public keys that a server trusts: given at installation, rotated by adding a key.

There is no built-in key and no switch that turns verification off. Members of a cluster publish the hash of
their sets and compare them (B-32); the hash covers what the keys mean, not how the file is laid out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, NewType

from confkit.license.findings import Finding, LicenseError, Position, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KeyId = NewType("KeyId", str)
KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PUBLIC_KEY_BYTES = 32
MAX_TRUST_SET_BYTES = 1024 * 1024
_FIELDS = frozenset({"id", "public_key", "vendors", "last_issue", "revoked_from"})


class TrustSetError(LicenseError):
    """The file of trusted keys is malformed; the server must not start with it."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One vendor key: for which vendor names it may sign, until which day of issue, and from when it is void.

    With `last_issue` set, a line without a signed ISSUED on or before that day is refused. From 00:00 UTC of
    `revoked_from` on no line of the key is good, however it is dated, since a thief can write any date.
    """

    key_id: KeyId
    public_key: bytes
    vendors: tuple[str, ...]
    last_issue: date | None = None
    revoked_from: date | None = None


@dataclass(frozen=True, slots=True)
class TrustSet:
    """The trusted keys by id."""

    keys: Mapping[KeyId, TrustedKey] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: Iterable[TrustedKey]) -> TrustSet:
        """Make a set of keys."""
        return cls({key.key_id: key for key in keys})

    def get(self, key_id: str) -> TrustedKey | None:
        """Find a key by its id."""
        return self.keys.get(KeyId(key_id))

    @property
    def sha256(self) -> str:
        """The hash that members compare, in lowercase hex (B-32)."""
        rows = [_row(key) for key in sorted(self.keys.values(), key=lambda key: key.key_id)]
        return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()

    def print(self) -> str:
        """Write the set as the TOML file that `parse_trust_set` reads."""
        return "\n".join(_block(key) for key in self.keys.values())


def parse_trust_set(data: bytes, *, source: str) -> TrustSet:
    """Read a trust set from TOML: a table `[[key]]` each with id, public_key (base64), vendors, and
    optionally last_issue and revoked_from as dates.

    Raises TrustSetError naming the key and what is wrong with it.
    """
    if len(data) > MAX_TRUST_SET_BYTES:
        raise _error(source, "the file is larger than 1 MiB", "")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _error(source, f"this is no TOML: {error}", "") from None
    tables = document.get("key")
    if set(document) != {"key"} or not isinstance(tables, list):
        raise _error(source, "it needs tables [[key]] and nothing else", ", ".join(document))
    keys = dict[KeyId, TrustedKey]()
    for number, table in enumerate(tables, start=1):
        try:
            key = _key(table)
        except ValueError as error:
            raise _error(source, f"key {number}: {error}", str(table)[:60]) from None
        if key.key_id in keys:
            raise _error(source, f"key {number}: the id stands twice", key.key_id)
        keys[key.key_id] = key
    return TrustSet(keys)


def _key(table: object) -> TrustedKey:
    if not isinstance(table, dict):
        raise ValueError("a table is needed")
    if unknown := set(table) - _FIELDS:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    key_id, vendors = table.get("id"), table.get("vendors")
    if not isinstance(key_id, str) or not KEY_ID.fullmatch(key_id):
        raise ValueError("id: up to 64 letters, digits, points, dashes and underscores are needed")
    if (
        not isinstance(vendors, list)
        or not vendors
        or not all(isinstance(one, str) and one for one in vendors)
    ):
        raise ValueError("vendors: a list of at least one vendor name is needed")
    return TrustedKey(
        KeyId(key_id),
        _public_key(table.get("public_key")),
        tuple(vendors),
        _day(table, "last_issue"),
        _day(table, "revoked_from"),
    )


def _public_key(value: object) -> bytes:
    try:
        raw = base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise ValueError(f"public_key: base64 of {PUBLIC_KEY_BYTES} bytes is needed")
    return raw


def _day(table: Mapping[str, object], name: str) -> date | None:
    value = table.get(name)
    if value is None:
        return None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError(f"{name}: a date as 2027-12-31, without quotes, is needed")
    return value


def _row(key: TrustedKey) -> list[object]:
    days = [None if day is None else day.isoformat() for day in (key.last_issue, key.revoked_from)]
    return [key.key_id, base64.b64encode(key.public_key).decode(), sorted(key.vendors), *days]


def _block(key: TrustedKey) -> str:
    rows = [
        "[[key]]",
        f'id = "{key.key_id}"',
        f'public_key = "{base64.b64encode(key.public_key).decode()}"',
        f"vendors = {json.dumps(list(key.vendors))}",
    ]
    rows += [] if key.last_issue is None else [f"last_issue = {key.last_issue.isoformat()}"]
    rows += [] if key.revoked_from is None else [f"revoked_from = {key.revoked_from.isoformat()}"]
    return "\n".join(rows) + "\n"


def _error(source: str, message: str, excerpt: str) -> TrustSetError:
    cure = "write the trust set as `licgen keygen` prints it"
    return TrustSetError(
        [Finding(Reason.TRUST_SET_MALFORMED, message, source, Position(1, 1), excerpt, cure)]
    )

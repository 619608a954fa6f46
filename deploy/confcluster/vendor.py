"""The vendor of a local cluster: a key of its own, made on first use, and licenses signed with it.

The product holds no vendor key, and no test key either: whoever plays the vendor makes one. Here it lies
unencrypted below the cluster's directory, which is right for a demo and for nothing else. A real vendor uses
`licgen` and keeps the key elsewhere.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from confkit.license.dates import print_date
from confkit.license.editing import sign_file
from confkit.license.files import read_trust_set
from confkit.license.syntax import parse
from confkit.license.trust import TrustedKey, TrustSet
from licman.keys import VendorKey, load_key, new_key, save_key, write_whole

VENDOR_NAME = "confserv"
KEY_ID = "local-vendor"
RIGHT_TO_USE = "config_server"
HIGH_AVAILABILITY = "ha_redundancy"


@dataclass(frozen=True, slots=True)
class TechnicalKey:
    """A line that switches a function on; `count` None is uncounted, otherwise it is counted while held."""

    name: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class SellableItem:
    """A line that is measured: so many `quantity`, and so many more as `burst`."""

    name: str
    quantity: int
    burst: int = 0
    order_number: str = ""


DEMO_KEYS = (TechnicalKey(RIGHT_TO_USE), TechnicalKey(HIGH_AVAILABILITY), TechnicalKey("report_designer", 2))
DEMO_ITEMS = (
    SellableItem("voice_seat", quantity=3, burst=1, order_number="ORDER-1001"),
    SellableItem("chat_seat", quantity=5, order_number="ORDER-1002"),
)
"""What a local cluster is licensed for."""


class Vendor:
    """A vendor with its key, in a directory."""

    def __init__(self, directory: Path, key: VendorKey) -> None:
        """Prefer `open`."""
        self.directory = directory
        self._key = key

    @classmethod
    def open(cls, directory: Path) -> Vendor:
        """Take up the key in `directory`, or make one, with the trust set that names it."""
        path = directory / "vendor.key"
        if path.exists():
            return cls(directory, load_key(path, passphrase=None))
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = new_key(KEY_ID)
        save_key(key, path, passphrase=None)
        vendor = cls(directory, key)
        public = key.private.public_key().public_bytes_raw()
        trusted = TrustSet.of([TrustedKey(key.key_id, public, (VENDOR_NAME,))])
        write_whole(vendor.trust_file, trusted.print().encode(), mode=0o644)
        return vendor

    @property
    def trust_file(self) -> Path:
        """The trust set that servers are given."""
        return self.directory / "trust.toml"

    @property
    def trust(self) -> TrustSet:
        """The trust set."""
        return read_trust_set(self.trust_file)

    def write_license(self, name: str, text: str) -> Path:
        """Sign `text` and write it as the file `name`."""
        path = self.directory / name
        write_whole(path, self.sign(text, source=str(path)), mode=0o644)
        return path

    def sign(self, text: str, *, source: str = "license") -> bytes:
        """Sign every line of `text`."""
        parsed = parse(text.encode(), source=source)
        return sign_file(parsed, key_id=self._key.key_id, key=self._key.private)


def license_text(
    *,
    issued: dt.date,
    expires: dt.date | None,
    keys: Sequence[TechnicalKey] = DEMO_KEYS,
    items: Sequence[SellableItem] = DEMO_ITEMS,
    comment: str = "",
) -> str:
    """Write the unsigned text of a license, every line of which is valid through `expires` (None: for ever)."""
    until = "permanent" if expires is None else print_date(expires)
    rows = [f"# {line}" for line in comment.splitlines()]
    rows += ["SERVER this_host ANY", f"VENDOR {VENDOR_NAME}", "USE_SERVER"]
    rows += [_key_line(key, until, print_date(issued)) for key in keys]
    rows += [_item_line(item, until, print_date(issued)) for item in items]
    return "\n".join(rows) + "\n"


def _key_line(key: TechnicalKey, until: str, issued: str) -> str:
    keyword, count = ("FEATURE", "uncounted") if key.count is None else ("INCREMENT", str(key.count))
    host = " HOSTID=ANY" if key.count is None else ""
    return f"{keyword} {key.name} {VENDOR_NAME} 1.0 {until} {count}{host} ISSUED={issued}"


def _item_line(item: SellableItem, until: str, issued: str) -> str:
    burst = f":burst={item.burst}" if item.burst else ""
    order = f" SN={item.order_number}" if item.order_number else ""
    return (
        f"INCREMENT {item.name} {VENDOR_NAME} 1.0 {until} {item.quantity} ISSUED={issued}{order}"
        f' VENDOR_STRING="item:type=concurrent:unit=seat{burst}"'
    )

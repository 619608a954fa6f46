"""Host ids: what a line, or a server, may be bound to.

Parsing gives the normal form, which is the one that is signed: hexadecimal digits in lowercase, types in
uppercase, dashes of an ID or UUID left out. Types of other vendors' hardware are kept and match nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

_HEX = re.compile(r"[0-9a-fA-F]{12}|[0-9a-fA-F]{8}")
_TYPED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(.+)")
_INTERNET = re.compile(r"(?:[0-9]{1,3}|\*)(?:\.(?:[0-9]{1,3}|\*)){3}")

ANY = "ANY"
DEMO = "DEMO"
ETHERNET = "ETHERNET"
LONG = "LONG"
OTHER = "OTHER"
TYPED = frozenset({"HOSTNAME", "USER", "DISPLAY", "INTERNET", "ID", "VM_UUID"})


@dataclass(frozen=True, slots=True)
class Hostid:
    """One host id in normal form: its kind (ETHERNET, LONG, ANY, DEMO, HOSTNAME, …, OTHER) and its value."""

    kind: str
    value: str

    def __str__(self) -> str:
        """Write the normal form."""
        if self.kind in (ANY, DEMO):
            return self.kind
        return self.value if self.kind in (ETHERNET, LONG, OTHER) else f"{self.kind}={self.value}"

    def matches(self, kind: str, value: str) -> bool:
        """Say whether something of this kind and value satisfies the host id; ANY and DEMO lock nothing."""
        if self.kind in (ANY, DEMO):
            return True
        if kind != self.kind:
            return False
        wanted = parse_hostid(f"{kind}={value}" if kind in TYPED else value).value
        return fnmatchcase(wanted, self.value) if kind == "INTERNET" else wanted == self.value


def parse_hostid(text: str) -> Hostid:
    """Read one host id. Raises ValueError for one that is malformed; an unknown type becomes OTHER."""
    if text.upper() in (ANY, DEMO):
        return Hostid(text.upper(), "")
    if _HEX.fullmatch(text):
        return Hostid(ETHERNET if len(text) == 12 else LONG, text.lower())
    typed = _TYPED.fullmatch(text)
    kind = typed[1].upper() if typed else ""
    if not typed or kind not in TYPED:
        return Hostid(OTHER, text)
    value = typed[2]
    if kind == "INTERNET" and not _INTERNET.fullmatch(value):
        raise ValueError("INTERNET= takes four numbers or * with points between them")
    if kind in ("ID", "VM_UUID"):
        value = value.replace("-", "").lower()
    return Hostid(kind, value.lower() if kind == "HOSTNAME" else value)


def parse_hostids(text: str) -> tuple[Hostid, ...]:
    """Read a list of host ids with blanks between them. Raises ValueError when it is empty or malformed."""
    words = text.replace("\t", " ").split(" ")
    found = tuple(parse_hostid(word) for word in words if word)
    if not found:
        raise ValueError("at least one host id is needed")
    return found

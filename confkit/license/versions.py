"""Versions of features: decimals of any length, never floating-point numbers.

1.10 equals 1.1, and 2020.0111 is less than 2020.111. A line serves requests up to its version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_VERSION = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
MAX_VERSION_CHARS = 64


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version as it is compared: whole part without leading zeros, fraction without trailing ones.

    `written` is the spelling in the file, for display; it is never compared.
    """

    whole: str
    fraction: str = ""
    written: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read digits with at most one point between them. Raises ValueError."""
        match = _VERSION.fullmatch(text)
        if not match or len(text) > MAX_VERSION_CHARS:
            raise ValueError(f"a version is digits with at most one point, {MAX_VERSION_CHARS} at the most")
        return cls(match[1].lstrip("0") or "0", (match[2] or "").rstrip("0"), text)

    def __str__(self) -> str:
        """Write the normal form, which is also the signed one."""
        return f"{self.whole}.{self.fraction}" if self.fraction else self.whole

    def __eq__(self, other: object) -> bool:
        """Compare by value."""
        return isinstance(other, Version) and self._key() == other._key()

    def __lt__(self, other: Version) -> bool:
        """Compare as decimals padded with zeros."""
        return self._key() < other._key()

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash(self._key())

    def _key(self) -> tuple[int, str, str]:
        return len(self.whole), self.whole, self.fraction

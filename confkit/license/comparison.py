"""What changed between two license files, in meaning and not in layout.

Two lines are the same when their signed content is, whoever signed them. What one file calls a feature with
other counts, dates or attributes shows as one line removed and one added.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confkit.license.normal import signed_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confkit.license.model import LicensedLine, LicenseFile


@dataclass(frozen=True, slots=True)
class Difference:
    """The lines that only one of two files has, in the order of each, and whether the SERVER host ids
    differ.
    """

    removed: tuple[LicensedLine, ...]
    added: tuple[LicensedLine, ...]
    servers_differ: bool

    @property
    def is_empty(self) -> bool:
        """Whether both files mean the same."""
        return not (self.removed or self.added or self.servers_differ)


def compare(old: LicenseFile, new: LicenseFile) -> Difference:
    """Compare two files."""
    return Difference(
        removed=tuple(_missing(old.licensed, new.licensed)),
        added=tuple(_missing(new.licensed, old.licensed)),
        servers_differ=old.server_hostids != new.server_hostids,
    )


def _missing(lines: Iterable[LicensedLine], others: Iterable[LicensedLine]) -> Iterable[LicensedLine]:
    left = Counter(_content(line) for line in others)
    for line in lines:
        content = _content(line)
        if left[content]:
            left[content] -= 1
        else:
            yield line


def _content(line: LicensedLine) -> bytes:
    return signed_bytes(line, key_id="", server_hostids=())

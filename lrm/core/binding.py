"""The bond with the primary Configuration Server, as the License Reporting Manager sees it.

Why: LRM follows whichever server is primary and must not believe one whose tenure is over, whatever network
or pauses do to the order of messages (`B-20`, `I-7`); and its copy of the license has to be the server's,
or be read afresh (`B-26`). A pure `step`: state and event in, state and effects out. It does not find the
primary; the client library does, and this judges what answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from confkit.election.types import Epoch


@dataclass(frozen=True, slots=True)
class LicenseId:
    """Which license: its revision, 0 for none, and the SHA-256 of its text in lowercase hex."""

    revision: int
    sha256: str

    def __str__(self) -> str:
        return f"revision {self.revision} ({self.sha256[:12] or 'none'})"


NO_LICENSE: Final = LicenseId(0, "")


@dataclass(frozen=True, slots=True)
class Bond:
    """What LRM knows of its bond. `bound` is the token under which it is bound now, None when it is not.

    `highest` is the highest token that it has ever seen; `held` the license that it works from; `server`
    what the server said last in this bond; `missing` the older revisions that it has still to read.
    """

    highest: Epoch | None = None
    bound: Epoch | None = None
    held: LicenseId = NO_LICENSE
    server: LicenseId | None = None
    missing: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Answered:
    """The server says, under its token, which license it has; with its text when it sends it."""

    epoch: Epoch | None
    license: LicenseId
    has_text: bool


@dataclass(frozen=True, slots=True)
class Read:
    """A revision was read, and its text fits its SHA-256; LRM works from it now if it is the server's."""

    license: LicenseId


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream has ended."""


Event = Answered | Read | Lost


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep the highest token seen, so that it outlives this process."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class AnnounceBound:
    """LRM is bound now."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class AnnounceLost:
    """LRM is bound no longer."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave this server and look for the primary."""

    reason: str


@dataclass(frozen=True, slots=True)
class TakeText:
    """Use the text that came with the answer."""

    license: LicenseId


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read this revision from the server."""

    revision: int


@dataclass(frozen=True, slots=True)
class AnnounceDifference:
    """Copies differ in a way that is no ordinary new revision; a fresh read follows."""

    ours: LicenseId
    server: LicenseId


Effect = Remember | AnnounceBound | AnnounceLost | Leave | TakeText | Fetch | AnnounceDifference
Step = tuple[Bond, tuple[Effect, ...]]


def step(bond: Bond, event: Event) -> Step:
    """Give the bond after an event, and what to do about it, in order."""
    match event:
        case Answered():
            return _answered(bond, event)
        case Read(license_):
            held = (
                license_ if license_ == bond.server or license_.revision > bond.held.revision else bond.held
            )
            return replace(bond, held=held, missing=bond.missing - {license_.revision}), ()
        case Lost():
            lost = replace(bond, bound=None, server=None)
            return lost, (AnnounceLost(),) if bond.bound is not None else ()


def _answered(bond: Bond, event: Answered) -> Step:
    epoch = event.epoch
    if epoch is None:
        return bond, (Leave("it answers under no token"),)
    if bond.highest is not None and epoch < bond.highest:
        return bond, (Leave(f"it answers under token {epoch}, and {bond.highest} was seen already"),)
    effects: list[Effect] = []
    if epoch != bond.highest:
        effects.append(Remember(epoch))
    if bond.bound is None:
        effects.append(AnnounceBound(epoch))
    after = replace(bond, highest=epoch, bound=epoch, server=event.license)
    compared, more = _compared(after, event, is_check=bond.server == event.license)
    return compared, (*effects, *more)


def _compared(bond: Bond, event: Answered, *, is_check: bool) -> Step:
    """Compare the copies (`B-26`); `is_check` says that the server has named the same license before."""
    server = event.license
    if server == bond.held or server == NO_LICENSE:
        return bond, tuple(Fetch(revision) for revision in sorted(bond.missing))
    effects: list[Effect] = []
    if bond.held != NO_LICENSE and (server.revision <= bond.held.revision or is_check):
        effects.append(AnnounceDifference(bond.held, server))
    missing = bond.missing | frozenset(range(bond.held.revision + 1, server.revision))
    if event.has_text:
        effects.append(TakeText(server))
    else:
        effects.append(Fetch(server.revision))
    effects += [Fetch(revision) for revision in sorted(missing)]
    return replace(bond, missing=missing), tuple(effects)

"""Which server to ask next: the decisions of a client that follows the primary of one elected component.

Why it exists: the library is given several addresses, and the role of primary moves between them. What is
believed, what an answer or a failure changes in that belief, and whether a call may be sent again, is decided
here, without connections and without a clock; `channel.py` carries it out. Nothing here says whether a server
*is* primary: only the server's own answer does, and the fence row enforces it (`ha.md`, Clients).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

MOST_LEARNED = 16
"""Addresses remembered beside those that were given; older ones are forgotten."""

_FIRST_PAUSE_S = 0.004
_LONGEST_PAUSE_S = 0.25
_GROWTH = 1.5
_HOPS_AT_ONCE = 3


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """The token of a tenure, as the wire carries it; only compared, never made, by a client."""

    generation: int
    mod_revision: int

    def __str__(self) -> str:
        return f"{self.generation}.{self.mod_revision}"


@dataclass(frozen=True, slots=True)
class View:
    """What a client believes of one component.

    Attributes:
        seeds: addresses that it was given, host:port.
        learned: addresses that servers have named since.
        primary: address believed to be the primary's; None when it has to be searched for.
        highest: highest epoch seen anywhere; what comes under a lower one is dropped.
    """

    seeds: tuple[str, ...]
    learned: tuple[str, ...] = ()
    primary: str | None = None
    highest: Epoch | None = None

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every address worth asking, the given ones first."""
        return self.seeds + tuple(address for address in self.learned if address not in self.seeds)


def reseeded(view: View, seeds: Iterable[str]) -> View:
    """Take other given addresses; what was learned stays."""
    return replace(view, seeds=tuple(dict.fromkeys(seeds)))


def learned(view: View, endpoints: Iterable[str]) -> View:
    """Remember addresses that a server has named; the newest of them are kept."""
    fresh = [address for address in dict.fromkeys(endpoints) if address and address not in view.endpoints]
    return replace(view, learned=(view.learned + tuple(fresh))[-MOST_LEARNED:]) if fresh else view


def is_old(view: View, epoch: Epoch | None) -> bool:
    """Whether an answer under this epoch comes from a tenure that is over (I-7 for every component)."""
    return epoch is not None and view.highest is not None and epoch < view.highest


def seen(view: View, epoch: Epoch | None) -> View:
    """Remember the highest epoch."""
    if epoch is None or (view.highest is not None and epoch <= view.highest):
        return view
    return replace(view, highest=epoch)


def declared(view: View, endpoint: str, epoch: Epoch | None) -> View:
    """A server says of itself that it is primary: believed unless a later tenure is known.

    A server with two addresses says so at both; the one in use stays.
    """
    if is_old(view, epoch):
        return view
    if view.primary is not None and (epoch is None or epoch == view.highest):
        return view
    return replace(seen(view, epoch), primary=endpoint)


def hinted(view: View, *, by: str, endpoints: Iterable[str], epoch: Epoch | None) -> View:
    """A server refuses as NOT_PRIMARY and may say who is; a hint of a tenure that is over counts for nothing."""
    named = tuple(address for address in endpoints if address)
    without = lost(learned(view, named), by)
    if not named or by in named or is_old(view, epoch):
        return without
    return replace(seen(without, epoch), primary=named[0])


def announced(view: View, *, endpoints: Iterable[str], epoch: Epoch | None) -> View:
    """A member's status names a primary: its addresses are remembered, and a newer tenure ends the belief in another.

    The one that is named is not believed until it says so itself: it may still be opening, or already be dead
    without the member's notice.
    """
    known = learned(view, endpoints)
    if epoch is None or (view.highest is not None and epoch <= view.highest):
        return known
    return replace(known, primary=None, highest=epoch)


def lost(view: View, endpoint: str) -> View:
    """A server has failed or refused: it is no longer taken for the primary."""
    return replace(view, primary=None) if view.primary == endpoint else view


class Trouble(enum.Enum):
    """Why an attempt did not give the answer."""

    NOT_PRIMARY = "the server is not primary and has not carried it out"
    NO_PRIMARY = "nobody is primary now and nothing was carried out"
    BROKEN = "the connection was lost; it may have been carried out"
    OUTCOME_UNKNOWN = "the server cannot say whether it was carried out"
    OLD_EPOCH = "the answer came from a tenure that is over"
    SUPERSEDED = "another server became primary while this one kept silent"


_NEVER_CARRIED_OUT = frozenset({Trouble.NOT_PRIMARY, Trouble.NO_PRIMARY})
_AT_ONCE = frozenset({Trouble.NOT_PRIMARY, Trouble.BROKEN, Trouble.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Again:
    """Send the same request again after a pause, in seconds; to the primary that is known then."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the caller: repeating might do it twice."""


def after_trouble(trouble: Trouble, *, repeatable: bool, tries: int, draw: float) -> Again | GiveUp:
    """Decide whether and when a request is sent again.

    Args:
        trouble: how the last attempt failed.
        repeatable: whether doing it twice is the same as doing it once (reads; writes under a request id).
        tries: attempts that have failed before this one.
        draw: a random number in [0, 1), which spreads the callers.
    """
    if not repeatable and trouble not in _NEVER_CARRIED_OUT:
        return GiveUp()
    if trouble in _AT_ONCE and tries < _HOPS_AT_ONCE:
        return Again(0.0)
    return Again(pause_s(tries, draw=draw))


def pause_s(tries: int, *, draw: float) -> float:
    """How long to wait before asking again, in seconds: 2 to 4 ms at first, growing up to 125 to 250 ms.

    Each pause is about a third of all that was waited before it, so that a fail-over costs the caller little more
    than itself; the growth bounds what many callers do to servers that stay away.
    """
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * _GROWTH ** min(tries, 16))
    return longest * (0.5 + draw / 2)

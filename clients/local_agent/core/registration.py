"""Whether a process is who it says it is, and who may have whom killed.

A wrong registration would be a way to take a living primary's lease away. So everything must agree: the
certificate's name with the application, the process with the kernel's own books, and the member key that
stands on the lease with both. What it cannot prove: that the connection comes from that very process; a
certificate's holder may register another process of its own application on this host, if it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from confkit.election.types import Member
from local_agent.core.model import Registered, Watched


@dataclass(frozen=True, slots=True)
class Books:
    """What this host and etcd say: host name, boot id, when the process with that number was started (None:
    there is none), and the members of the claimed component.
    """

    host: str
    boot_id: str
    start_time_ticks: int | None
    members: Sequence[Member] = ()


def registration_refusal(claim: Registered, *, name: str, role: str, books: Books) -> str | None:
    """Say what does not agree, None when all does. `name` and `role` are the certificate's."""
    process = claim.process
    if claim.application != name:
        return f"the certificate is {name}'s, not {claim.application}'s"
    if process.host != books.host:
        return f"this agent is of host {books.host}, not {process.host}"
    if process.boot_id != books.boot_id:
        return "the boot id is not the running kernel's"
    if books.start_time_ticks is None:
        return f"no process {process.pid} runs here"
    if process.start_time_ticks != books.start_time_ticks:
        return f"process {process.pid} was started at another time"
    if claim.component and claim.component != role:
        return f"a certificate of role {role} cannot register a process of component {claim.component}"
    if claim.lease_ids:
        return _lease_refusal(claim, books.members, name)
    return None


def _lease_refusal(claim: Registered, members: Sequence[Member], name: str) -> str | None:
    if not claim.component:
        return "leases without a component: its member key proves whose they are"
    own = next((member for member in members if str(member.instance) == name), None)
    if own is None:
        return f"no member key of {claim.component} stands under the name {claim.application}"
    if set(claim.lease_ids) != {own.lease}:
        return f"the member key of {claim.application} stands on lease {own.lease:x}"
    facts = own.facts
    process = claim.process
    if (facts.pid, facts.process_start_ticks, facts.boot_id) != (
        process.pid,
        process.start_time_ticks,
        process.boot_id,
    ):
        return f"the member key of {claim.application} names process {facts.pid}"
    return None


def kill_refusal(entry: Watched | None, *, role: str) -> str | None:
    """Say why somebody with this role may not have the process killed: only the successor of its own component
    and Solution Control may.
    """
    if entry is None:
        return "that process has not registered with this agent"
    if role not in (entry.component, "solution-control"):
        return f"a certificate of role {role} may not kill a process of component {entry.component or 'none'}"
    return None

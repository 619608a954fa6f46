"""How long a new license takes to be everywhere: from its commit, by the times that database and events carry.

The times are wall times of one host, so that it says nothing about servers on several.
"""

from __future__ import annotations

from confapi.license.v1 import license_pb2
from confclient.rpcs import GET_LICENSE
from confcluster.report import Report
from confcluster.stage import Stage

COMPLIANT, ENTITLED = "21-25112", "66-25202"
MOST_MS = 2000
"""What B-31 allows on one host, in milliseconds."""


async def measure_renewal(stage: Stage, report: Report) -> None:
    """Claim and note when the messages of expiry ended, and when LRM had built the entitlement (B-31)."""
    newest = (await stage.ask("confserv", GET_LICENSE, license_pb2.GetLicenseRequest())).revision

    async def entitled() -> list[int]:
        events = await stage.events(ENTITLED)
        return [e.time_ms for e in events if e.attributes["license_revision"] == str(newest.revision)]

    await stage.until(
        entitled, within_s=10, what=f"{ENTITLED} of revision {newest.revision} in the central log"
    )
    ended_ms = (await stage.events(COMPLIANT))[-1].time_ms - newest.stored_ms
    had_ms = (await entitled())[0] - newest.stored_ms
    report.claim(
        f"both within {MOST_MS} ms of the commit",
        holds=max(ended_ms, had_ms) <= MOST_MS,
        detail=f"{ended_ms} ms, {had_ms} ms",
    )
    report.figure(
        "from the commit of a new license: messages ended / LRM had it", f"{ended_ms} ms / {had_ms} ms"
    )

"""The seven steps of `make demo`: the main job of the system, on real parts, each claim checked (cli.md).

A step does what an operator or a vendor would do, then states what must be so; a claim that does not hold ends the
story. Figures are measured from outside, by clients. The steps follow each other: each stands on the one before.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from confapi.control.v1 import control_pb2
from confapi.license.v1 import license_pb2
from confapi.usage.v1 import usage_pb2
from confclient.rpcs import GET_ENTITLEMENT, SWITCH_OVER_APPLICATION
from confcluster.load import Load
from confcluster.registration import WantedApplication
from confcluster.renewal import COMPLIANT, measure_renewal
from confcluster.report import Report
from confcluster.shops import FOLLOWING, PACKAGE, SHOPS, USING, Shop, gaps
from confcluster.stage import Stage, last_line, numbers
from confcluster.vendor import KEY_ID, VENDOR_NAME, license_text

CONNECTED, REFUSED, DISCONNECTED = "21-25100", "21-25101", "21-25102"
EXPIRED = "21-25111"
SEATS = 6
LOG_INTERVAL_S = 1.0
_USE_S = 2.0
_FLOW_WRITES = 60


class Story:
    """Plays the steps on a stage, and reports."""

    def __init__(self, stage: Stage, report: Report) -> None:
        """`stage` has a cluster that is planned, of which nothing runs."""
        self._stage = stage
        self._report = report
        self._shops: list[Shop] = []
        self._license = stage.cluster.vendor.directory / "demo.lic"

    @property
    def steps(self) -> tuple[tuple[str, Callable[[], Awaitable[None]]], ...]:
        """Titles and steps, in order."""
        return (
            ("A vendor makes a signing key and signs a license", self._vendor),
            (
                "Nothing serves without a license, and no license is taken that was tampered with",
                self._license_first,
            ),
            ("Servers start; a business application waits until LRM has been seen", self._first_startup),
            (
                "Configuration is written and followed while the primary is killed and switched over",
                self._switchover,
            ),
            ("Applications use more than is entitled, and the report shows it", self._over_use),
            ("The license expires, everything is served, a new license ends it", self._expiry),
            ("LRM goes away and comes back", self._lrm_away),
        )

    # 1

    async def _vendor(self) -> None:
        vendor = self._stage.cluster.vendor.directory
        today = dt.datetime.now(dt.UTC).date()
        text = license_text(issued=today, expires=today + dt.timedelta(days=365), comment="made by the demo")
        self._license.write_text(text)
        signed = await self._stage.run(
            "licgen", "sign", self._license, "--key", vendor / "vendor.key", "--no-passphrase"
        )
        self._report.claim(
            f"licgen signs every line with the key {KEY_ID} of the vendor {VENDOR_NAME}",
            holds=signed.returncode == 0,
            detail=signed.stderr,
        )
        verified = await self._stage.run("licgen", "verify", self._license, "--trust", vendor / "trust.toml")
        self._report.claim(
            "licgen verifies it with nothing but the public key",
            holds=verified.returncode == 0 and "verified" in verified.stdout,
            detail=verified.stderr,
        )
        self._report.say(last_line(verified.stdout))

    # 2

    async def _license_first(self) -> None:
        stage, report = self._stage, self._report
        await asyncio.to_thread(stage.cluster.start_parts)
        refused = await self._start_by_hand()
        report.claim(
            "confserv does not start without a license: exit status 3, and names the command to run",
            holds=refused.returncode == 3 and "confserv -license" in refused.stderr,
            detail=refused.stderr,
        )
        report.say(last_line(refused.stderr))
        tampered = self._license.with_name("tampered.lic")
        tampered.write_bytes(self._license.read_bytes().replace(b" 3 ISSUED", b" 9 ISSUED"))
        refused = await stage.upload(tampered)
        where = f"{tampered}:"
        report.claim(
            "a file in which a 3 was made a 9 is refused: exit status 2, with line and column",
            holds=refused.returncode == 2 and where in refused.stderr,
            detail=refused.stderr,
        )
        report.say(next(line for line in refused.stderr.splitlines() if where in line))
        still = await self._start_by_hand()
        report.claim("the database is as it was", holds=still.returncode == 3, detail=still.stderr)
        loaded = await stage.upload(self._license)
        report.claim(
            "confserv -license stores the genuine file", holds=loaded.returncode == 0, detail=loaded.stderr
        )
        for line in loaded.stdout.strip().splitlines():
            report.say(line.rstrip())

    async def _start_by_hand(self) -> subprocess.CompletedProcess[str]:
        cluster = self._stage.cluster
        command = cluster.topology.command(cluster.topology.of("confserv")[0], python=sys.executable)
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
        )

    # 3

    async def _first_startup(self) -> None:
        stage, report = self._stage, self._report
        await stage.start("confserv-1", "confserv-2")
        await stage.until_pair()
        report.claim("a primary and a warm backup serve over one database", holds=True)
        await stage.cluster.register_beside()
        await stage.cluster.register_beside([WantedApplication(name, "GENERIC_SERVER") for name in SHOPS[1:]])
        await stage.start("lca")
        await stage.start("message-server-1", "solution-control-1")
        await self._infrastructure_first()
        (shop,) = self._shops = [await stage.open_shop(SHOPS[0], *FOLLOWING)]
        await stage.until(lambda: self._logged(REFUSED), within_s=30, what="21-25101 in the central log")
        (refusal, *_) = await stage.events(REFUSED)
        report.claim(
            f"the business application {SHOPS[0]} is refused: {REFUSED} {refusal.text}",
            holds=shop.session() in {"", "waiting"} and not shop.has_ended(),
            detail=shop.handle.log(lines=3),
        )
        process = shop.handle.key
        await stage.start("lrm-1", "licman-1")
        await stage.until(lambda: self._logged(CONNECTED), within_s=15, what="21-25100 in the central log")
        (connected, *_) = await stage.events(CONNECTED)
        report.claim(f"LRM starts: {CONNECTED} {connected.text}", holds=True)
        await stage.until_shops([shop], Shop.is_in, within_s=15, what=f"{SHOPS[0]} has a session")
        (opened, *_) = [line for line in shop.told("session") if line["state"] == "open"]
        report.claim(
            "the same process is let in with no restart of anything; stage OPERATIONAL",
            holds=(await stage.compliance()).stage == "OPERATIONAL" and shop.handle.key == process,
        )
        waited_s = (opened["time_ms"] - connected.time_ms) / 1000
        report.figure("an application that waits is let in after LRM was seen, within", f"{waited_s:.1f} s")

    async def _infrastructure_first(self) -> None:
        stage, report = self._stage, self._report
        status = await stage.tool("administrator", "status", "--json")
        shown = json.loads(status.stdout) if status.returncode == 0 else {}
        connected = {session["application"] for session in shown.get("sessions", ())}
        report.claim(
            "Administrator, Message Server and Solution Control have sessions in stage FIRST_STARTUP",
            holds=shown.get("stage") == "first_startup"
            and {"administrator", "message-server-1", "solution-control-1"} <= connected,
            detail=status.stderr or status.stdout,
        )
        package = stage.cluster.directory / f"{SHOPS[0]}.toml"
        package.write_text(PACKAGE)
        done = await stage.tool("itc", "install", package)
        report.claim(
            f"ITC installs the package of {SHOPS[0]} in one transaction",
            holds=done.returncode == 0,
            detail=done.stderr,
        )
        report.say(last_line(done.stdout))

    async def _logged(self, number: str, *, times: int = 1) -> bool:
        return len(await self._stage.events(number)) >= times

    # 4

    async def _switchover(self) -> None:
        stage = self._stage
        self._shops += [await stage.open_shop(name, *FOLLOWING) for name in SHOPS[1:]]
        await stage.until_shops(self._shops, Shop.follows, within_s=30, what="three applications that follow")
        load = Load(stage.cluster.endpoints("confserv"), stage.cluster.tls("administrator"), followers=0)
        async with load:
            await load.until_flowing(writes=_FLOW_WRITES)
            killed = await self._kill_primary(load)
            await stage.start(killed)
            await stage.until_pair()
            await load.until_flowing(writes=_FLOW_WRITES)
            await self._hand_over(load)
            await load.until_flowing(writes=_FLOW_WRITES)
        await self._judge(load)

    async def _kill_primary(self, load: Load) -> str:
        stage, report = self._stage, self._report
        killed = await stage.primary()
        began_s = time.monotonic()
        stage.cluster.handles[killed].kill()
        await load.until_flowing(writes=_FLOW_WRITES)
        gap_ms = 1000 * load.longest_gap_s(since_s=began_s)
        successor = await stage.primary()
        report.claim(
            f"{killed} is killed with -9, {successor} takes over",
            holds=bool(successor) and successor != killed,
            detail=f"primary is {successor or 'nobody'}",
        )
        report.figure("kill -9 of the primary: longest gap between acknowledged writes", f"{gap_ms:.0f} ms")
        return killed

    async def _hand_over(self, load: Load) -> None:
        stage, report = self._stage, self._report
        former = await stage.primary()
        began_s = time.monotonic()
        answer = await stage.ask(
            "solution-control",
            SWITCH_OVER_APPLICATION,
            control_pb2.SwitchOverApplicationRequest(application=former, reason="demo"),
        )
        await load.until_flowing(writes=_FLOW_WRITES)
        gap_ms = 1000 * load.longest_gap_s(since_s=began_s)
        now = await stage.primary()
        report.claim(
            f"a planned switchover by Solution Control makes {answer.primary} primary",
            holds=answer.primary == now != former,
            detail=f"primary is {now or 'nobody'}",
        )
        report.figure("planned switchover: longest gap between acknowledged writes", f"{gap_ms:.0f} ms")

    async def _judge(self, load: Load) -> None:
        stage, report = self._stage, self._report
        judged = await load.judge()
        written = {shop.handle.name: shop.told("written") for shop in self._shops}
        revisions = [attempt.revision for attempt in load.attempts if attempt.revision]
        revisions += [line["revision"] for lines in written.values() for line in lines]
        last = max(revisions)
        await stage.until_shops(
            self._shops,
            lambda shop: shop.told_up_to() >= last,
            within_s=20,
            what="applications have caught up",
        )
        failed = [line for shop in self._shops for line in shop.told("write_failed", "read_again")]
        report.claim(
            f"{len(revisions)} acknowledged writes: each is in the change log exactly once, none failed",
            holds=not judged.violations and judged.unknown == judged.refused == 0 and not failed,
            detail="; ".join(map(str, [*judged.violations[:3], *failed[:3], *load.troubles[:3]])),
        )
        missed = [gap for shop in self._shops for gap in gaps(shop, revisions)]
        told = sum(len(shop.told("change")) for shop in self._shops)
        report.claim(
            f"{told} notifications to {len(self._shops)} applications: each once, in order, without a gap",
            holds=not missed,
            detail="; ".join(missed[:3]),
        )
        report.claim(
            f"{judged.reads} reads: none was older than an acknowledged write", holds=judged.reads > 0
        )
        report.figure("writes acknowledged / lost / doubled", f"{len(revisions)} / 0 / 0")
        report.figure("notifications delivered / missed", f"{told} / 0")
        for shop in self._shops:
            await asyncio.to_thread(shop.handle.stop)

    # 5

    async def _over_use(self) -> None:
        stage, report = self._stage, self._report
        shops = [await stage.open_shop(name, *USING, run="-use") for name in SHOPS]
        await stage.until_shops(
            shops,
            lambda shop: shop.told("use_started"),
            within_s=30,
            what="three applications use voice_seat",
        )
        await asyncio.sleep(_USE_S)
        await asyncio.gather(*(asyncio.to_thread(shop.handle.stop) for shop in shops))
        flushed = [line["complete"] for shop in shops for line in shop.told("usage_flushed")]
        report.claim(
            f"{len(shops)} applications use {SEATS} seats of voice_seat at once, and report it",
            holds=flushed == [True] * len(shops),
            detail="; ".join(shop.handle.log(lines=2) for shop in shops),
        )
        outcomes = sorted(line["event"] for shop in shops for line in shop.told("checked_out", "denied"))
        report.claim(
            "of three that check report_designer out, of which there are 2, two hold it and one is denied",
            holds=outcomes == ["checked_out", "checked_out", "denied"],
            detail=str(outcomes),
        )
        await stage.until(self._over_use_reported, within_s=15, what=f"a report with a peak of {SEATS}")
        (row,) = [row for row in await self._report_rows() if row["tenant"]]
        report.claim(
            f"the report shows a peak of {row['peak']} of {row['entitled']} entitled, {row['over_use']} beyond it",
            holds=(row["peak"], row["entitled"], row["over_use"]) == (SEATS, 3, SEATS - 3),
            detail=json.dumps(row),
        )
        shown = await stage.tool("confctl", "usage", "report")
        for line in shown.stdout.strip().splitlines():
            report.say(line.rstrip())
        report.figure(
            "voice_seat: peak / entitled / beyond it",
            f"{row['peak']} / {row['entitled']} / {row['over_use']}",
        )

    async def _report_rows(self) -> list[dict[str, object]]:
        answer = await self._stage.tool("confctl", "-o", "json", "usage", "report", "--item", "voice_seat")
        rows: list[dict[str, object]] = json.loads(answer.stdout)["rows"] if answer.returncode == 0 else []
        return rows

    async def _over_use_reported(self) -> bool:
        return any(row["peak"] == SEATS for row in await self._report_rows())

    # 6

    async def _expiry(self) -> None:
        stage, report = self._stage, self._report
        expired = await asyncio.to_thread(stage.cluster.license_file, expires_in_days=-1, name="expired.lic")
        refused = await stage.upload(expired)
        report.claim(
            "an expired file is refused by itself", holds=refused.returncode == 2, detail=refused.stderr
        )
        loaded = await stage.upload(expired, "--accept-expired")
        report.claim("with --accept-expired it is loaded", holds=loaded.returncode == 0, detail=loaded.stderr)
        await stage.until(
            lambda: self._logged(EXPIRED, times=3), within_s=15, what="three messages of expiry"
        )
        (event, *_) = await stage.events(EXPIRED)
        report.claim(f"the message repeats each second: {EXPIRED} {event.text}", holds=True)
        await self._still_serves()
        file = await asyncio.to_thread(stage.cluster.license_file, expires_in_days=400, name="renewed.lic")
        loaded = await stage.upload(file)
        report.claim("a new file is loaded", holds=loaded.returncode == 0, detail=loaded.stderr)
        await stage.until(lambda: self._logged(COMPLIANT), within_s=10, what="21-25112 in the central log")
        await stage.until(self._lrm_has_newest, within_s=10, what="LRM works from the new revision")
        report.claim("LRM works from the new license", holds=True)
        repeated = len(await stage.events(EXPIRED))
        await asyncio.sleep(1.5 * LOG_INTERVAL_S)  # time in which another message would come
        report.claim(
            "the messages end, and the state is in compliance",
            holds=(await stage.compliance()).compliance == license_pb2.COMPLIANCE_OK
            and len(await stage.events(EXPIRED)) == repeated,
            detail=str(await stage.compliance()),
        )
        await measure_renewal(stage, report)

    async def _still_serves(self) -> None:
        stage = self._stage
        async with Load(
            stage.cluster.endpoints("confserv"),
            stage.cluster.tls("administrator"),
            name="expired",
            writers=1,
            followers=0,
        ) as load:
            await load.until_flowing(writes=5)
        self._report.claim(
            "clients are served all the same", holds=not load.troubles, detail="; ".join(load.troubles[:3])
        )

    async def _lrm_has_newest(self) -> bool:
        newest = await self._stage.ask("lrm", GET_ENTITLEMENT, usage_pb2.GetEntitlementRequest())
        return newest.license_revision == 3

    # 7

    async def _lrm_away(self) -> None:
        stage, report = self._stage, self._report
        await asyncio.to_thread(stage.cluster.handles["lrm-1"].stop)
        await stage.until(lambda: self._logged(DISCONNECTED), within_s=15, what="21-25102 in the central log")
        (gone, *_) = await stage.events(DISCONNECTED)
        report.claim(f"LRM is stopped: {DISCONNECTED} {gone.text}", holds=True)
        shop = await stage.open_shop(SHOPS[1], "--run-for", "0.5", run="-again")
        await stage.until_shops([shop], Shop.has_ended, within_s=30, what=f"{SHOPS[1]} has ended")
        report.claim(
            "a business application is let in all the same",
            holds="open" in {line["state"] for line in shop.told("session")},
            detail=shop.handle.log(lines=3),
        )
        before = len(await stage.events(CONNECTED))
        await stage.start("lrm-1")
        await stage.until(
            lambda: self._logged(CONNECTED, times=before + 1), within_s=15, what="21-25100 in the central log"
        )
        order = numbers(await stage.events(CONNECTED, REFUSED, DISCONNECTED))
        report.claim(
            f"LRM returns: {CONNECTED}; the central log has the events in this order: {' → '.join(order)}",
            holds=order == [REFUSED, CONNECTED, DISCONNECTED, CONNECTED],
            detail=" → ".join(order),
        )

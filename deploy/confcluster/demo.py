"""`make demo`: plays the story on a cluster of its own, checks each claim, stops everything, and says how it went."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from confcluster.cluster import Cluster, ClusterError
from confcluster.programs import installed
from confcluster.report import ClaimBroken, Report
from confcluster.stage import Stage
from confcluster.story import LOG_INTERVAL_S, Story
from confcluster.topology import Options
from confcluster.vendor import KEY_ID, VENDOR_NAME

DONE, FAILED = 0, 1
_EXTRA = {"confserv": {"license_log_interval_s": LOG_INTERVAL_S}}


def demo(*, directory: Path | None, database: str, keep: bool) -> int:
    """Play the story and give the exit status: 0 only if every claim held.

    Args:
        directory: where the cluster lies; None: a temporary one, which is removed when all went well.
        database: sqlite or postgresql.
        keep: leave the directory there in any case.
    """
    console = Console() if sys.stdout.isatty() else Console(width=120, highlight=False, force_terminal=False)
    report = Report(console)
    place = directory or Path(tempfile.mkdtemp(prefix="confserv-demo-"))
    if (place / "cluster.json").exists():
        raise ClusterError(f"{place} already holds a cluster; choose another directory, or remove it")
    made = _prepare_vendor(place / "vendor")
    if made.returncode != 0:
        raise ClusterError(f"licgen keygen failed: {made.stderr.strip()}")
    options = Options(cluster="demo", database=database, extra=_EXTRA)
    cluster = Cluster.create(place, options, say=report.say)
    status = FAILED
    try:
        status = asyncio.run(_play(cluster, report))
    except KeyboardInterrupt:
        console.print("interrupted")
    finally:
        cluster.say = lambda line: None
        cluster.down()
    if status == DONE and directory is None and not keep:
        shutil.rmtree(place, ignore_errors=True)
    else:
        console.print(f"everything is kept in {place}", soft_wrap=True)
    return status


def _prepare_vendor(directory: Path) -> subprocess.CompletedProcess[str]:
    """Make the vendor's key with `licgen keygen`, as a vendor would, before the cluster is planned."""
    directory.mkdir(parents=True, mode=0o700)
    key, trust = directory / "vendor.key", directory / "trust.toml"
    arguments = ["--key-id", KEY_ID, "--vendor", VENDOR_NAME, "--trust", str(trust), "--no-passphrase"]
    command = [installed("licgen"), "keygen", str(key), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def _play(cluster: Cluster, report: Report) -> int:
    stage = Stage(cluster)
    try:
        for number, (title, step) in enumerate(Story(stage, report).steps, start=1):
            with report.step(number, title):
                await step()
    except Exception as error:
        report.broken(error)
        if not isinstance(error, ClaimBroken):
            report.console.print_exception()
        return FAILED
    finally:
        await stage.close()
    report.summary()
    return DONE

"""The fence row as a text, for stores that are no SQL database of ours and for the copy beside a locked
file."""

from __future__ import annotations

import json
from dataclasses import asdict

from confkit.election.types import Epoch, EtcdIdentity, InstanceName
from confkit.fence import FenceRow


def to_text(row: FenceRow) -> str:
    """The row as JSON; equal rows give equal texts."""
    return json.dumps(asdict(row), sort_keys=True)


def from_text(text: str) -> FenceRow:
    """The row that `to_text` wrote. Raises ValueError when it is something else."""
    try:
        values = json.loads(text)
        values["token"] = Epoch(**values["token"])
        values["etcd_identity"] = EtcdIdentity(values["etcd_identity"])
        values["instance"] = InstanceName(values["instance"])
        return FenceRow(**values)
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a fence row: {error}") from error

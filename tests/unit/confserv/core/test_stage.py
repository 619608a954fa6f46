"""The startup stage only goes forward."""

from __future__ import annotations

import pytest

from confserv.core.applications import ApplicationType
from confserv.core.stage import Stage, later

FIRST, OPERATIONAL = Stage.FIRST_STARTUP, Stage.OPERATIONAL


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # B-10, I-7
        (FIRST, FIRST, FIRST),
        (FIRST, OPERATIONAL, OPERATIONAL),
        (OPERATIONAL, FIRST, OPERATIONAL),
        (OPERATIONAL, OPERATIONAL, OPERATIONAL),
    ],
)
def test_of_two_stages_the_later_counts(one: Stage, other: Stage, expected: Stage) -> None:
    assert expected is later(one, other)


@pytest.mark.parametrize("application_type", ApplicationType, ids=lambda one: one.name.lower())
def test_the_operational_stage_accepts_every_type(application_type: ApplicationType) -> None:
    # B-13
    assert OPERATIONAL.accepts(application_type)

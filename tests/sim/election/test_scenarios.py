"""Each file of tests/sim/scenarios is one execution that once broke an earlier text of `ha.md`, or one that
people ask about.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sim.election.scenario import play, scenarios


@pytest.mark.parametrize("path", scenarios(), ids=lambda path: path.stem.replace("_", " "))
def test_scenario(path: Path) -> None:
    # ha.md, What a model of this text has shown; B-50, B-51; each file names its sentence
    text = path.read_text()
    played = play(text)
    if os.environ.get("CONFSERV_REWRITE"):
        path.write_text(played)
    assert text == played or os.environ.get("CONFSERV_REWRITE"), (
        f"the transcript of {path.name} has changed:\n{played}"
    )


def test_every_scenario_says_which_sentence_it_is_about() -> None:
    # style.md, 6: scenario transcripts
    assert [] == [path.name for path in scenarios() if "ha.md" not in path.read_text().splitlines()[0]]


def test_an_unknown_word_is_refused() -> None:
    # B-60
    with pytest.raises(ValueError, match="'fly' is no word of a scenario"):
        play("servers ab\nfly a\n")

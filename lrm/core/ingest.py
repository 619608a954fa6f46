"""Which reported facts are new, which change something, which are refused.

Why: sources report at least once, from spools that repeat after every failure, so taking a fact twice has
to be the same as taking it once. The rules stand here once; the stores only look up what is known and carry
out the verdict.

Rules: the key of a session is (source, id). The same version with the same content repeats; the same
version with other content is refused; a lower version is behind what is known and changes nothing; a higher
version replaces it. If all that a higher version adds is signs of life and the end of a session that was
still running, it completes the session; otherwise it corrects it, and what it replaces is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from lrm.core.sessions import SessionFact, SourceId, fault_of


class Verdict(StrEnum):
    """What is done with one fact."""

    NEW = "new"
    COMPLETION = "completion"
    CORRECTION = "correction"
    REPEAT = "repeat"
    BEHIND = "behind"
    REFUSED = "refused"


STORED = frozenset({Verdict.NEW, Verdict.COMPLETION, Verdict.CORRECTION})
"""The verdicts after which the fact is what is known of its session."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, with a sentence for the sender when the fact is refused."""

    verdict: Verdict
    reason: str = ""


def judge(known: SessionFact | None, fact: SessionFact) -> Judgement:
    """Decide about a fact, given what is known of its session."""
    fault = fault_of(fact)
    if fault is not None:
        return Judgement(Verdict.REFUSED, fault)
    if known is None:
        return Judgement(Verdict.NEW)
    if fact.version < known.version:
        return Judgement(Verdict.BEHIND)
    if fact.version == known.version:
        return _judge_same_version(known, fact)
    return Judgement(Verdict.COMPLETION if _completes(known, fact) else Verdict.CORRECTION)


def _judge_same_version(known: SessionFact, fact: SessionFact) -> Judgement:
    if fact == known:
        return Judgement(Verdict.REPEAT)
    return Judgement(
        Verdict.REFUSED,
        f"version {fact.version} of session {fact.id} is known with other content: "
        "send a correction under a higher version",
    )


def _completes(known: SessionFact, fact: SessionFact) -> bool:
    if known.end_ms is not None:
        return False
    unfinished = replace(
        fact,
        version=known.version,
        end_ms=None,
        last_seen_ms=known.last_seen_ms,
        attributes=known.attributes,
    )
    return unfinished == known


@dataclass(frozen=True, slots=True)
class Batch:
    """Facts that a source sends together, under the next number of its own sequence (from 1)."""

    source: SourceId
    sequence: int
    digest: bytes
    facts: tuple[SessionFact, ...]


class BatchVerdict(StrEnum):
    """What is done with a batch as a whole."""

    TAKE = "take"
    REPEAT = "repeat"
    REFUSE = "refuse"


def judge_batch(known_digest: bytes | None, batch: Batch) -> BatchVerdict:
    """Decide about a batch, given the digest under which its sequence number is known, or None.

    A number that was used for other facts is refused: a spool that was lost has begun again under a
    source's old name, and taking its batch for a repetition would lose it silently.
    """
    if known_digest is None:
        return BatchVerdict.TAKE
    return BatchVerdict.REPEAT if known_digest == batch.digest else BatchVerdict.REFUSE


@dataclass(frozen=True, slots=True)
class RefusedFact:
    """A fact of a batch that was not taken, by its position in the batch (from 0), with the reason."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch, for its acknowledgement: counts by verdict, and each refused fact.

    `ingest_number` is the highest number that a fact of the store had when this was committed.
    """

    verdict: BatchVerdict
    ingest_number: int = 0
    stored: int = 0
    completed: int = 0
    corrected: int = 0
    repeated: int = 0
    refused: tuple[RefusedFact, ...] = ()


def result_of(judgements: list[Judgement], *, ingest_number: int) -> BatchResult:
    """Count the judgements of a batch that was taken."""
    counts = dict.fromkeys(Verdict, 0)
    for judgement in judgements:
        counts[judgement.verdict] += 1
    refused = tuple(
        RefusedFact(position, judgement.reason)
        for position, judgement in enumerate(judgements)
        if judgement.verdict is Verdict.REFUSED
    )
    return BatchResult(
        verdict=BatchVerdict.TAKE,
        ingest_number=ingest_number,
        stored=sum(counts[verdict] for verdict in STORED),
        completed=counts[Verdict.COMPLETION],
        corrected=counts[Verdict.CORRECTION],
        repeated=counts[Verdict.REPEAT] + counts[Verdict.BEHIND],
        refused=refused,
    )

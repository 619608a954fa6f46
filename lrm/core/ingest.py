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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from lrm.core.closing import event_ms
from lrm.core.sessions import SessionFact, SessionId, SourceId, fault_of


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


SessionKey = tuple[SourceId, SessionId]


def key_of(fact: SessionFact) -> SessionKey:
    """What names a session: ids are unique in their source only."""
    return (fact.source, fact.id)


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
    OUT_OF_SEQUENCE = "out_of_sequence"


def judge_batch(batch: Batch, *, last_sequence: int, known_digest: bytes | None) -> BatchVerdict:
    """Decide about a batch, given the last number of its source and the digest known for its own number.

    A number that was used for other facts is out of sequence, like one that leaves a gap: a spool that was
    lost has begun again under its source's old name, and taking its batch for a repetition would lose it
    silently.
    """
    if batch.sequence == last_sequence + 1:
        return BatchVerdict.TAKE
    if 1 <= batch.sequence <= last_sequence and known_digest == batch.digest:
        return BatchVerdict.REPEAT
    return BatchVerdict.OUT_OF_SEQUENCE


@dataclass(frozen=True, slots=True)
class RefusedFact:
    """A fact of a batch that was not taken, with the reason; the rest of the batch is."""

    id: SessionId
    reason: str
    known: bool
    """True when it contradicts what is known of its session, False when it is unusable in itself."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch, for its acknowledgement: counts by verdict, and each refused fact.

    `expected_sequence` is the number that the source has to use next.
    """

    verdict: BatchVerdict
    expected_sequence: int
    stored: int = 0
    completed: int = 0
    corrected: int = 0
    repeated: int = 0
    refused: tuple[RefusedFact, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What a store knows of the batches and sessions that it is about to take; it may hold more than
    needed."""

    sessions: Mapping[SessionKey, SessionFact]
    digests: Mapping[tuple[SourceId, int], bytes]
    last_sequences: Mapping[SourceId, int]
    ingest_number: int
    clocks: Mapping[SourceId, int] = field(default_factory=dict)
    """The latest event time of each source, in milliseconds since 1970 UTC (`lrm.core.closing`)."""


@dataclass(frozen=True, slots=True)
class StoredFact:
    """A fact with the number under which it was taken; numbers grow by one with each."""

    ingest_number: int
    fact: SessionFact


@dataclass(frozen=True, slots=True)
class ReplacedFact:
    """A fact that a correction replaced, with the number of the correction."""

    replaced_by: int
    fact: SessionFact


@dataclass(frozen=True, slots=True)
class Plan:
    """What one transaction has to write, and what to answer once it is durable.

    `stored` is the last version of each session that changed; `results` are in the order of the batches;
    `clocks` are those that went on.
    """

    results: tuple[BatchResult, ...]
    taken: tuple[Batch, ...]
    stored: tuple[StoredFact, ...]
    replaced: tuple[ReplacedFact, ...]
    clocks: Mapping[SourceId, int]
    ingest_number: int


def plan_commit(batches: Sequence[Batch], known: Known, *, received_ms: int) -> Plan:
    """Decide about batches that are committed together, each after those before it.

    The same facts give the same store however they are grouped into commits.
    """
    planning = _Planning(known, received_ms=received_ms)
    results = tuple(planning.add(batch) for batch in batches)
    return Plan(
        results=results,
        taken=tuple(planning.taken),
        stored=tuple(planning.stored.values()),
        replaced=tuple(planning.replaced),
        clocks=planning.clocks,
        ingest_number=planning.ingest_number,
    )


class _Planning:
    """The state of one plan while it grows: what is known, with the earlier batches of the commit laid over
    it."""

    def __init__(self, known: Known, *, received_ms: int) -> None:
        self._known = known
        self._received_ms = received_ms
        self._sequences = dict(known.last_sequences)
        self._digests: dict[tuple[SourceId, int], bytes] = {}
        self.ingest_number = known.ingest_number
        self.stored: dict[SessionKey, StoredFact] = {}
        self.replaced: list[ReplacedFact] = []
        self.taken: list[Batch] = []
        self.clocks: dict[SourceId, int] = {}

    def add(self, batch: Batch) -> BatchResult:
        last = self._sequences.get(batch.source, 0)
        number = (batch.source, batch.sequence)
        digest = self._digests.get(number) or self._known.digests.get(number)
        verdict = judge_batch(batch, last_sequence=last, known_digest=digest)
        if verdict is BatchVerdict.TAKE:
            return self._take(batch)
        repeated = len(batch.facts) if verdict is BatchVerdict.REPEAT else 0
        return BatchResult(verdict=verdict, expected_sequence=last + 1, repeated=repeated)

    def _take(self, batch: Batch) -> BatchResult:
        self._sequences[batch.source] = batch.sequence
        self._digests[batch.source, batch.sequence] = batch.digest
        self.taken.append(batch)
        counts = dict.fromkeys(Verdict, 0)
        refused = []
        for fact in batch.facts:
            judgement = self._fact(fact)
            counts[judgement.verdict] += 1
            if judgement.verdict is Verdict.REFUSED:
                refused.append(RefusedFact(fact.id, judgement.reason, known=fault_of(fact) is None))
        return BatchResult(
            verdict=BatchVerdict.TAKE,
            expected_sequence=batch.sequence + 1,
            stored=sum(counts[verdict] for verdict in STORED),
            completed=counts[Verdict.COMPLETION],
            corrected=counts[Verdict.CORRECTION],
            repeated=counts[Verdict.REPEAT] + counts[Verdict.BEHIND],
            refused=tuple(refused),
        )

    def _fact(self, fact: SessionFact) -> Judgement:
        key = key_of(fact)
        earlier = self.stored.get(key)
        known = earlier.fact if earlier is not None else self._known.sessions.get(key)
        judgement = judge(known, fact)
        if judgement.verdict in STORED:
            self.ingest_number += 1
            self.stored[key] = StoredFact(self.ingest_number, fact)
            if known is not None and judgement.verdict is Verdict.CORRECTION:
                self.replaced.append(ReplacedFact(self.ingest_number, known))
            self._clock(fact)
        return judgement

    def _clock(self, fact: SessionFact) -> None:
        latest_ms = event_ms(fact, received_ms=self._received_ms)
        if latest_ms > (self.clocks.get(fact.source) or self._known.clocks.get(fact.source, 0)):
            self.clocks[fact.source] = latest_ms

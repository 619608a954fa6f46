"""What a deletion takes with it, under tables of types that say so: cascades, clearings, and what stands in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from confserv.core.configuration import Configuration
from confserv.core.log import LogEntry
from confserv.core.objects import Key, TypeName
from confserv.core.operations import Operation
from confserv.core.refusals import Reason, Refused
from confserv.core.rules import Rules
from confserv.core.types import OnDelete
from confserv.core.writes import draft
from tests.support.configurations import (
    CODEC,
    EPOCH,
    NOW_MS,
    RULES,
    an_object,
    create,
    delete,
    environment,
    request_id,
    update,
)

APPLICATION = TypeName("Application")


def rules(*, host: OnDelete, connections: OnDelete = OnDelete.REFUSE, required: bool = False) -> Rules:
    """Give the product's rules with other consequences of a deletion for two fields of applications."""
    spec = RULES.types[APPLICATION]
    fields = {
        **spec.fields,
        "host": replace(spec.fields["host"], on_delete=host, required=required),
        "connections": replace(spec.fields["connections"], on_delete=connections),
    }
    return Rules({**RULES.types, APPLICATION: replace(spec, fields=fields)}, CODEC, RULES.schemas)


def apply(memory: Configuration, under: Rules, *operations: Operation) -> LogEntry:
    """Apply a transaction."""
    made = draft(memory, under, operations, revision=memory.revision + 1)
    entry = LogEntry(
        memory.revision + 1, EPOCH, NOW_MS, "a", request_id(), b"", "", made.changes, made.results
    )
    memory.apply(entry)
    return entry


@pytest.fixture
def memory() -> Configuration:
    """Host 100 has application 100, which 101 connects to, which 102 connects to; 103 is elsewhere."""
    made = Configuration(RULES.scope_of)
    apply(made, RULES, environment())
    apply(
        made,
        RULES,
        create("Host", "rhea", address="a"),
        create("Host", "dione", address="a"),
        create("ApplicationTemplate", "t", application_type=11),
        create("Application", "first", template=-3, host=-1),
        create("Application", "second", template=-3, host=-2, connections=(-4,)),
        create("Application", "third", template=-3, host=-2, connections=(-5,)),
        create("Application", "other", template=-3, host=-2),
    )
    return made


def names(memory: Configuration) -> list[str]:
    """Give the names of the applications that are left."""
    return [record.name for record in memory.objects(APPLICATION)]


def test_a_cascade_goes_on_through_those_it_deletes_in_one_transaction(memory: Configuration) -> None:
    # B-61
    cascading = rules(host=OnDelete.CASCADE, connections=OnDelete.CASCADE)
    entry = apply(memory, cascading, delete("Host", "rhea"))
    assert ["other"] == names(memory)
    assert {Key(TypeName("Host"), 100), *(Key(APPLICATION, n) for n in (100, 101, 102))} == {  # type: ignore[arg-type]
        change.key for change in entry.changes
    }
    assert all(change.after is None for change in entry.changes)


def test_a_cascade_is_refused_as_a_whole_when_one_of_those_it_would_delete_is_referred_to(
    memory: Configuration,
) -> None:
    # B-61: atomically
    with pytest.raises(Refused) as caught:
        apply(memory, rules(host=OnDelete.CASCADE), delete("Host", "rhea"))
    assert Reason.REFERENCED == caught.value.reason
    assert "Application 'second' (101)" == caught.value.facts["referrers"]
    assert ["first", "second", "third", "other"] == names(memory)


def test_what_a_cascade_deletes_is_cleared_from_those_that_stay(memory: Configuration) -> None:
    # B-61
    mixed = rules(host=OnDelete.CASCADE, connections=OnDelete.CLEAR)
    apply(memory, mixed, delete("Host", "rhea"))
    assert ["second", "third", "other"] == names(memory)
    second, third = (CODEC.decode(record.data) for record in list(memory.objects(APPLICATION))[:2])
    assert (None, (101,)) == (second.body.get("connections"), third.body["connections"])
    assert (3, 2) == (second.revision, third.revision)


def test_a_reference_that_must_be_set_is_never_cleared(memory: Configuration) -> None:
    # B-61
    with pytest.raises(Refused, match="'first'"):
        apply(memory, rules(host=OnDelete.CLEAR, required=True), delete("Host", "rhea"))


def test_a_circle_of_cascades_ends(memory: Configuration) -> None:
    # B-61
    circle = an_object("Application", connections=(102,))
    apply(memory, RULES, update("Application", "first", circle, "body.connections"))
    apply(memory, rules(host=OnDelete.REFUSE, connections=OnDelete.CASCADE), delete("Application", "second"))
    assert ["other"] == names(memory)

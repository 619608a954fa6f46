"""Transactions against the rules of the types: what they change, and what refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from confserv.core.configuration import Configuration
from confserv.core.log import LogEntry
from confserv.core.objects import Key
from confserv.core.operations import Create, Operation
from confserv.core.refusals import Reason, Refused
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

SERVER_OPTION = "revision 3"
SCHEMA = '{"required": ["size"], "properties": {"size": {"type": "integer", "minimum": 1}}}'


class World:
    """A configuration to which transactions are applied at once."""

    def __init__(self) -> None:
        self.memory = Configuration(RULES.scope_of)
        self.do(environment())

    def do(self, *operations: Operation) -> list[Any]:
        """Apply a transaction, and give the objects of its answer."""
        revision = self.memory.revision + 1
        made = draft(self.memory, RULES, operations, revision=revision, reserved_value=SERVER_OPTION)
        entry = LogEntry(
            revision, EPOCH, NOW_MS, "administrator/ada", request_id(), b"", "", made.changes, made.results
        )
        self.memory.apply(entry)
        self.last = entry
        return [CODEC.decode(data) for data in made.results]

    def refusal(self, *operations: Operation) -> Refused:
        """Give the refusal of a transaction, which must leave memory as it is."""
        before = {key: self.memory.get(key) for key in self.keys()}
        with pytest.raises(Refused) as caught:
            self.do(*operations)
        assert before == {key: self.memory.get(key) for key in self.keys()}
        return caught.value

    def keys(self) -> list[Key]:
        """All keys."""
        return [record.key for type in self.memory.types() for record in self.memory.objects(type)]

    def names(self, type: str) -> list[str]:
        """The names of all objects of a type, by number."""
        return [record.name for record in self.memory.objects(type)]  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    """Two tenants, two hosts, a Configuration Server, an application that connects to it, and a custom type."""
    made = World()
    made.do(create("Tenant", "North"), create("Tenant", "South"))
    made.do(create("Host", "rhea", address="10.0.0.1"), create("Host", "dione", address="10.0.0.2"))
    made.do(
        create("ApplicationTemplate", "server", application_type=1, version="8.5"),
        create("Application", "confserv", template=-1, host=100),
        create("ApplicationTemplate", "seats", application_type=11),
        create("Application", "router", template=-3, host=101, connections=(-2,), tenants=(100, 101)),
    )
    made.do(create("CustomType", "gadget", json_schema=SCHEMA))
    made.do(create("Folder", "racks", tenant=1, holds="Host"))
    return made


REFUSED = [
    pytest.param(
        create("Bolt", "b"),
        Reason.UNKNOWN_TYPE,
        "'Bolt'",
        id="a type that does not exist, naming those that do",
    ),
    pytest.param(create("Host", "", address="a"), Reason.INVALID, "1 to 255", id="no name"),
    pytest.param(
        create("Host", "x" * 256, address="a"), Reason.INVALID, "has 256", id="a name of 256 characters"
    ),
    pytest.param(
        create("Host", "a\nb", address="a"), Reason.INVALID, "control", id="a name with a line break"
    ),
    pytest.param(
        create("Host", "rhea", address="a"), Reason.ALREADY_EXISTS, "Host 100", id="a name that is taken"
    ),
    pytest.param(
        create("Host", "h"), Reason.INVALID, "body.address: must be set", id="a required field left out"
    ),
    pytest.param(
        create("Host", "h", address="a" * 4097), Reason.INVALID, "at most 4096", id="a text too long"
    ),
    pytest.param(
        create("Host", "h", address="a", agent_port=65536),
        Reason.INVALID,
        "at most 65535",
        id="a number too great",
    ),
    pytest.param(
        create("Host", "h", address="a", agent_port=-1), Reason.INVALID, "at least 0", id="a number too small"
    ),
    pytest.param(
        create("Host", "h", tenant=100, address="a"), Reason.INVALID, "environment", id="a host in a tenant"
    ),
    pytest.param(create("Person", "ada"), Reason.INVALID, "tenant", id="a person in no tenant"),
    pytest.param(
        create("Person", "ada", tenant=7), Reason.NOT_FOUND, "Tenant", id="a person in a tenant that is not"
    ),
    pytest.param(
        create("Host", "h", folder=7, address="a"),
        Reason.NOT_FOUND,
        "Folder",
        id="a folder that does not exist",
    ),
    pytest.param(
        create("Person", "ada", tenant=1, folder=100),
        Reason.INVALID,
        "holds 'Host'",
        id="a folder for another type",
    ),
    pytest.param(
        create("Folder", "f", tenant=100, folder=100, holds="Host"),
        Reason.INVALID,
        "belongs to tenant 1",
        id="a folder of another tenant",
    ),
    pytest.param(
        create("Tenant", "t", folder=100), Reason.INVALID, "folders", id="a type that lies in no folder"
    ),
    pytest.param(
        create("Application", "a", template=7),
        Reason.NOT_FOUND,
        "ApplicationTemplate",
        id="a template that is not",
    ),
    pytest.param(
        create("Application", "a", template=100, connections=(7,)),
        Reason.NOT_FOUND,
        "body.connections",
        id="one of many references missing",
    ),
    pytest.param(
        create("Application", "a", template=101, application_type=5),
        Reason.IMMUTABLE,
        "the server sets it",
        id="a field of the server's own",
    ),
    pytest.param(
        create("ApplicationTemplate", "t", application_type=99),
        Reason.INVALID,
        "99",
        id="a number no enum has",
    ),
    pytest.param(
        create("Application", "a", template=-1), Reason.INVALID, "-1", id="a reference to no operation"
    ),
    pytest.param(
        create("Host", "h", address="a", colour="red"), Reason.INVALID, "colour", id="a field unknown"
    ),
    pytest.param(create("CustomType", "Gadget"), Reason.INVALID, "lowercase", id="a custom type in capitals"),
    pytest.param(
        create("CustomType", "bolt", json_schema="{"),
        Reason.INVALID,
        "not JSON",
        id="a schema that is not JSON",
    ),
    pytest.param(
        create("CustomType", "bolt", json_schema='{"type": 7}'),
        Reason.INVALID,
        "not a JSON Schema",
        id="a schema that is none",
    ),
    pytest.param(
        create("CustomType", "bolt", json_schema='{"$ref": "https://example.org/s"}'),
        Reason.INVALID,
        "never fetched",
        id="a schema that would have to be fetched",
    ),
    pytest.param(create("gadget", "g"), Reason.INVALID, "size", id="a structure that its schema refuses"),
    pytest.param(
        create("Host", "h", address="a", options={"": {"a": "b"}}),
        Reason.INVALID,
        "options",
        id="an unnamed section",
    ),
    pytest.param(
        create("Host", "h", address="a", annex={"s": {"a": "b" * 65_537}}),
        Reason.TOO_LARGE,
        "annex.s.a",
        id="an option too long",
    ),
    pytest.param(update("Host", 7), Reason.NOT_FOUND, "Host 7", id="an update of nothing"),
    pytest.param(
        update("Host", "rhea", an_object("Host"), "body.address", expected_revision=1),
        Reason.STALE_REVISION,
        "has revision 3, not 1",
        id="an update of another revision",
    ),
    pytest.param(
        update("Host", "rhea", an_object("Host"), "body.address"),
        Reason.INVALID,
        "must be set",
        id="a need cleared",
    ),
    pytest.param(
        update("Host", "rhea", an_object("Host"), "colour"),
        Reason.INVALID,
        "no such path",
        id="a path that is none",
    ),
    pytest.param(
        update("Host", "rhea", an_object("Host", tenant=100), "name"),
        Reason.IMMUTABLE,
        "tenant",
        id="another tenant",
    ),
    pytest.param(
        update("Application", "router", an_object("Application", template=100), "body.template"),
        Reason.IMMUTABLE,
        "body.template",
        id="another template",
    ),
    pytest.param(
        update("CustomType", "gadget", an_object("CustomType", "bolt"), "name"),
        Reason.IMMUTABLE,
        "name",
        id="another name of a custom type",
    ),
    pytest.param(
        update("Tenant", "North", an_object("Tenant", parent=100), "body.parent"),
        Reason.INVALID,
        "would lie in itself",
        id="a tenant as its own parent",
    ),
    pytest.param(
        update("Tenant", "North", an_object("Tenant"), "body.parent"),
        Reason.INVALID,
        "body.parent",
        id="no parent",
    ),
    pytest.param(
        delete("Host", "rhea", expected_revision=9), Reason.STALE_REVISION, "not 9", id="a stale deletion"
    ),
    pytest.param(delete("Tenant", 1), Reason.INVALID, "environment", id="the end of the environment"),
    pytest.param(
        delete("Host", "rhea"),
        Reason.REFERENCED,
        "Application 'confserv' (100)",
        id="a host that is referred to",
    ),
    pytest.param(
        delete("Application", "confserv"),
        Reason.REFERENCED,
        "Application 'router'",
        id="an application connected to",
    ),
]


@pytest.mark.parametrize(("operation", "reason", "says"), REFUSED)
def test_refuses(world: World, operation: Operation, reason: Reason, says: str) -> None:
    # B-60, B-61
    refusal = world.refusal(operation)
    assert reason == refusal.reason
    assert says in refusal.message


def test_a_refusal_names_its_operation_and_undoes_those_before_it(world: World) -> None:
    # B-60: nothing is half done
    refusal = world.refusal(create("Host", "mimas", address="a"), create("Host", "rhea", address="a"))
    assert 2 == refusal.facts["operation"]
    assert "operation 2: name: " in refusal.message
    assert ["rhea", "dione"] == world.names("Host")


@pytest.mark.parametrize(
    ("count", "reason"),
    [pytest.param(0, Reason.INVALID, id="none"), pytest.param(1001, Reason.TOO_LARGE, id="1001")],
)
def test_a_transaction_has_1_to_1000_operations(world: World, count: int, reason: Reason) -> None:
    operations = [create("Host", f"h{number}", address="a") for number in range(count)]
    assert reason == world.refusal(*operations).reason


def test_numbers_come_in_order_from_100_and_are_never_used_again(world: World) -> None:
    (made,) = world.do(create("Host", "mimas", address="a"))
    world.do(delete("Host", "mimas"))
    (next_one,) = world.do(create("Host", "mimas", address="a"))
    assert (102, 103) == (made.dbid, next_one.dbid)


def test_what_is_left_out_at_creation_is_filled_in(world: World) -> None:
    (made,) = world.do(create("Application", "copy", template=100))
    assert (1, 1, 0) == (made.state, made.tenant, made.folder)
    assert {"template": 100, "application_type": 1, "version": "8.5"} == made.body
    assert world.memory.revision == made.revision


def test_a_name_is_free_again_once_its_object_is_gone_or_called_otherwise(world: World) -> None:
    # B-61
    world.do(
        update("Host", "rhea", an_object("Host", "tethys"), "name"),
        create("Host", "rhea", address="a"),
        create("Host", "mimas", address="a"),
    )
    world.do(delete("Host", "mimas"), create("Host", "mimas", address="b"))
    assert ["tethys", "dione", "rhea", "mimas"] == world.names("Host")


def test_two_objects_swap_their_names_in_one_transaction(world: World) -> None:
    # B-61
    world.do(
        update("Host", 100, an_object("Host", "swap"), "name"),
        update("Host", 101, an_object("Host", "rhea"), "name"),
        update("Host", 100, an_object("Host", "dione"), "name"),
    )
    assert ["dione", "rhea"] == world.names("Host")
    assert Reason.ALREADY_EXISTS == world.refusal(create("Host", "rhea", address="a")).reason


def test_a_name_in_the_scope_of_its_tenant_may_stand_in_another_tenant_too(world: World) -> None:
    # B-61
    world.do(create("Solution", "calls", tenant=100), create("Solution", "calls", tenant=101))
    assert Reason.ALREADY_EXISTS == world.refusal(create("Solution", "calls", tenant=100)).reason


def test_a_mask_changes_what_it_names_and_nothing_else(world: World) -> None:
    given = an_object("Host", "other", options={"log": {"level": "debug", "file": "x"}}, address="b")
    world.do(
        update(
            "Host",
            "rhea",
            an_object("Host", options={"log": {"level": "info"}, "net": {"a": "b"}}),
            "options",
        )
    )
    (changed,) = world.do(update("Host", "rhea", given, "options.log.level"))
    assert ("rhea", {"log": {"level": "debug"}, "net": {"a": "b"}}) == (changed.name, changed.options)
    (changed,) = world.do(update("Host", "rhea", given, "options.log", "body.address"))
    assert {"log": {"level": "debug", "file": "x"}, "net": {"a": "b"}} == changed.options
    assert {"address": "b"} == changed.body
    (changed,) = world.do(update("Host", "rhea", an_object("Host"), "options.net.a"))
    assert {"log": {"level": "debug", "file": "x"}} == changed.options


def test_a_full_update_replaces_all_but_what_the_server_sets(world: World) -> None:
    given = an_object("Application", "router", template=101, host=100)
    (changed,) = world.do(update("Application", "router", given))
    assert {"template": 101, "application_type": 11, "host": 100} == changed.body


def test_an_update_that_changes_nothing_keeps_the_revision_of_the_object(world: World) -> None:
    # ha.md: a write that changed nothing is recorded too
    (unchanged,) = world.do(update("Host", "rhea", an_object("Host", address="10.0.0.1"), "body.address"))
    assert (3, ()) == (unchanged.revision, world.last.changes)


def test_what_is_made_and_deleted_in_one_transaction_leaves_no_change(world: World) -> None:
    answers = world.do(create("Host", "mimas", address="a"), delete("Host", "mimas"))
    assert ["mimas", "mimas"] == [answer.name for answer in answers]
    assert () == world.last.changes


def test_a_deletion_clears_the_references_that_may_be_cleared_in_the_same_transaction(world: World) -> None:
    # B-61
    world.do(delete("Tenant", "North"))
    router = CODEC.decode(world.memory.get(Key("Application", 101)).data)  # type: ignore[arg-type, union-attr]
    assert (101,) == router.body["tenants"]
    assert [("Application", 101), ("Tenant", 100)] == [tuple(change.key) for change in world.last.changes]


def test_a_deletion_is_refused_while_objects_lie_in_the_tenant_the_folder_or_the_custom_type(
    world: World,
) -> None:
    # B-61
    world.do(
        create("Person", "ada", tenant=101),
        create("Host", "mimas", folder=100, address="a"),
        create("gadget", "g", size=2.0),
    )
    for operation, named in (
        (delete("Tenant", "South"), "Person 'ada'"),
        (delete("Folder", 100), "Host 'mimas'"),
        (delete("CustomType", "gadget"), "gadget 'g'"),
    ):
        refusal = world.refusal(operation)
        assert Reason.REFERENCED == refusal.reason
        assert named in str(refusal.facts["referrers"])


def test_all_that_stands_in_the_way_may_be_deleted_first_in_the_same_transaction(world: World) -> None:
    # B-61
    world.do(delete("Application", "router"), delete("Application", "confserv"), delete("Host", "rhea"))
    assert ["dione"] == world.names("Host")


def test_many_referrers_are_counted_and_some_are_named(world: World) -> None:
    # B-61
    world.do(*(create("Application", f"a{number}", template=101, host=100) for number in range(30)))
    refusal = world.refusal(delete("Host", "rhea"))
    assert 31 == refusal.facts["count"]
    assert "and 11 more" in refusal.message


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(
            create("Application", "second", template=100, options={"confserv": {"license": SERVER_OPTION}}),
            id="a creation with it",
        ),
        pytest.param(
            update(
                "Application",
                "confserv",
                an_object("Application", options={"confserv": {"license": "x"}}),
                "options",
            ),
            id="another value in its section",
        ),
        pytest.param(
            update(
                "Application",
                "confserv",
                an_object("Application", options={"confserv": {"license": "x"}}),
                "options.confserv.license",
            ),
            id="another value by its own path",
        ),
        pytest.param(
            update("Application", "confserv", an_object("Application"), "options.confserv.license"),
            id="a deletion by its own path",
        ),
        pytest.param(
            update(
                "Application",
                "confserv",
                an_object("Application", "confserv", options={"confserv": {"license": "x"}}, template=100),
            ),
            id="another value in a full update",
        ),
    ],
)
def test_the_option_license_of_a_configuration_server_is_nobodys_to_write(
    world: World, operation: Operation
) -> None:
    # B-6
    refusal = world.refusal(operation)
    assert (Reason.OPTION_READ_ONLY, "license") == (refusal.reason, refusal.facts["option"])


def test_the_option_license_unchanged_in_a_full_update_is_accepted_and_not_kept(world: World) -> None:
    # B-6
    given = an_object(
        "Application",
        "confserv",
        options={"confserv": {"license": SERVER_OPTION, "port": "7000"}},
        template=100,
        host=101,
    )
    (changed,) = world.do(update("Application", "confserv", given))
    assert {"confserv": {"port": "7000"}} == changed.options
    (left_out,) = world.do(update("Application", "confserv", an_object("Application", options={}), "options"))
    assert {} == left_out.options


def test_the_option_license_of_any_other_application_is_its_own(world: World) -> None:
    # B-6
    given = an_object("Application", options={"confserv": {"license": "mine"}})
    (changed,) = world.do(update("Application", "router", given, "options"))
    assert {"confserv": {"license": "mine"}} == changed.options


def test_objects_of_a_custom_type_are_checked_by_its_schema_as_it_is_now(world: World) -> None:
    (made,) = world.do(create("gadget", "g", tenant=100, size=2.0, label=None, parts=({"n": 1.0}, "x")))
    assert {"size": 2.0, "label": None, "parts": ({"n": 1.0}, "x")} == made.body
    assert (
        Reason.INVALID
        == world.refusal(update("gadget", 100, an_object("gadget", size=0.5), "body.size")).reason
    )
    world.do(update("CustomType", "gadget", an_object("CustomType"), "body.json_schema"))
    (changed,) = world.do(update("gadget", 100, an_object("gadget", size=0.5), "body.size"))
    assert 0.5 == changed.body["size"]


def test_an_object_of_more_than_a_megabyte_is_refused(world: World) -> None:
    # B-60
    options = {f"s{section}": {f"o{n}": "x" * 60_000 for n in range(9)} for section in range(2)}
    refusal = world.refusal(create("Host", "h", address="a", options=options))
    assert (Reason.TOO_LARGE, 1_048_576) == (refusal.reason, refusal.facts["limit"])


def test_the_server_may_choose_a_number_of_its_own(world: World) -> None:
    (made,) = world.do(Create(an_object("Application", "first", template=100), dbid=99))  # type: ignore[arg-type]
    assert 99 == made.dbid

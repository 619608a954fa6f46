"""Objects as messages: what goes in comes out, and the table of types is what the protos say."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from confapi.config.v1 import objects_pb2
from confserv.adapters.json_schema import JsonSchemas
from confserv.core.objects import Dbid, Key, NameScope, Reference, State, TypeName
from confserv.core.refusals import Refused
from confserv.core.types import OnDelete
from tests.support.configurations import CODEC, TYPES, an_object

TEXT = st.text(max_size=8)
OPTIONS = st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(name=TEXT, options=OPTIONS, annex=OPTIONS, body=st.dictionaries(TEXT, JSON, max_size=4))
def test_an_object_of_a_custom_type_is_read_as_it_was_written(
    name: str, options: dict[str, dict[str, str]], annex: dict[str, dict[str, str]], body: dict[str, object]
) -> None:
    made = an_object("gadget", name, tenant=3, folder=4, options=options, annex=annex)
    made = made.__class__(
        **{**{f: getattr(made, f) for f in made.__slots__}, "body": body, "state": State.ENABLED}
    )
    record = CODEC.encode(made)
    assert made == CODEC.decode(record.data)
    assert record == CODEC.index(record.data)
    assert record.data == CODEC.encode(CODEC.decode(record.data)).data


def test_a_record_knows_all_that_its_object_refers_to() -> None:
    record = CODEC.encode(
        an_object(
            "Application", "a", tenant=1, folder=7, template=5, host=6, connections=(8, 9), tenants=(1,)
        )
    )
    assert {
        Reference(Key(TypeName(type), Dbid(dbid)), field)
        for type, dbid, field in (
            ("Folder", 7, "folder"),
            ("ApplicationTemplate", 5, "template"),
            ("Host", 6, "host"),
            ("Application", 8, "connections"),
            ("Application", 9, "connections"),
            ("Tenant", 1, "tenants"),
        )
    } == set(record.references)


@pytest.mark.parametrize(("type", "serves"), [(1, True), (2, False), (11, False)])
def test_only_an_application_of_type_configuration_server_carries_the_option_of_the_license(
    type: int, serves: bool
) -> None:
    # B-6
    assert serves is CODEC.encode(an_object("Application", "a", application_type=type)).serves_configuration


def test_the_table_of_types_is_what_the_options_of_the_protos_say() -> None:
    # architecture.md: a new type is a new message and nothing else
    assert {
        "Tenant",
        "Folder",
        "Host",
        "ApplicationTemplate",
        "Application",
        "Solution",
        "Person",
        "CustomType",
    } <= set(TYPES)
    application = TYPES[TypeName("Application")]
    assert (NameScope.ENVIRONMENT, False, True) == (
        application.scope,
        application.in_tenant,
        application.in_folder,
    )
    template, backup = application.fields["template"], application.fields["backup_server"]
    assert ("ApplicationTemplate", True, True) == (template.reference, template.required, template.immutable)
    assert (OnDelete.REFUSE, OnDelete.CLEAR) == (template.on_delete, backup.on_delete)
    assert application.fields["application_type"].server_owned
    assert (0, 86400) == (
        application.fields["startup_timeout_s"].minimum,
        application.fields["startup_timeout_s"].maximum,
    )
    assert (True, 4096) == (
        application.fields["connections"].repeated,
        application.fields["version"].max_length,
    )


def test_every_reference_of_a_type_is_to_a_type_that_exists() -> None:
    targets = {
        field.reference for spec in TYPES.values() for field in spec.fields.values() if field.reference
    }
    assert targets <= set(TYPES)


def test_a_state_that_this_version_does_not_know_is_refused() -> None:
    # B-60
    message = objects_pb2.ConfigObject(type="Host", state=7)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="state: 7"):
        CODEC.from_message(message)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(
            {"$ref": "#/$defs/size", "$defs": {"size": {"type": "object"}}}, id="inside the document"
        ),
        pytest.param({"properties": {"a": {"enum": ["x", 1, None]}}}, id="of plain rules"),
    ],
)
def test_accepts_a_schema(schema: object) -> None:
    assert JsonSchemas().fault_of_schema(json.dumps(schema)) is None


def test_a_structure_is_told_where_it_breaks_its_schema() -> None:
    # B-60
    schema = json.dumps({"properties": {"parts": {"items": {"type": "integer"}}}})
    fault = JsonSchemas().fault_of(schema, {"parts": (1.0, "two")})
    assert fault is not None
    assert "$.parts[1]" in fault


def test_a_schema_that_leads_nowhere_is_told_when_it_is_used() -> None:
    # B-60
    fault = JsonSchemas().fault_of(json.dumps({"$ref": "#/$defs/missing"}), {})
    assert fault is not None
    assert "cannot be followed" in fault

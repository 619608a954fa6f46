"""Objects as documents and back."""

from __future__ import annotations

from typing import Any

import pytest

from confapi.config.v1 import objects_pb2
from confapi.license.v1 import license_pb2
from confclient.documents import BODIES, DocumentError, document_of, object_of, plain, reference_fields

BILLING = {
    "type": "Application",
    "dbid": 120,
    "name": "billing",
    "tenant": 1,
    "folder": 0,
    "state": "disabled",
    "revision": 7,
    "options": {"limits": {"retries": "3"}},
    "annex": {},
    "body": {
        "template": 101,
        "application_type": "generic_server",
        "version": "",
        "host": 0,
        "working_directory": "",
        "command_line": "",
        "arguments": ["-v"],
        "auto_restart": True,
        "startup_timeout_s": 0,
        "shutdown_timeout_s": 0,
        "backup_server": 0,
        "connections": [],
        "tenants": [],
        "endpoints": ["h:1"],
    },
}


def test_an_object_is_the_same_after_it_was_a_document() -> None:
    item = object_of(BILLING)
    assert BILLING == document_of(item)
    assert item == object_of(document_of(item))


def test_the_body_of_a_custom_type_is_any_structure() -> None:
    item = object_of({"type": "truck", "name": "t1", "body": {"wheels": 6, "tags": ["a"]}})
    assert {"wheels": 6, "tags": ["a"]} == document_of(item)["body"]


def test_knows_the_types_of_the_product_and_what_refers_to_what() -> None:
    assert {"Tenant", "Folder", "Host", "ApplicationTemplate", "Application", "Solution", "Person"} <= set(
        BODIES
    )
    assert {"applications": "Application"} == reference_fields("Solution")
    assert {} == reference_fields("truck")


def test_numbers_and_flags_become_the_text_of_an_option() -> None:
    item = object_of({"type": "Host", "name": "h", "options": {"a": {"n": 3, "f": True, "t": "x"}}})
    assert {"n": "3", "f": "true", "t": "x"} == dict(item.options.sections["a"].options)


def test_any_message_is_a_document_with_every_field() -> None:
    message = license_pb2.LoadLicenseResponse(revision=license_pb2.LicenseRevision(revision=2), changed=True)
    expected: dict[str, Any] = {
        "revision": {"revision": 2, "sha256": "", "stored_ms": 0, "stored_by": ""},
        "changed": True,
        "features": [],
        "warnings": [],
    }
    assert expected == plain(message)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param({"type": "Host", "nam": "x"}, "nam: no such key; an object has type", id="unknown key"),
        pytest.param({"type": "Host", "name": 3}, "name: has to be a text", id="name is no text"),
        pytest.param({"type": "Host", "dbid": "3"}, "dbid: has to be a whole number", id="dbid is no number"),
        pytest.param({"type": "Host", "state": "on"}, "state: 'on' is neither", id="unknown state"),
        pytest.param(
            {"type": "Host", "options": {"a": 1}}, "options.a: has to be a table", id="flat options"
        ),
        pytest.param(
            {"type": "Host", "options": {"a": {"b": []}}}, "options.a.b: has to be", id="list option"
        ),
        pytest.param({"type": "Host", "body": {"adress": "x"}}, "body.adress: no such field", id="field"),
        pytest.param({"type": "Host", "body": {"agent_port": "x"}}, "body: ", id="wrong value"),
        pytest.param(
            {"type": "ApplicationTemplate", "body": {"application_type": "printer"}},
            "body.application_type: 'printer' is none of configuration_server",
            id="unknown choice",
        ),
    ],
)
def test_refuses_what_is_no_object_and_says_where(document: dict[str, Any], expected: str) -> None:
    # B-60
    with pytest.raises(DocumentError) as refusal:
        object_of(document)
    assert str(refusal.value).startswith(expected)


def test_takes_enumerations_in_every_spelling() -> None:
    spellings = ["generic_server", "GENERIC-SERVER", "APPLICATION_TYPE_GENERIC_SERVER"]
    bodies = [
        object_of({"type": "ApplicationTemplate", "body": {"application_type": name}}).body
        for name in spellings
    ]
    template = objects_pb2.ApplicationTemplate()
    assert bodies[0].Unpack(template)
    assert objects_pb2.APPLICATION_TYPE_GENERIC_SERVER == template.application_type
    assert [bodies[0]] * 3 == bodies

"""From declared objects to one transaction, which may be declared again without harm."""

from __future__ import annotations

from typing import Any

import pytest

from confapi.config.v1 import objects_pb2
from confclient.declared import Outcome, names_in, plan
from confclient.documents import DocumentError, document_of, object_of

TEMPLATE = {
    "type": "ApplicationTemplate",
    "name": "billing-template",
    "body": {"application_type": "generic_server", "version": "1.0"},
}
BILLING: dict[str, Any] = {
    "type": "Application",
    "name": "billing",
    "options": {"limits": {"retries": 3, "burst": 9}},
    "body": {"template": "billing-template", "endpoints": ["h:1"]},
}


def existing(document: dict[str, Any], **more: Any) -> objects_pb2.ConfigObject:
    return object_of({**document, **more})


APPLIED = {
    ("ApplicationTemplate", "billing-template"): existing(TEMPLATE, dbid=101, revision=4),
    ("Application", "billing"): existing(
        BILLING, dbid=120, revision=5, body={"template": 101, "endpoints": ["h:1"], "version": "1.0"}
    ),
}


def test_names_everything_that_has_to_be_read_first() -> None:
    declared = [BILLING, {"type": "Person", "name": "p", "tenant": "acme"}]
    expected = [
        ("Application", "billing"),
        ("ApplicationTemplate", "billing-template"),
        ("Person", "p"),
        ("Tenant", "acme"),
    ]
    assert expected == names_in(declared)


def test_creates_what_is_missing_and_refers_to_what_it_creates() -> None:
    made = plan([TEMPLATE, BILLING], {})
    assert [Outcome.CREATE, Outcome.CREATE] == [one.outcome for one in made.objects]
    application = document_of(made.operations[1].create.object)
    assert -1 == application["body"]["template"]
    assert {"limits": {"retries": "3", "burst": "9"}} == application["options"]


def test_declaring_again_changes_nothing() -> None:
    again = plan([TEMPLATE, BILLING], APPLIED)
    assert ((), [Outcome.UNCHANGED] * 2) == (again.operations, [one.outcome for one in again.objects])


def test_changes_only_what_differs_under_the_revision_that_was_read() -> None:
    changed = {**BILLING, "options": {"limits": {"retries": 4, "burst": 9}}, "state": "disabled"}
    (operation,) = plan([changed], APPLIED).operations
    assert (120, 5) == (operation.update.key.dbid, operation.update.expected_revision)
    assert ["state", "options.limits.retries"] == list(operation.update.update_mask.paths)


def test_an_unchanged_object_before_it_does_not_shift_references() -> None:
    known = {name: item for name, item in APPLIED.items() if name[0] == "ApplicationTemplate"}
    tenant = {"type": "Tenant", "name": "acme"}
    person = {"type": "Person", "name": "p", "tenant": "acme"}
    made = plan([TEMPLATE, tenant, person], known)
    assert [Outcome.UNCHANGED, Outcome.CREATE, Outcome.CREATE] == [one.outcome for one in made.objects]
    assert -1 == made.operations[1].create.object.tenant


def test_options_of_a_section_that_no_path_can_name_are_sent_together() -> None:
    was = existing(
        {"type": "Host", "name": "h"}, dbid=1, revision=2, options={"a.b": {"x": "1"}, "c": {"y": "2"}}
    )
    declared = {"type": "Host", "name": "h", "options": {"a.b": {"x": "9"}}}
    (operation,) = plan([declared], {("Host", "h"): was}).operations
    assert ["options"] == list(operation.update.update_mask.paths)
    assert {"a.b": {"x": "9"}, "c": {"y": "2"}} == document_of(operation.update.object)["options"]


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param([{"type": "Host"}], "document 1: type and name are needed", id="without a name"),
        pytest.param(
            [{**BILLING, "body": {"template": "other"}}],
            "Application billing: body.template: there is no ApplicationTemplate 'other'",
            id="refers to nothing",
        ),
        pytest.param(
            [{**BILLING, "body": {"template": 1.5}}],
            "Application billing: body.template: has to be the name or the number",
            id="refers to a number with a point",
        ),
    ],
)
def test_refuses_and_says_where(documents: list[dict[str, Any]], expected: str) -> None:
    # B-60
    with pytest.raises(DocumentError) as refusal:
        plan(documents, {})
    assert str(refusal.value).startswith(expected)

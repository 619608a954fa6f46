"""What is written into the configuration for a local cluster, and what is left alone."""

from __future__ import annotations

from confapi.config.v1 import objects_pb2
from confcluster.registration import Known, WantedApplication, WantedHost, operations

HOST = WantedHost("host", "127.0.0.1", 7100)
LRM = WantedApplication("lrm-1", "LICENSE_REPORTING_MANAGER", ("127.0.0.1:7300",))
MANAGER = objects_pb2.APPLICATION_TYPE_LICENSE_REPORTING_MANAGER


def _created(operation) -> tuple[str, str]:
    return operation.create.object.type, operation.create.object.name


def _application(operation) -> objects_pb2.Application:
    body = objects_pb2.Application()
    changed = operation.create.object if operation.HasField("create") else operation.update.object
    assert changed.body.Unpack(body)
    return body


def test_an_empty_configuration_gets_host_template_and_application_that_refer_to_each_other() -> None:
    made = operations([LRM], HOST, Known())
    expected = [
        ("Host", "host"),
        ("ApplicationTemplate", "License reporting manager"),
        ("Application", "lrm-1"),
    ]
    assert expected == [_created(operation) for operation in made]
    body = _application(made[2])
    assert (-1, -2) == (body.host, body.template)
    assert ["127.0.0.1:7300"] == list(body.endpoints)


def test_applications_of_one_type_share_a_template() -> None:
    other = WantedApplication("lrm-2", "LICENSE_REPORTING_MANAGER", ("127.0.0.1:7301",))
    made = operations([LRM, other], HOST, Known())
    assert 4 == len(made)
    assert _application(made[2]).template == _application(made[3]).template


def test_a_template_that_exists_is_used() -> None:
    made = operations([LRM], HOST, Known(hosts={"host": 101}, templates={(MANAGER, ""): 205}))
    assert [("Application", "lrm-1")] == [_created(operation) for operation in made]
    assert (101, 205) == (_application(made[0]).host, _application(made[0]).template)


def test_a_required_feature_needs_a_template_of_its_own() -> None:
    # B-16
    shop = WantedApplication("shop", "GENERIC_SERVER", required_feature="voice")
    kinds = {(objects_pb2.APPLICATION_TYPE_GENERIC_SERVER, ""): 7}
    made = operations([shop], HOST, Known(hosts={"host": 1}, templates=kinds))
    assert ("ApplicationTemplate", "Generic server with voice") == _created(made[0])
    assert -1 == _application(made[1]).template


def test_what_is_as_wanted_is_left_alone() -> None:
    known = objects_pb2.Application(template=1, host=2, endpoints=LRM.endpoints)
    assert [] == operations([LRM], HOST, Known(hosts={"host": 2}, applications={"lrm-1": known}))


def test_an_address_that_changed_is_written_and_nothing_else() -> None:
    known = objects_pb2.Application(template=1, host=2, endpoints=["127.0.0.1:1"], auto_restart=True)
    (made,) = operations([LRM], HOST, Known(hosts={"host": 2}, applications={"lrm-1": known}))
    assert ["body.endpoints", "body.host"] == list(made.update.update_mask.paths)
    assert ["127.0.0.1:7300"] == list(_application(made).endpoints)
    assert _application(made).auto_restart


def test_options_come_with_the_application() -> None:
    shop = WantedApplication("shop", "GENERIC_SERVER", options={"pace": {"writes": "10"}})
    made = operations([shop], HOST, Known(hosts={"host": 1}))
    assert "10" == made[-1].create.object.options.sections["pace"].options["writes"]

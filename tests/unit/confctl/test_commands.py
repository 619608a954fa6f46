"""confctl as a process: one JSON document a call, tables without a terminal, exit statuses, one sentence an error."""

from __future__ import annotations

import json
from typing import Any

from tests.support.members import Pair
from tests.unit.confctl.conftest import Confctl


async def test_status_shows_stage_compliance_lrm_and_each_member(pair: Pair, confctl: Confctl) -> None:
    # B-33, B-54
    ended = await confctl("status", "-o", "json")
    assert (0, "") == (ended.status, ended.err)
    (line,) = ended.out.splitlines()
    document = json.loads(line)
    expected = ("test", "operational", "ok", "confserv-1", {"bound": ["lrm-1"], "away_since": None})
    names = ("cluster", "stage", "compliance", "primary", "lrm")
    assert expected == tuple(document[name] for name in names)
    assert [("confserv-1", "primary", True), ("confserv-2", "backup", True)] == [
        (member["instance"], member["role"], member["reachable"]) for member in document["members"]
    ]


async def test_a_table_has_a_line_for_each_member_and_no_colours(confctl: Confctl) -> None:
    # cli.md
    ended = await confctl("members")
    heading, one, two = ended.out.splitlines()
    assert ["COMPONENT", "MEMBER", "ROLE", "TOKEN"] == heading.split()[:4]
    assert ["confserv-1", "confserv-2"] == [line.split()[1] for line in (one, two)]
    assert "\x1b" not in ended.out


async def test_lists_all_pages(confctl: Confctl) -> None:
    ended = await confctl("object", "list", "Host", "-o", "json")
    assert ["alpha", "beta"] == [one["name"] for one in json.loads(ended.out)["objects"]]


async def test_a_missing_object_is_one_sentence_and_status_1(confctl: Confctl) -> None:
    # B-60
    ended = await confctl("object", "get", "Host", "gamma")
    assert (1, "", "confctl: there is no Host gamma [NOT_FOUND]\n") == (ended.status, ended.out, ended.err)


async def test_without_a_primary_the_status_is_4(pair: Pair, confctl: Confctl) -> None:
    # cli.md
    pair.promote(None)
    ended = await confctl("object", "list", "Host", "--timeout", "0.3")
    assert 4 == ended.status
    assert ended.err.startswith("confctl: no primary Configuration Server within the deadline")
    assert ended.err.endswith("[NO_PRIMARY]\n")


async def test_applies_documents_from_standard_input_in_one_transaction(pair: Any, confctl: Confctl) -> None:
    text = json.dumps(
        [
            {"type": "ApplicationTemplate", "name": "t", "body": {"application_type": "generic_server"}},
            {"type": "Application", "name": "billing", "body": {"template": "t", "host": "alpha"}},
        ]
    )
    ended = await confctl("object", "apply", "-f", "-", "-o", "json", stdin=text)
    document = json.loads(ended.out)
    assert (["create", "create"], 1) == (
        [one["outcome"] for one in document["objects"]],
        document["revision"],
    )
    again = await confctl(
        "object", "apply", "--dry-run", "-f", "-", stdin=text.replace('"t", "host"', '101, "host"')
    )
    assert "Host" not in again.out
    assert 1 == pair.revision


async def test_sets_and_reads_an_option(confctl: Confctl) -> None:
    done = await confctl("option", "set", "alpha", "log", "level", "debug", "--type", "Host")
    assert "alpha: log.level = debug, revision 0\n" == done.out
    ended = await confctl("option", "get", "alpha", "log", "level", "--type", "Host")
    assert "debug\n" == ended.out
    missing = await confctl("option", "get", "alpha", "log", "file", "--type", "Host")
    assert (1, "") == (missing.status, missing.out)


async def test_wrong_usage_is_status_2(confctl: Confctl) -> None:
    # cli.md, B-60
    ended = await confctl("option", "get", "alpha", "--nonsense")
    assert 2 == ended.status
    assert "No such option" in ended.err


async def test_yaml_is_the_same_document(confctl: Confctl) -> None:
    ended = await confctl("object", "get", "Host", "7", "-o", "yaml")
    assert ended.out.startswith("type: Host\ndbid: 7\nname: alpha\n")

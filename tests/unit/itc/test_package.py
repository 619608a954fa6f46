"""What an installation package says, and how one that is wrong is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from itc.package import PackageError, parse_package, read_package

WHOLE = """
[application]
name = "billing"
version = "8.5"
host = "alpha"
endpoints = ["alpha:9000"]
auto_restart = true

[template]
type = "generic_server"
required_feature = "billing"

[options.limits]
retries = 3
strict = true
"""


def test_becomes_a_template_and_an_application_that_refers_to_it() -> None:
    template, application = parse_package(WHOLE, source="p.toml").documents
    assert ("ApplicationTemplate", "billing 8.5") == (template["type"], template["name"])
    assert "APPLICATION_TYPE_GENERIC_SERVER" == template["body"]["application_type"]
    assert "billing" == template["body"]["required_feature"]
    assert {"limits": {"retries": "3", "strict": "true"}} == application["options"]
    expected = {
        "template": "billing 8.5",
        "version": "8.5",
        "host": "alpha",
        "endpoints": ["alpha:9000"],
        "auto_restart": True,
    }
    assert expected == application["body"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            WHOLE.replace('name = "b', 'nmae = "b'), "p.toml:3:1: application.nmae: no such key", id="typo"
        ),
        pytest.param(
            WHOLE.replace('name = "billing"\n', ""), "p.toml:2:1: application.name: is missing", id="no name"
        ),
        pytest.param(
            WHOLE.replace("[template]", "[templat]"), "p.toml: template: is missing", id="no template"
        ),
        pytest.param(
            WHOLE.replace("= true\n\n", "= 7\n\n"), "p.toml:7:1: application.auto_restart: ", id="type"
        ),
        pytest.param(
            WHOLE.replace("generic_server", "toaster"), "p.toml:10:1: template.type: 'toaster'", id="kind"
        ),
        pytest.param(
            WHOLE.replace("= 3", "= [3]"), "p.toml:14:1: options.limits.retries: has to be", id="list"
        ),
        pytest.param(WHOLE.replace('"billing"', '"billing', 1), "p.toml: Illegal character", id="quotes"),
        pytest.param("", "p.toml: application: is missing", id="empty"),
    ],
)
def test_refuses_and_says_where(text: str, expected: str) -> None:
    # B-60
    with pytest.raises(PackageError) as refusal:
        parse_package(text, source="p.toml")
    assert expected in str(refusal.value)


def test_names_every_error_at_once() -> None:
    # B-60
    with pytest.raises(PackageError) as refusal:
        parse_package(WHOLE.replace('name = "b', 'nmae = "b'), source="p.toml")
    assert {"p.toml:3:1: application.nmae: no such key", "p.toml:2:1: application.name: is missing"} == set(
        str(refusal.value).splitlines()
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, "cannot read", id="a file that is missing"),
        pytest.param(b"\xff\xfe", "byte 1 is no UTF-8", id="a binary file"),
        pytest.param(b"#" * 1_100_000, "is larger than", id="a huge file"),
    ],
)
def test_refuses_what_is_no_package(tmp_path: Path, content: bytes | None, expected: str) -> None:
    # B-60
    path = tmp_path / "package.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PackageError, match=expected):
        read_package(path)

"""The guide to the library shows names that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import confclient.client
import confclient.sync

GUIDE = Path(__file__).parents[3] / "docs" / "client-library.md"
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["asynchronous", "synchronous"])
def test_each_example_is_a_program(block: str) -> None:
    compile(block, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_each_name_in_the_table_exists_on_both_faces() -> None:
    named = [
        name
        for row in re.findall(r"^\| (`.*?) \|", GUIDE.read_text(), re.MULTILINE)
        for name in row.split(", ")
    ]
    names = [name.strip("`").split(".")[0] for name in named]
    assert {"connect", "get", "watch", "cache", "usage", "log", "licenses"} <= set(names)
    asynchronous = {
        *dir(confclient.client.Client),
        *dir(confclient.client),
        "cache",
        "usage",
        "log",
        "licenses",
    }
    assert set() == set(names) - asynchronous
    assert hasattr(confclient.sync, "connect")

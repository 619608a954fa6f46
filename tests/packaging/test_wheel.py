"""The wheel holds what is listed and nothing else, and its programs are there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "confapi",
    "confclient",
    "confkit",
    "confserv",
    "lrm",
    "licman",
    "message_server",
    "solution_control",
    "local_agent",
    "administrator",
    "itc",
    "confctl",
    "sample_application",
    "confcluster",
}
PROGRAMS = {
    "confserv",
    "lrm",
    "licman",
    "licgen",
    "message-server",
    "solution-control",
    "lca",
    "administrator",
    "itc",
    "confctl",
    "confserv-cluster",
    "confserv-sample-application",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build from a copy of what git knows, as a clean clone would."""
    copy = tmp_path_factory.mktemp("source")
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, known.stdout.decode().split("\0")):
        source, target = ROOT / name, copy / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == built.returncode, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_top_level_is_the_listed_packages(wheel: zipfile.ZipFile) -> None:
    # architecture.md, the house
    found = {name.partition("/")[0] for name in wheel.namelist()}
    assert PACKAGES == {name for name in found if not name.endswith(".dist-info")}


def test_every_program_is_an_entry_point(wheel: zipfile.ZipFile) -> None:
    # cli.md
    (name,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    lines = wheel.read(name).decode().splitlines()
    assert PROGRAMS == {line.partition("=")[0].strip() for line in lines if "=" in line}


def test_generated_code_and_migrations_are_in_it(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for path in (ROOT / "protos").rglob("*.proto"):
        module = path.relative_to(ROOT / "protos").with_suffix("").as_posix()
        assert {f"{module}_pb2.py", f"{module}_pb2.pyi"} <= names
    assert any(name.startswith("confserv/adapters/sql/migrations/versions/") for name in names)


def test_tests_and_benchmarks_stay_out(wheel: zipfile.ZipFile) -> None:
    assert not [
        name for name in wheel.namelist() if name.startswith(("tests/", "bench/", "protos/", "tools/"))
    ]


def test_the_license_text_goes_with_it(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]

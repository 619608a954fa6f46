"""The vendor's tool, as a person or a script uses it: files in, files and exit statuses out."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from confkit.license.files import read_license, read_trust_set
from licman.keys import ENVIRONMENT, load_key
from licman.licgen import main
from tests.support.licenses import LICENSE


class Tool:
    """Runs licgen in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["licgen", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        status = ended.value.code
        return (0 if status is None else int(status)), out, err


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, "a secret")
    Path("a.lic").write_text(LICENSE)
    return Tool(monkeypatch, capsys)


KEYGEN = ("keygen", "vendor.pem", "--key-id", "acme-1", "--vendor", "acmed", "--trust", "trust.toml")


@pytest.fixture
def keyed(tool: Tool) -> Tool:
    assert 0 == tool.run(*KEYGEN)[0]
    return tool


def test_a_key_is_made_a_file_signed_verified_and_inspected(keyed: Tool) -> None:
    assert 0 == keyed.run("sign", "a.lic", "--key", "vendor.pem")[0]
    status, out, _ = keyed.run("verify", "a.lic", "--trust", "trust.toml")
    assert (0, True) == (status, "4 lines verified" in out)  # B-1
    status, out, _ = keyed.run("inspect", "a.lic", "--trust", "trust.toml", "-o", "json")
    document = json.loads(out)
    assert (0, True, 4) == (status, document["verified"], len(document["lines"]))
    status, out, _ = keyed.run("inspect", "a.lic")
    assert 0 == status
    assert "seat_voice" in out
    assert "not checked" in out


def test_a_private_key_is_encrypted_and_for_its_owner_alone(keyed: Tool) -> None:
    assert 0o600 == stat.S_IMODE(Path("vendor.pem").stat().st_mode)
    assert "ENCRYPTED" in Path("vendor.pem").read_text()
    assert "acme-1" == load_key(Path("vendor.pem"), passphrase=b"a secret").key_id


def test_without_a_trust_file_the_public_key_is_printed_as_one(tool: Tool) -> None:
    status, out, _ = tool.run(*KEYGEN[:-2])
    assert 0 == status
    Path("t.toml").write_text(out)
    assert ["acme-1"] == list(read_trust_set(Path("t.toml")).keys)


def test_keys_are_rotated_by_adding_one(keyed: Tool) -> None:
    assert (
        0
        == keyed.run("keygen", "b.pem", "--key-id", "acme-2", "--vendor", "acmed", "--trust", "trust.toml")[0]
    )
    assert ["acme-1", "acme-2"] == list(read_trust_set(Path("trust.toml")).keys)
    for key in ("vendor.pem", "b.pem"):
        assert 0 == keyed.run("sign", "a.lic", "--key", key, "--output", "b.lic")[0]
        assert 0 == keyed.run("verify", "b.lic", "--trust", "trust.toml")[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(KEYGEN, "acme-1 already", id="an id twice"),
        pytest.param(
            ("keygen", "vendor.pem", "--key-id", "x", "--vendor", "v"), "overwritten", id="a file twice"
        ),
        pytest.param(("keygen", "c.pem", "--key-id", "a b", "--vendor", "v"), "--key-id", id="a bad id"),
        pytest.param(("sign", "none.lic", "--key", "vendor.pem"), "none.lic:1:1", id="no such license"),
        pytest.param(("sign", ".", "--key", "vendor.pem"), "UNREADABLE", id="a folder"),
        pytest.param(("sign", "a.lic", "--key", "none.pem"), "none.pem", id="no such key"),
        pytest.param(("sign", "a.lic", "--key", "a.lic"), "no private key", id="no key at all"),
        pytest.param(
            ("sign", "a.lic", "--key", "vendor.pem", "--no-passphrase"), "passphrase", id="no passphrase"
        ),
        pytest.param(
            ("sign", "a.lic", "--key", "vendor.pem", "--vendor", "x"), "no line", id="nothing to sign"
        ),
        pytest.param(("verify", "a.lic", "--trust", "trust.toml"), "UNSIGNED", id="an unsigned file"),
        pytest.param(("verify", "a.lic", "--trust", "a.lic"), "TRUST_SET_MALFORMED", id="no trust set"),
        pytest.param(("verify", "a.lic"), "--trust", id="a missing option"),
        pytest.param(("inspect", "/dev/zero"), "TOO_LARGE", id="an endless file"),
        pytest.param(("inspect", "vendor.pem"), "UNKNOWN_KEYWORD", id="another file"),
    ],
)
def test_refused_input_ends_with_status_2_and_says_why(
    keyed: Tool, arguments: tuple[str, ...], said: str
) -> None:
    before = Path("a.lic").read_bytes()
    status, out, err = keyed.run(*arguments)
    assert (2, True) == (status, said in err), err + out  # B-3, B-60
    assert before == Path("a.lic").read_bytes()


def test_a_wrong_passphrase_is_refused(keyed: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "another")
    status, _, err = keyed.run("sign", "a.lic", "--key", "vendor.pem")
    assert (2, True) == (status, "passphrase is wrong" in err)
    monkeypatch.setenv(ENVIRONMENT, "")
    assert 2 == keyed.run("sign", "a.lic", "--key", "vendor.pem")[0]


def test_a_passphrase_comes_from_a_file(keyed: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT)
    Path("secret").write_text("a secret\nmore\n")
    assert 0 == keyed.run("sign", "a.lic", "--key", "vendor.pem", "--passphrase-file", "secret")[0]


def test_a_key_without_passphrase_is_made_only_on_request(tool: Tool) -> None:
    assert 0 == tool.run(*KEYGEN, "--no-passphrase")[0]
    assert 0 == tool.run("sign", "a.lic", "--key", "vendor.pem", "--no-passphrase")[0]
    assert 0 == tool.run("verify", "a.lic", "--trust", "trust.toml")[0]


def test_signing_in_place_keeps_the_permissions_and_leaves_nothing_behind(keyed: Tool) -> None:
    Path("a.lic").chmod(0o640)
    names = sorted(path.name for path in Path().iterdir())
    assert 0 == keyed.run("sign", "a.lic", "--key", "vendor.pem")[0]
    assert 0o640 == stat.S_IMODE(Path("a.lic").stat().st_mode)
    assert names == sorted(path.name for path in Path().iterdir())
    assert all(line.sign for line in read_license(Path("a.lic")).licensed)


def test_a_folder_that_cannot_be_written_ends_with_status_1(keyed: Tool) -> None:
    status, _, err = keyed.run("sign", "a.lic", "--key", "vendor.pem", "--output", "none/b.lic")
    assert (1, True) == (status, "none" in err)


def test_a_difference_is_one_of_meaning_and_not_of_layout(keyed: Tool) -> None:
    text = (
        LICENSE.replace("7260", "7999").replace("31-dec-2027 3", "31-DEC-2027 \\\n  3").replace("2.0", "2.00")
    )
    Path("b.lic").write_text(text)
    keyed.run("sign", "b.lic", "--key", "vendor.pem")
    assert (0, "both files mean the same\n", "") == keyed.run("diff", "a.lic", "b.lic")
    Path("b.lic").write_text(LICENSE.replace("31-dec-2027 3", "31-dec-2027 4").replace("0242ac110002", "ANY"))
    status, out, _ = keyed.run("diff", "a.lic", "b.lic")
    expected = [
        "- line 7: INCREMENT editor 2.0 2027-12-31 3",
        "+ line 7: INCREMENT editor 2.0 2027-12-31 4",
        "! the SERVER host ids differ",
    ]
    assert (0, expected) == (status, out.splitlines())
    document = json.loads(keyed.run("diff", "a.lic", "b.lic", "-o", "json")[1])
    assert ([3], [4], True) == (
        [line["count"] for line in document["removed"]],
        [line["count"] for line in document["added"]],
        document["servers_differ"],
    )
    Path("c.lic").write_text(LICENSE + "FEATURE x acmed 1 permanent 1\nFEATURE x acmed 1 permanent 1\n")
    _, out, _ = keyed.run("diff", "c.lic", "a.lic")
    assert ["- line 10: FEATURE x 1 permanent 1", "- line 11: FEATURE x 1 permanent 1"] == out.splitlines()

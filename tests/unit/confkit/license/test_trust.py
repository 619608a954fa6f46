"""The set of trusted vendor keys: its file, its hash."""

from __future__ import annotations

import base64
from datetime import date

import pytest

from confkit.license.trust import KeyId, TrustedKey, TrustSet, TrustSetError, parse_trust_set
from tests.support.licenses import PUBLIC_KEY, TRUST

ENCODED = base64.b64encode(PUBLIC_KEY).decode()
GOOD = f'[[key]]\nid = "a"\npublic_key = "{ENCODED}"\nvendors = ["acmed"]\n'
FULL = TrustedKey(KeyId("b"), bytes(32), ("x", "y"), date(2027, 1, 2), date(2028, 3, 4))


def test_what_is_printed_is_read_again() -> None:
    trust = TrustSet.of([*TRUST.keys.values(), FULL])
    assert trust == parse_trust_set(trust.print().encode(), source="t")


def test_the_hash_covers_meaning_and_not_layout() -> None:
    one = parse_trust_set(GOOD.encode(), source="t")
    laid_out = parse_trust_set(b"# ours\n" + GOOD.replace(" = ", "=").encode(), source="t")
    assert one.sha256 == laid_out.sha256  # B-32
    assert (
        TrustSet.of([FULL, *TRUST.keys.values()]).sha256 == TrustSet.of([*TRUST.keys.values(), FULL]).sha256
    )
    assert one.sha256 != parse_trust_set(GOOD.replace("acmed", "acme").encode(), source="t").sha256
    assert one.sha256 != parse_trust_set((GOOD + "last_issue=2027-01-01").encode(), source="t").sha256


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("not toml", "no TOML", id="no TOML"),
        pytest.param("\xff", "no TOML", id="no UTF-8"),
        pytest.param("", "[[key]]", id="empty"),
        pytest.param("verify = false\n" + GOOD, "nothing else", id="a switch"),
        pytest.param("key = 1", "[[key]]", id="no table"),
        pytest.param("key = [1]", "a table is needed", id="a list of something else"),
        pytest.param(GOOD + "extra = 1", "unknown: extra", id="an unknown setting"),
        pytest.param(GOOD.replace('"a"', '"a b"'), "id:", id="a bad id"),
        pytest.param(GOOD.replace('["acmed"]', "[]"), "vendors:", id="no vendor"),
        pytest.param(GOOD.replace(ENCODED, "AAAA"), "public_key:", id="a short key"),
        pytest.param(GOOD.replace(ENCODED, "€"), "public_key:", id="no base64"),
        pytest.param(GOOD + 'last_issue = "2027-01-01"', "last_issue:", id="a date in quotes"),
        pytest.param(GOOD + GOOD, "twice", id="an id twice"),
        pytest.param("#" * (1024 * 1024 + 1), "larger", id="too large"),
    ],
)
def test_a_malformed_trust_set_is_refused_with_its_reason(text: str, said: str) -> None:
    with pytest.raises(TrustSetError) as caught:
        parse_trust_set(text.encode("latin-1" if text == "\xff" else "utf-8"), source="t.toml")
    assert said in str(caught.value)  # B-60
    assert "t.toml" == caught.value.findings[0].source


def test_an_unknown_key_is_none() -> None:
    assert TRUST.get("nobody") is None

"""License texts that tests sign themselves: a vendor key that exists nowhere else, and what it is trusted
for.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from confkit.license.editing import sign_file
from confkit.license.model import LicenseFile
from confkit.license.syntax import parse
from confkit.license.trust import KeyId, TrustedKey, TrustSet

KEY_ID = "test-2026"
VENDOR = "acmed"
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC_KEY = PRIVATE_KEY.public_key().public_bytes_raw()
TRUST = TrustSet.of([TrustedKey(KeyId(KEY_ID), PUBLIC_KEY, (VENDOR,))])
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

LICENSE = """\
# Issued to: Example Telecom
SERVER lic1 0242ac110002 7260
VENDOR acmed
USE_SERVER
FEATURE config_server acmed 1.0 31-dec-2027 1 ISSUED=15-jan-2026 SN=0001-1
FEATURE ha_redundancy acmed 1.0 permanent uncounted HOSTID=ANY ISSUED=15-jan-2026
INCREMENT editor acmed 2.0 31-dec-2027 3 ISSUED=15-jan-2026
INCREMENT seat_voice acmed 8.0 31-dec-2027 500 ISSUED=15-jan-2026 START=01-feb-2026 SN=0001-2 \\
    NOTICE="Voice seats" VENDOR_STRING="item:type=concurrent:unit=seat:burst=50" asset_info="cost centre 42"
"""


def signed(text: str | bytes, *, key: Ed25519PrivateKey = PRIVATE_KEY, key_id: str = KEY_ID) -> bytes:
    """Sign every line of a text, and give the bytes of the file."""
    data = text.encode("latin-1") if isinstance(text, str) else text
    return sign_file(parse(data, source="test.lic"), key_id=key_id, key=key)


def signed_file(text: str | bytes) -> LicenseFile:
    """Sign every line of a text, and parse the result."""
    return parse(signed(text), source="test.lic")

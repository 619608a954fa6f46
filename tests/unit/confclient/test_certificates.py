"""A certificate that is of no use is told before a connection fails without a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from confclient.certificates import check_certificate
from confclient.channel import ServiceChannel
from confclient.credentials import CredentialsError, TlsFiles
from tests.support.members import CLUSTER, Authority

NOW, FAR = timedelta(0), timedelta(days=4000)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param(NOW, None, id="valid"),
        pytest.param(FAR, r"billing\.crt expired on 20", id="expired"),
        pytest.param(-FAR, r"is valid only from 20.*check the clock", id="not valid yet"),
    ],
)
def test_a_certificate_is_valid_now_or_told(tls: TlsFiles, later: timedelta, expected: str | None) -> None:
    # B-60
    pem, now = tls.certificate.read_bytes(), datetime.now(UTC) + later
    if expected is None:
        check_certificate(pem, source="billing.crt", now=now)
        return
    with pytest.raises(CredentialsError, match=expected):
        check_certificate(pem, source="billing.crt", now=now)


async def test_a_channel_refuses_a_certificate_that_has_expired(authority: Authority, tmp_path: Path) -> None:
    # B-60
    files = authority.authority.issue("application", "late", cluster=CLUSTER, days=-1, directory=tmp_path)
    with pytest.raises(CredentialsError, match="get a new one"):
        ServiceChannel(["127.0.0.1:1"], TlsFiles(files.ca, files.certificate, files.key))


def test_a_file_that_is_no_certificate_is_told() -> None:
    # B-60
    with pytest.raises(CredentialsError, match=r"x\.crt is no certificate"):
        check_certificate(b"hello", source="x.crt", now=datetime.now(UTC))

"""Whether a process's own certificate can be of use at all, said before any connection fails without a reason.

A peer that refuses a certificate only breaks the connection, which looks like a server that is away. So what can be
known here is checked here: that the file is a certificate, and that it is valid now. Whether the peer trusts it is the
peer's to say.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from confclient.credentials import CredentialsError


def check_certificate(pem: bytes, *, source: str, now: datetime) -> None:
    """Check a certificate at an instant (aware, UTC).

    Raises:
        CredentialsError: it is none, has expired, or is not valid yet (B-60).
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CredentialsError(f"{source} is no certificate in PEM; check the tls settings") from error
    if now > certificate.not_valid_after_utc:
        raise CredentialsError(
            f"the certificate {source} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC; "
            "get a new one from the cluster's authority"
        )
    if now < certificate.not_valid_before_utc:
        raise CredentialsError(
            f"the certificate {source} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} "
            "UTC; check the clock of this machine"
        )

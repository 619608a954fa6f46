"""Make the certificate authority of a local cluster, and the certificates of its processes.

Every connection of the system is TLS both ways, and the role of a process is in its certificate
(``confserv://<cluster>/<role>/<name>`` as a URI name), so a cluster cannot start without an authority.
This one is for a cluster on one machine, for tests and for the demo: its key lies unencrypted beside its
certificate, readable by its owner alone. It does not promise what an authority for several hosts must:
no revocation, no protected key.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from confclient.credentials import TlsFiles
from confclient.identity import SCHEME

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_CLOCK_SKEW = dt.timedelta(minutes=5)


class PkiError(Exception):
    """An authority is missing, incomplete, or would be overwritten."""


class CertificateAuthority:
    """An authority in a directory: ``ca.crt``, ``ca.key``, and what it has issued."""

    def __init__(
        self, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        """Prefer `create`, `load` or `open`."""
        self.directory = directory
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(
        cls, directory: Path, *, name: str = "Confserv local authority", days: int = 3650
    ) -> CertificateAuthority:
        """Make a new authority in `directory`, valid for `days`.

        Raises PkiError when the directory has one already: whoever lost its key would trust nobody.
        """
        if (directory / "ca.key").exists():
            raise PkiError(f"{directory} already holds an authority; load it, or choose another directory")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_private(directory / "ca.key", _key_pem(key))
        (directory / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(directory, certificate, key)

    @classmethod
    def load(cls, directory: Path) -> CertificateAuthority:
        """Take up the authority that `create` made in `directory`; raises PkiError when there is none."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
            key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
        except FileNotFoundError as error:
            raise PkiError(f"{directory} holds no authority: {error.filename} is missing") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"{directory / 'ca.key'} is no elliptic curve key")
        return cls(directory, certificate, key)

    @classmethod
    def open(cls, directory: Path) -> CertificateAuthority:
        """`load` when there is one, else `create`."""
        return cls.load(directory) if (directory / "ca.key").exists() else cls.create(directory)

    @property
    def certificate_file(self) -> Path:
        """The authority's own certificate, for those who trust it."""
        return self.directory / "ca.crt"

    def issue(
        self,
        role: str,
        name: str,
        *,
        cluster: str,
        hosts: Sequence[str] = LOCAL_HOSTS,
        days: float = 825,
        starts_in_days: float = 0,
        directory: Path | None = None,
    ) -> TlsFiles:
        """Issue a certificate for the process `name` in `role`, written below `directory`.

        `hosts` are DNS names and addresses at which it serves. It is valid for `days` from now; a negative
        number makes one that has expired already, and `starts_in_days` one that is not valid yet, for tests.
        An existing one is replaced. `directory` is the authority's own by default.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        not_before, not_after = _validity(now, days=days, starts_in_days=starts_in_days)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(_names(identity_uri(cluster, role, name), hosts)), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        target = directory or self.directory
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = TlsFiles(
            ca=self.certificate_file, certificate=target / f"{name}.crt", key=target / f"{name}.key"
        )
        _write_private(files.key, _key_pem(key))
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return files


def identity_uri(cluster: str, role: str, name: str) -> str:
    """The URI name that carries a process's identity in its certificate."""
    return f"{SCHEME}://{quote(cluster, safe='')}/{role}/{quote(name, safe='')}"


def _validity(now: dt.datetime, *, days: float, starts_in_days: float) -> tuple[dt.datetime, dt.datetime]:
    not_after = now + dt.timedelta(days=days)
    not_before = min(now + dt.timedelta(days=starts_in_days), not_after - dt.timedelta(hours=1)) - _CLOCK_SKEW
    return not_before, not_after


def _names(uri: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, replacing one that exists, never wider for a moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)

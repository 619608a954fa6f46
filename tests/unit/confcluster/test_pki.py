"""The local certificate authority issues certificates that real TLS accepts, with the role in their names."""

from __future__ import annotations

import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from confcluster.pki import CertificateAuthority, PkiError


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Shake hands in memory; the client's object, or the error of whoever refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server, server_hostname=host)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    assert {client_side, server_side} == done
    return client_side


def _contexts(server_files, client_files):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_files.certificate, server_files.key)
    server.load_verify_locations(server_files.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(client_files.ca))
    client.load_cert_chain(client_files.certificate, client_files.key)
    return server, client


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "pki")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_both_sides_prove_who_they_are_at_every_local_name(
    authority: CertificateAuthority, host: str
) -> None:
    server = authority.issue("confserv", "confserv-1", cluster="demo")
    client = authority.issue("lrm", "lrm-1", cluster="demo")
    peer = _handshake(*_contexts(server, client), host).getpeercert()
    assert ("URI", "confserv://demo/confserv/confserv-1") in peer["subjectAltName"]


def test_keys_are_readable_by_their_owner_alone(authority: CertificateAuthority) -> None:
    files = authority.issue("lca", "lca-1", cluster="demo")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (files.key, authority.directory / "ca.key")}
    assert {0o600} == modes


def test_a_certificate_has_one_identity_and_both_uses(authority: CertificateAuthority) -> None:
    files = authority.issue("application", "shop", cluster="demo", days=10)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["confserv://demo/application/shop"] == names.get_values_for_type(x509.UniformResourceIdentifier)
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert 2 == len(list(uses))
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=9) < left < dt.timedelta(days=11)


def test_an_expired_certificate_is_refused(authority: CertificateAuthority) -> None:
    server = authority.issue("confserv", "confserv-1", cluster="demo", days=-1)
    client = authority.issue("lrm", "lrm-1", cluster="demo")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        _handshake(*_contexts(server, client), "localhost")


def test_a_certificate_of_another_authority_is_refused(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    foreign = CertificateAuthority.create(tmp_path / "foreign")
    server = foreign.issue("confserv", "confserv-1", cluster="demo")
    client = authority.issue("lrm", "lrm-1", cluster="demo")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(*_contexts(server, client), "localhost")


def test_an_authority_is_taken_up_again_and_never_overwritten(authority: CertificateAuthority) -> None:
    before = authority.certificate_file.read_bytes()
    with pytest.raises(PkiError, match="already holds an authority"):
        CertificateAuthority.create(authority.directory)
    again = CertificateAuthority.open(authority.directory)
    assert before == again.certificate_file.read_bytes()
    server = again.issue("confserv", "confserv-1", cluster="demo")
    client = authority.issue("lrm", "lrm-1", cluster="demo")
    assert "TLSv1.3" == _handshake(*_contexts(server, client), "localhost").version()


def test_a_directory_without_an_authority_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match=r"ca\.crt is missing"):
        CertificateAuthority.load(tmp_path)
